"""The client against a real kube-apiserver."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest
from k3k_kubelet.api import (
    CONFIG_MAPS,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    AlreadyExistsError,
    ApiClient,
    ConflictError,
    ForbiddenError,
    HostEndpoint,
    InvalidError,
    NotFoundError,
    PatchType,
    UnauthorizedError,
    UnreachableError,
    VirtualEndpoint,
)
from k3k_kubelet.api import client as client_module
from k3k_kubelet.api.errors import from_response
from k3k_kubelet.api.watch import LineSplitter, watch
from yarl import URL

from kubelet.tests.controlplane import ADDRESS, ControlPlane, free_ports
from kubelet.tests.waiting import eventually

MIB = 1024 * 1024


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_an_object_from_creation_to_deletion(control_plane: ControlPlane) -> None:
    async def run() -> None:
        client = control_plane.client()
        made = await client.create(CONFIG_MAPS, "default", config_map("life", a="1"))
        with pytest.raises(AlreadyExistsError, match='configmaps "life" already exists'):
            await client.create(CONFIG_MAPS, "default", config_map("life"))
        patched = await client.patch(CONFIG_MAPS, "default", "life", {"data": {"b": "2"}})
        assert patched["data"] == {"a": "1", "b": "2"}
        with pytest.raises(ConflictError):  # made carries the resourceVersion from before the patch
            await client.replace(CONFIG_MAPS, "default", "life", made)
        patch = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}}
        with pytest.raises(InvalidError, match="uid"):
            await client.patch(CONFIG_MAPS, "default", "life", patch)
        replaced = await client.replace(CONFIG_MAPS, "default", "life", {**patched, "data": {"c": "3"}})
        assert replaced["data"] == {"c": "3"}
        with pytest.raises(ConflictError, match="UID in the precondition"):
            await client.delete(CONFIG_MAPS, "default", "life", uid="another")
        await client.delete(CONFIG_MAPS, "default", "life", uid=made["metadata"]["uid"])
        with pytest.raises(NotFoundError) as gone:
            await client.get(CONFIG_MAPS, "default", "life")
        assert (gone.value.code, gone.value.reason) == (404, "NotFound")
        assert gone.value.details["name"] == "life"
        await client.close()

    asyncio.run(run())


def test_server_side_apply_creates_and_takes_over(control_plane: ControlPlane) -> None:
    async def run() -> None:
        client = control_plane.client()
        for value in ("1", "2"):
            applied = await client.patch(
                *(CONFIG_MAPS, "default", "applied", config_map("applied", key=value)),
                kind=PatchType.APPLY,
                field_manager="test",
            )
            assert applied["data"] == {"key": value}
        await client.patch(CONFIG_MAPS, "default", "applied", {"data": {"key": "foreign"}})
        applied = await client.patch(
            *(CONFIG_MAPS, "default", "applied", config_map("applied", key="3")),
            kind=PatchType.APPLY,
            field_manager="test",
        )
        assert applied["data"] == {"key": "3"}
        await client.close()

    asyncio.run(run())


def test_errors_carry_the_servers_words(control_plane: ControlPlane) -> None:
    async def run() -> None:
        client = control_plane.client()
        with pytest.raises(InvalidError, match=r"metadata.name: Invalid value: \"NOT\""):
            await client.create(CONFIG_MAPS, "default", config_map("NOT"))
        pod = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "x", "containers": []}}
        with pytest.raises(ForbiddenError, match='serviceaccount "x" not found'):
            await client.create(PODS, "default", {"apiVersion": "v1", "kind": "Pod", **pod})
        await client.close()

    asyncio.run(run())


def test_plain_text_errors_and_retry_after() -> None:
    error = from_response(429, b"Too many requests, please try again later.\n", "7")
    assert (error.code, error.retry_after) == (429, 7.0)
    assert str(error) == "429: Too many requests, please try again later."


def test_lists_come_in_pages(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k3k_kubelet.api.client.PAGE", 3)

    async def run() -> list[int]:
        client = control_plane.client()
        await asyncio.gather(
            *(client.create(CONFIG_MAPS, "kube-public", config_map(f"page-{i}")) for i in range(8))
        )
        sizes = [len(page["items"]) async for page in client.pages(CONFIG_MAPS, "kube-public")]
        await client.close()
        return sizes

    assert asyncio.run(run()) == [3, 3, 2]


def test_metadata_only(control_plane: ControlPlane) -> None:
    async def run() -> None:
        client = control_plane.client()
        await client.create(CONFIG_MAPS, "default", config_map("slim", a="1"))
        found = await client.get(CONFIG_MAPS, "default", "slim", metadata_only=True)
        assert found["kind"] == "PartialObjectMetadata"
        assert "data" not in found
        pages = client.pages(CONFIG_MAPS, "default", metadata_only=True)
        assert all("data" not in item for page in [await anext(pages)] for item in page["items"])
        await client.close()

    asyncio.run(run())


def test_watch_brings_megabyte_lines(control_plane: ControlPlane) -> None:
    async def run() -> None:
        client = control_plane.client()
        version = (await anext(client.pages(CONFIG_MAPS, "default")))["metadata"]["resourceVersion"]
        big = "x" * (MIB - 4096)
        await client.create(CONFIG_MAPS, "default", config_map("big", data=big))
        async for kind, obj in watch(client, CONFIG_MAPS, "default", version):
            assert kind == "ADDED"
            whole = obj["data"]["data"] == big  # pytest would explain a difference of megabytes for minutes
            assert whole
            break
        await client.delete(CONFIG_MAPS, "default", "big")
        await client.close()

    asyncio.run(run())


def test_a_silent_watch_is_dead(control_plane: ControlPlane) -> None:
    async def run() -> None:
        client = control_plane.client()
        version = (await anext(client.pages(NODES)))["metadata"]["resourceVersion"]
        started = time.monotonic()
        with pytest.raises(UnreachableError, match="watch nodes: SocketTimeoutError"):
            async for _ in watch(client, NODES, None, version, idle=0.5):
                pass
        assert time.monotonic() - started < 30
        await client.close()

    asyncio.run(run())


def test_a_replaced_token_is_read_again(control_plane: ControlPlane, tmp_path: Path) -> None:
    async def run() -> None:
        admin = control_plane.client()
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}
        await admin.create(SERVICE_ACCOUNTS, "default", account)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await admin.create(SERVICE_ACCOUNTS, "default", request, name="reader", subresource="token")
        shutil.copy(control_plane.pki / "server-ca.crt", tmp_path / "ca.crt")
        token = tmp_path / "token"
        token.write_text("not-a-token")
        client = ApiClient(HostEndpoint(ADDRESS, control_plane.port, tmp_path))
        with pytest.raises(UnauthorizedError):
            await client.get(PODS, "default", "p")
        token.write_text(answer["status"]["token"])
        with pytest.raises(ForbiddenError, match="system:serviceaccount:default:reader"):
            await client.get(PODS, "default", "p")
        await admin.close()
        await client.close()

    asyncio.run(run())


def test_a_renewed_certificate_makes_a_new_context(control_plane: ControlPlane, tmp_path: Path) -> None:
    files = (tmp_path / "c.crt", tmp_path / "c.key")
    for file, name in zip(files, ("admin.crt", "admin.key"), strict=True):
        shutil.copy(control_plane.pki / name, file)
    endpoint = VirtualEndpoint(ADDRESS, control_plane.port, control_plane.pki / "server-ca.crt", files)
    first = endpoint.ssl_context()
    assert endpoint.ssl_context() is first
    os.utime(files[0], ns=(1, 1))
    assert endpoint.ssl_context() is not first


def test_nobody_answers(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k3k_kubelet.api.client.ATTEMPTS", 2)
    endpoint = VirtualEndpoint(
        ADDRESS,
        free_ports(1)[0],
        control_plane.pki / "server-ca.crt",
        (control_plane.pki / "admin.crt", control_plane.pki / "admin.key"),
    )

    async def run() -> None:
        client = ApiClient(endpoint)
        with pytest.raises(UnreachableError, match=r"GET /api/v1/nodes/n: ClientConnectorError"):
            await client.get(NODES, None, "n")
        await client.close()

    asyncio.run(run())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_do_not_depend_on_the_chunks(size: int) -> None:
    text = b'{"a":1}\n\n{"bb":"' + b"x" * 50 + b'"}\n{"rest'
    splitter = LineSplitter()
    lines = [
        line for start in range(0, len(text), size) for line in splitter.feed(text[start : start + size])
    ]
    assert lines == [b'{"a":1}', b'{"bb":"' + b"x" * 50 + b'"}']
    assert splitter.feed(b'"}\n') == [b'{"rest"}']


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_makes_a_path_lead_elsewhere(name: str) -> None:
    """A tenant writes what he likes where Kubernetes checks no name, as in a Binding's target."""
    with pytest.raises(InvalidError, match="not a name"):
        PODS.path("default", name)
    with pytest.raises(InvalidError, match="not a name"):
        PODS.path(name, "web")


def test_names_are_one_segment_of_a_path() -> None:
    path = PODS.path("a/../b", "c?force#%2e%2e", "log")
    assert path == "/api/v1/namespaces/a%2F..%2Fb/pods/c%3Fforce%23%252e%252e/log"
    assert URL(f"https://192.0.2.1{path}").raw_path == path


def test_connections_of_a_burst_are_closed_while_others_are_used(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "KEEP_SECONDS", 3.0)

    async def run() -> None:
        client = control_plane.client()

        def connections() -> int:
            assert client._session is not None
            connector = client._session.connector
            assert connector is not None
            return sum(len(idle) for idle in connector._conns.values())

        most = 0

        async def ask() -> None:
            nonlocal most
            await client.request("GET", "/version")
            most = max(most, connections())

        await asyncio.gather(*(ask() for _ in range(8)))
        assert most > 1  # when the last of them is answered, those of the others may be closed already

        async def one() -> bool:
            await ask()
            return connections() == 1

        await eventually(one)
        await client.close()

    asyncio.run(run())
