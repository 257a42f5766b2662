"""Events of the kubelet's own: one that cannot be written now is written later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from k3k_kubelet import events
from k3k_kubelet.api import EVENTS, NODES, ApiClient, ApiError, Resource
from k3k_kubelet.events import EventRecorder
from k3k_kubelet.leader import NotLeadingError

from kubelet.tests.clusters import Clusters
from kubelet.tests.waiting import SECONDS, eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def test_an_event_of_a_time_without_the_lease_is_written_afterwards(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        tried, may_write = asyncio.Event(), False

        def gate() -> None:
            tried.set()
            if not may_write:
                raise NotLeadingError

        client = ApiClient(world.virtual.endpoint, before_write=gate)
        recorder = EventRecorder(client)
        metadata = {"name": "web", "namespace": world.namespace, "uid": "1"}
        for reason in ("First", "Second"):
            recorder.emit({"metadata": metadata}, "Warning", reason, "told once")
        running = asyncio.create_task(recorder.run())
        await asyncio.wait_for(tried.wait(), SECONDS)
        running.cancel()  # as when the Lease is lost
        may_write = True
        running = asyncio.create_task(recorder.run())

        async def written() -> bool:
            found: list[dict[str, Any]] = await world.virtual.list_all(EVENTS, world.namespace)
            return {"First", "Second"} <= {event["reason"] for event in found}

        try:
            await eventually(written)
        finally:
            running.cancel()
            await client.close()

    in_world(clusters, test)


class Picky(ApiClient):
    """An API server whose webhook is away, for what is told of one object."""

    def __init__(self) -> None:
        self.is_away = True
        self.written: list[str] = []

    async def create(self, resource: Resource, namespace: str | None, body: Any, **_: Any) -> Any:
        assert (resource, namespace) == (EVENTS, "n")
        name = body["involvedObject"]["name"]
        if name == "odd":
            raise TypeError("the answer is none")
        if name == "held" and self.is_away:
            raise ApiError(500, "InternalError", "failed calling webhook")
        self.written.append(name)


def test_an_event_that_is_not_taken_holds_no_other_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RETRY_SECONDS", 0.01)

    async def test() -> None:
        server = Picky()
        recorder = EventRecorder(server)
        names = ("held", "odd", "first", "second")
        for name in names:
            recorder.emit({"metadata": {"name": name, "namespace": "n", "uid": name}}, "Normal", "R", "m")
        running = asyncio.create_task(recorder.run())
        await eventually(lambda: server.written == ["first", "second"])
        server.is_away = False
        await eventually(lambda: server.written == ["first", "second", "held"])
        assert not running.done()
        running.cancel()

    asyncio.run(test())


def test_an_event_about_an_object_without_a_namespace_is_in_the_default_one(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        recorder = EventRecorder(world.virtual)
        node = {"metadata": {"name": f"node-of-{world.namespace}", "uid": world.namespace}}
        recorder.emit(node, "Normal", "Told", "about a Node", resource=NODES)
        running = asyncio.create_task(recorder.run())

        async def written() -> list[dict[str, Any]]:
            query = {"fieldSelector": f"involvedObject.uid={world.namespace}"}
            return await world.virtual.list_all(EVENTS, "default", query=query)

        try:
            (event,) = await eventually(written)
        finally:
            running.cancel()
        about = event["involvedObject"]
        assert (about["kind"], about["name"]) == ("Node", node["metadata"]["name"])
        assert "namespace" not in about

    in_world(clusters, test)
