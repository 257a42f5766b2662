"""metrics.k8s.io as the aggregator asks for it: by the front proxy's certificate and the user's headers.

Users' rights are those that a real API server knows; the host's figures come from a scripted one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from k3k_kubelet import certificates
from k3k_kubelet.api import ApiClient
from k3k_kubelet.extension import HOST_NAME, ExtensionServer, MetricsApi
from k3k_kubelet.server import Access, TlsFiles, messages

from kubelet.tests.controlplane import ADDRESS, ControlPlane
from kubelet.tests.server import peers
from kubelet.tests.server.peers import answering
from kubelet.tests.usage.samples import pod_metrics, usage_of, virtual_pod
from tests.e2e.support.polling import eventually

BASE = "/apis/metrics.k8s.io/v1beta1"
PODS = [
    virtual_pod("web", app="web"),
    virtual_pod("db", app="db", node="node-b"),
    virtual_pod("other", namespace="shop"),
    virtual_pod("starting"),
]
USED = {"items": [pod_metrics("web"), pod_metrics("db", cpu="1500000n", memory="1Gi"), pod_metrics("other")]}
MASTER = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
READER = {"X-Remote-User": "metrics-reader"}
REVIEW, ANSWER = b'{"review": 1}', b'{"answer": 1}'
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The API server with a user who may list pods' metrics in one namespace."""
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": ["list"]}
    name = {"name": "metrics-reader", "namespace": "default"}
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": name, "rules": [rule]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": name,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "metrics-reader"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "metrics-reader"}],
    }
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
    control_plane.kubectl("apply", "-f", "-", stdin=document)
    right = {"verb": "list", "group": "metrics.k8s.io", "resource": "pods", "namespace": "default"}
    eventually(lambda: control_plane.may("metrics-reader", **right))
    yield control_plane
    control_plane.kubectl("delete", "-f", "-", stdin=document)


@dataclass
class Extension:
    """A running server."""

    plane: ControlPlane
    port: int

    def context(self, certificate: str | None) -> ssl.SSLContext:
        pki = self.plane.pki
        context = ssl.create_default_context(cafile=str(pki / "kubelet-serving-ca.crt"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if certificate:
            context.load_cert_chain(pki / f"{certificate}.crt", pki / f"{certificate}.key")
        return context

    async def ask(
        self,
        path: str,
        headers: Mapping[str, str] = MASTER,
        *,
        method: str = "GET",
        data: bytes | AsyncIterator[bytes] | None = None,
        certificate: str | None = "front-proxy-client",
    ) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                f"https://{ADDRESS}:{self.port}{path}",
                headers=headers,
                data=data,
                ssl=self.context(certificate),
                server_hostname=HOST_NAME,  # as the aggregator expects it
            ) as answer,
        ):
            return answer.status, await answer.json()


def serving(
    plane: ControlPlane,
    folder: Path,
    test: Callable[[Extension], Awaitable[None]],
    script: peers.Script | None = None,
) -> None:
    pki = plane.pki
    leaf = certificates.Certificate(
        name="extension",
        out=str(folder / "extension"),
        ca_certificate=str(pki / "kubelet-serving-ca.crt"),
        ca_key=str(pki / "kubelet-serving-ca.key"),
        common_name="system:node:k3k-pulumi-kubelet",
        dns_names=(HOST_NAME,),
        usages=("server",),
    )
    certificates.apply(certificates.Spec(certificates=(leaf,)))
    peers.make_files(folder)

    async def run() -> None:
        reviews = plane.client()
        async with peers.running(folder, script or answering(200, json.dumps(USED).encode())) as setup:
            host = ApiClient(setup.host)
            api = MetricsApi(usage_of(host, PODS, ["node-a", "node-b", "node-c"]))
            tls = TlsFiles(folder / "extension.crt", folder / "extension.key", pki / "request-header-ca.crt")
            server = ExtensionServer(api, _admit, Access(reviews), tls, address=ADDRESS)
            try:
                await test(Extension(plane, await server.serve(0)))
            finally:
                await server.close()
                await host.close()
                await reviews.close()

    asyncio.run(run())


async def _admit(body: bytes) -> tuple[bytes, int]:
    """An admission that knows one request."""
    if body != REVIEW:
        raise ValueError("it is another one")
    return ANSWER, 403


def names(answer: tuple[int, Any]) -> list[str]:
    code, body = answer
    assert code == 200, body
    return [item["metadata"]["name"] for item in body["items"]]


def test_pods_by_namespace_selector_and_name(plane: ControlPlane, tmp_path: Path) -> None:
    async def test(extension: Extension) -> None:
        ask = extension.ask
        assert names(await ask(f"{BASE}/pods")) == ["web", "db", "other"]  # `starting` has no usage yet
        assert names(await ask(f"{BASE}/namespaces/default/pods")) == ["web", "db"]
        assert names(await ask(f"{BASE}/pods?labelSelector=app%20in%20(db)")) == ["db"]
        assert names(await ask(f"{BASE}/pods?fieldSelector=metadata.namespace=shop")) == ["other"]
        code, web = await ask(f"{BASE}/namespaces/default/pods/web")
        assert code == 200
        assert (web["kind"], web["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")
        assert web["metadata"]["labels"] == {"app": "web"}
        assert (web["timestamp"], web["window"]) == ("2026-01-01T00:01:00Z", "15s")
        # Without the sidecar that the host has injected.
        assert web["containers"] == [{"name": "main", "usage": {"cpu": "250000000n", "memory": "65536Ki"}}]
        for path in (f"{BASE}/namespaces/default/pods/starting", f"{BASE}/namespaces/shop/pods/web"):
            code, status = await ask(path)
            assert (code, status["reason"]) == (404, "NotFound")
        code, status = await ask(f"{BASE}/pods?labelSelector=a=b=c")
        assert (code, status["reason"]) == (400, "BadRequest")

    serving(plane, tmp_path, test)


def test_nodes_use_what_this_clusters_pods_use(plane: ControlPlane, tmp_path: Path) -> None:
    async def test(extension: Extension) -> None:
        _, listed = await extension.ask(f"{BASE}/nodes")
        usage = {item["metadata"]["name"]: item["usage"] for item in listed["items"]}
        assert usage == {
            "node-a": {"cpu": "500000000n", "memory": "131072Ki"},
            "node-b": {"cpu": "1500000n", "memory": "1048576Ki"},
            "node-c": {"cpu": "0n", "memory": "0Ki"},
        }
        _, one = await extension.ask(f"{BASE}/nodes/node-b")
        assert (one["kind"], one["usage"]) == ("NodeMetrics", usage["node-b"])
        code, _ = await extension.ask(f"{BASE}/nodes/none")
        assert code == 404

    serving(plane, tmp_path, test)


def test_tables_for_kubectl_get(plane: ControlPlane, tmp_path: Path) -> None:
    async def test(extension: Extension) -> None:
        _, table = await extension.ask(f"{BASE}/namespaces/default/pods", {**MASTER, "Accept": TABLE})
        assert table["kind"] == "Table"
        assert [column["name"] for column in table["columnDefinitions"]] == [
            "Name",
            "Cpu",
            "Memory",
            "Window",
        ]
        assert [row["cells"] for row in table["rows"]] == [
            ["web", "250000000n", "65536Ki", "15s"],
            ["db", "1500000n", "1048576Ki", "15s"],
        ]
        assert {row["object"]["kind"] for row in table["rows"]} == {"PartialObjectMetadata"}
        _, one = await extension.ask(f"{BASE}/nodes/node-c?includeObject=Object", {**MASTER, "Accept": TABLE})
        assert [row["object"]["kind"] for row in one["rows"]] == ["NodeMetrics"]

    serving(plane, tmp_path, test)


def test_rights_are_asked_of_the_api_server(plane: ControlPlane, tmp_path: Path) -> None:
    async def test(extension: Extension) -> None:
        ask = extension.ask
        assert names(await ask(f"{BASE}/namespaces/default/pods", READER)) == ["web", "db"]
        for path in ("/pods", "/nodes", "/namespaces/shop/pods", "/namespaces/default/pods/web"):
            code, status = await ask(f"{BASE}{path}", READER)
            assert (code, status["reason"]) == (403, "Forbidden"), path
        in_group = {"X-Remote-User": "somebody", "X-Remote-Group": "system:metrics"}
        assert (await ask(f"{BASE}/pods", in_group))[0] == 403
        # What describes the API is open to everyone who is somebody, as RBAC's defaults say.
        assert (await ask(BASE, READER))[0] == 200
        assert (await ask("/openapi/v2", {"X-Remote-User": "system:aggregator"}))[0] == 200
        assert (await ask(BASE, {"X-Remote-User": "system:anonymous"}))[0] == 403
        assert (await ask(BASE, {}))[0] == 401
        assert (await ask(f"{BASE}/pods", method="DELETE"))[0] == 405
        assert (await ask(f"{BASE}/pods?watch=true"))[0] == 405
        assert (await ask("/metrics"))[0] == 404

    serving(plane, tmp_path, test)


@pytest.mark.parametrize("certificate", ["admin", "kubelet-client"])
def test_a_certificate_of_another_ca_does_not_get_past_the_handshake(
    plane: ControlPlane, tmp_path: Path, certificate: str
) -> None:
    """The headers are believed, so who sends them must have the one certificate: not a client CA's."""

    async def test(extension: Extension) -> None:
        for path in (BASE, "/admission/services"):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await extension.ask(path, certificate=certificate)

    serving(plane, tmp_path, test)


def test_without_a_certificate_there_is_admission_alone(plane: ControlPlane, tmp_path: Path) -> None:
    """API servers have none for webhooks."""

    async def test(extension: Extension) -> None:
        for path in (
            "/apis",
            BASE,
            f"{BASE}/pods",
            "/admission",
            "/admission/services/x",
            "/openapi/v2",
            "/",
        ):
            for method in ("GET", "POST"):
                code, _ = await extension.ask(path, method=method, certificate=None)
                assert code == 401, (method, path)
        review = partial(extension.ask, "/admission/services", method="POST", certificate=None)
        assert await review(data=REVIEW) == (200, json.loads(ANSWER))
        code, status = await review(data=b"{}")
        assert (code, status["message"]) == (400, "not an AdmissionReview of a Service: it is another one")
        code, _ = await extension.ask("/admission/services", certificate=None)
        assert code == 405

    serving(plane, tmp_path, test)


def test_what_is_too_large_or_does_not_come_is_no_review(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "BODY_SECONDS", 60.0)
    never = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async def test(extension: Extension) -> None:
        review = partial(extension.ask, "/admission/services", method="POST", certificate=None)
        code, status = await review(data=b" " * (3 * 2**20 + 1))
        assert (code, status["reason"]) == (413, "RequestEntityTooLarge")
        with monkeypatch.context() as hurried:
            hurried.setattr(messages, "BODY_SECONDS", 0.5)
            code, status = await review(data=stuck())
        assert (code, status["message"]) == (400, "the body did not come within 0.5 s")
        assert await review(data=REVIEW) == (200, json.loads(ANSWER))

    serving(plane, tmp_path, test)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (answering(404, b"404 page not found", "text/plain"), "metrics-server or another server of that API"),
        (answering(403, b"{}"), "cannot be read at present (HTTP status 403)"),
        (answering(200, b"<html>"), "cannot be read at present (no answer)"),
    ],
)
def test_a_host_without_metrics_is_said_and_discovery_goes_on(
    plane: ControlPlane, tmp_path: Path, script: peers.Script, words: str
) -> None:
    async def test(extension: Extension) -> None:
        for path in ("/pods", "/nodes", "/namespaces/default/pods/web"):
            code, status = await extension.ask(f"{BASE}{path}")
            assert (code, status["reason"]) == (503, "ServiceUnavailable")
            assert words in status["message"]
            assert "tenant" not in status["message"]  # the host's namespace
        for path in ("/apis", "/apis/metrics.k8s.io", BASE, "/openapi/v2", "/openapi/v3"):
            assert (await extension.ask(path))[0] == 200

    serving(plane, tmp_path, test, script)


def test_documents_describe_what_is_served(plane: ControlPlane, tmp_path: Path) -> None:
    async def test(extension: Extension) -> None:
        _, resources = await extension.ask(BASE)
        assert [(each["name"], each["kind"], each["verbs"]) for each in resources["resources"]] == [
            ("nodes", "NodeMetrics", ["get", "list"]),
            ("pods", "PodMetrics", ["get", "list"]),
        ]
        _, root = await extension.ask("/openapi/v3")
        (entry,) = root["paths"].values()
        _, document = await extension.ask(entry["serverRelativeURL"])
        schemas = document["components"]["schemas"]
        prefix = "#/components/schemas/"
        text = json.dumps(document)
        assert text.count(prefix) == sum(text.count(f'"{prefix}{name}"') for name in schemas)  # none dangles
        kinds = {
            each["kind"] for s in schemas.values() for each in s.get("x-kubernetes-group-version-kind", ())
        }
        assert kinds == {"PodMetrics", "PodMetricsList", "NodeMetrics", "NodeMetricsList"}
        for path in document["paths"]:
            code, _ = await extension.ask(path.format(namespace="default", name="web"))
            assert code in (200, 404), path

    serving(plane, tmp_path, test)
