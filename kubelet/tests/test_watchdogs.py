"""Informers behind a real API server that seems to live: silent, lossy, or ending each watch at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, ApiClient, VirtualEndpoint
from k3k_kubelet.cache import Informer, Store, informer

from kubelet.tests import proxy
from kubelet.tests.controlplane import ADDRESS, ControlPlane
from kubelet.tests.proxy import Proxy
from kubelet.tests.waiting import SECONDS, eventually


@pytest.fixture
def server(control_plane: ControlPlane) -> Iterator[Proxy]:
    """A proxy of the API server's."""
    found = Proxy(control_plane, as_admin=True)
    try:
        yield found
    finally:
        found.close()


def with_informer(
    plane: ControlPlane, server: Proxy, test: Callable[[ApiClient, Informer], Awaitable[None]], **options: Any
) -> None:
    """Runs a test with an informer behind the proxy and a client that goes around it."""

    async def run() -> None:
        files = (plane.pki / "admin.crt", plane.pki / "admin.key")
        behind = ApiClient(VirtualEndpoint(ADDRESS, server.port, plane.pki / "server-ca.crt", files))
        found = Informer(behind, CONFIG_MAPS, Store(), namespace="default", **options)
        client = plane.client()
        task = asyncio.create_task(found.run())
        try:
            await asyncio.wait_for(found.synced.wait(), SECONDS)
            await eventually(lambda: server.watches)
            await test(client, found)
        finally:
            task.cancel()
            await client.close()
            await behind.close()

    asyncio.run(run())


async def create(client: ApiClient, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    await client.create(CONFIG_MAPS, "default", body)


def test_a_silent_watch_is_given_up(control_plane: ControlPlane, server: Proxy) -> None:
    async def test(client: ApiClient, found: Informer) -> None:
        server.stall_watches("configmaps")
        await create(client, "silent")
        await eventually(lambda: found.store.get("default", "silent"))
        await eventually(lambda: [watch for watch in server.watches if not watch.stalled])

    with_informer(control_plane, server, test, idle=1.0)


def test_a_change_that_the_watch_lost_is_found(
    control_plane: ControlPlane, server: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "IN_FLIGHT_SECONDS", 0.1)
    monkeypatch.setattr(informer, "VERIFIED_AT_ONCE", 2)

    async def test(client: ApiClient, found: Informer) -> None:
        store = found.store
        for name in ("lost-same", "lost-changed", "lost-deleted"):
            await create(client, name)
        await eventually(lambda: store.get("default", "lost-deleted"))
        watch = next(iter(server.watches))
        await found.verify()
        assert watch in server.watches  # all is well: nothing is done
        server.stall_watches("configmaps")
        await create(client, "lost-new")
        await client.patch(CONFIG_MAPS, "default", "lost-changed", {"data": {"a": "b"}})
        await client.delete(CONFIG_MAPS, "default", "lost-deleted")
        await found.verify()
        await eventually(lambda: store.get("default", "lost-new"))
        await eventually(lambda: store.get("default", "lost-deleted") is None)
        changed = store.get("default", "lost-changed")
        assert changed is not None
        assert changed.object()["data"] == {"a": "b"}
        await eventually(lambda: server.watches)
        await create(client, "lost-later")
        await eventually(lambda: store.get("default", "lost-later"))

    with_informer(control_plane, server, test)


@pytest.mark.parametrize(
    "answer",
    [
        proxy.page(200),
        proxy.status(410, "Expired"),
        proxy.error_event(410, "Expired"),
        proxy.status(500, "InternalError"),
    ],
    ids=["empty", "gone", "gone in the stream", "error"],
)
def test_a_server_that_ends_each_watch_is_not_flooded(
    control_plane: ControlPlane, server: Proxy, answer: proxy.Answer
) -> None:
    async def test(client: ApiClient, found: Informer) -> None:
        with server.broken(answer, applies=proxy.is_watch) as fault:
            server.cut_watches()
            began = time.monotonic()
            await eventually(lambda: time.monotonic() > began + 3.0 and fault.hits >= 2)
            assert fault.hits <= 8
        name = f"after-{time.monotonic_ns()}"
        await create(client, name)
        await eventually(lambda: found.store.get("default", name))

    with_informer(control_plane, server, test)
