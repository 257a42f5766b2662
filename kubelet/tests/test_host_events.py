"""Events of the host about a pod's copy: told inside, once each, not too many, with virtual names."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, EVENTS, PODS
from k3k_kubelet.cache import Store
from k3k_kubelet.events import micro_timestamp, timestamp
from k3k_kubelet.sync import mirror
from k3k_kubelet.sync.mirror import EventMirror, Sides
from k3k_kubelet.translate import identity

from kubelet.tests.clusters import CLUSTER, NAMESPACE, Clusters
from kubelet.tests.waiting import SECONDS, eventually, never
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

NOBODY = {"involvedObject": {"kind": "Pod", "name": "gone", "uid": "4"}}
"""What an event is about that was deleted long ago."""
BURST = 25
"""Events of one pod that are told at once."""
SECONDS_EACH = 20
"""Then it is one in so many."""


async def say(world: World, host_pod: dict[str, Any], name: str, message: str, **rest: Any) -> None:
    """Does what the host's kubelet or scheduler does."""
    metadata = host_pod["metadata"]
    about = {
        "apiVersion": "v1",
        "kind": "Pod",
        **{key: metadata[key] for key in ("name", "namespace", "uid")},
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{name}", "namespace": NAMESPACE},
        "involvedObject": about,
        "reason": "FailedMount",
        "type": "Warning",
        "message": message,
        "firstTimestamp": timestamp(),
        "lastTimestamp": timestamp(),
        "count": 1,
        "source": {"component": "kubelet", "host": "node-a"},
        **rest,
    }
    await world.host.create(EVENTS, NAMESPACE, event)


async def told(world: World, name: str) -> list[dict[str, Any]]:
    """The host's events about a pod, as they stand inside."""
    query = {"fieldSelector": f"involvedObject.name={name},reason=FailedMount"}
    return await world.virtual.list_all(EVENTS, world.namespace, query=query)


def test_a_repeated_event_is_one_with_its_count_and_series(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(CONFIG_MAPS, "settings", data={"a": "1"})
        volume = {"name": "v", "configMap": {"name": "settings"}}
        await world.pod("user", volumes=[volume])
        host = await world.host_pod("user")
        copy, pod = world.host_name("settings"), host["metadata"]["name"]
        await say(world, host, "a", f'configmap "{copy}" not found in pod {pod}_{NAMESPACE}')
        (event,) = await eventually(lambda: told(world, "user"))
        assert event["message"] == f'configmap "settings" not found in pod user_{world.namespace}'
        assert event["source"] == {"component": "kubelet", "host": "node-a"}
        change = {"count": 7, "lastTimestamp": timestamp(), "message": f"still no {copy}"}
        await world.host.patch(EVENTS, NAMESPACE, f"{pod}.a", change)

        async def repeated() -> list[dict[str, Any]]:
            return [each for each in await told(world, "user") if each["count"] == 7]

        (again,) = await eventually(repeated)
        assert again["metadata"]["uid"] == event["metadata"]["uid"]
        assert again["message"] == "still no settings"
        # The newer kind of event, as schedulers write them: repeats are a series.
        now = micro_timestamp()
        newer = {"count": None, "firstTimestamp": None, "lastTimestamp": None, "source": {}, "eventTime": now}
        newer |= {"action": "Scheduling", "reportingComponent": "s", "reportingInstance": "s-1"}
        await say(world, host, "b", "no room", **newer)
        await eventually(lambda: _count(world, "user", 2))
        series = {"series": {"count": 4, "lastObservedTime": micro_timestamp()}}
        await world.host.patch(EVENTS, NAMESPACE, f"{pod}.b", series)

        async def in_series() -> list[dict[str, Any]]:
            return [
                each for each in await told(world, "user") if (each.get("series") or {}).get("count") == 4
            ]

        (found,) = await eventually(in_series)
        assert (found["message"], found["reportingComponent"]) == ("no room", "s")

    in_world(clusters, test)


async def _count(world: World, name: str, count: int) -> bool:
    return len(await told(world, name)) >= count


def test_events_of_one_pod_are_limited_and_do_not_hold_up_another(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("loud")
        await world.pod("quiet")
        loud, quiet = await world.host_pod("loud"), await world.host_pod("quiet")
        began = time.monotonic()
        for n in range(BURST + 15):
            await say(world, loud, f"{n:02}", f"word {n}")
        await eventually(lambda: _count(world, "loud", BURST))
        await say(world, quiet, "a", "one word")
        await eventually(lambda: _count(world, "quiet", 1))

        async def too_many() -> bool:
            count = len(await told(world, "loud"))
            return count > BURST + 1 + (time.monotonic() - began) / SECONDS_EACH

        await never(too_many, 1.0)
        await world.virtual.delete(PODS, world.namespace, "loud", grace_period=0)

    in_world(clusters, test)


def test_an_event_may_come_before_what_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler says its word at once, and that word may reach the kubelet before the pod does."""
    monkeypatch.setattr(mirror, "EARLY_PAUSE", 0.01)
    monkeypatch.setattr(mirror, "EARLY_SECONDS", SECONDS)
    copy = {"name": "web-on-host", "namespace": NAMESPACE, "uid": "1", "resourceVersion": "1"}
    event = {
        "metadata": {**copy, "name": "web.1", "creationTimestamp": timestamp()},
        "involvedObject": {"kind": "Pod", "name": copy["name"], "uid": copy["uid"]},
        "message": "no room",
    }
    names = {identity.CLUSTER: CLUSTER, identity.NAMESPACE: "shop", identity.NAME: "web"}
    copy_of_pod = {"metadata": {**copy, "annotations": {**names, identity.UID: "2"}}}
    pod = {"metadata": {"name": "web", "namespace": "shop", "uid": "2", "resourceVersion": "1"}}
    written: list[dict[str, Any]] = []

    async def create(_: Any, __: str, body: dict[str, Any]) -> None:
        written.append(body)

    async def test() -> None:
        sides, client = Sides(Store(), Store()), SimpleNamespace(endpoint=SimpleNamespace(name="host"))
        cluster = SimpleNamespace(name=CLUSTER, namespace=NAMESPACE)
        shared: Any = SimpleNamespace(host=client, virtual=SimpleNamespace(create=create), cluster=cluster)
        told_of = EventMirror(shared, {"Pod": sides}, lambda _: {})
        running = asyncio.create_task(told_of.queue.run())
        told_of._store.put(event)
        await eventually(lambda: told_of._early)
        sides.virtual.put(pod)
        sides.host.put(copy_of_pod)
        await eventually(lambda: written)
        assert (written[0]["involvedObject"]["name"], written[0]["message"]) == ("web", "no room")
        assert not told_of._early
        monkeypatch.setattr(mirror, "EARLY_SECONDS", 0.0)
        told_of._store.put({**event, "metadata": {**event["metadata"], "name": "old.1", "uid": "3"}} | NOBODY)
        await eventually(lambda: not told_of._store.get(NAMESPACE, "old.1"))
        assert len(written) == 1
        assert not told_of._early
        running.cancel()

    asyncio.run(test())
