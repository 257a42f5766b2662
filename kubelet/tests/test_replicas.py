"""Two replicas: one acts, both serve; and what becomes of that when one dies, stops, or is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from k3k_kubelet.api import LEASES, PODS

from kubelet.tests.clusters import CLUSTER, CONTROL_PLANE, Clusters
from kubelet.tests.proxy import slow
from kubelet.tests.replica import Replica
from kubelet.tests.waiting import eventually, never
from kubelet.tests.witness import witness
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-failures")  # slow: not on the worker that has the others

TAKEOVER_SECONDS = 30.0
"""Until the other one has the Lease: 13 at the most, and a busy machine's share."""
STOPPED_SECONDS = 20.0
SILENT_SECONDS = 15.0
"""Until one that is cut off is seen to write no more: 7 at the most, and a busy machine's share."""


@pytest.fixture
def replicas(clusters: Clusters) -> Iterator[tuple[Replica, Replica]]:
    """The one that acts and the one that follows, in place of the clusters' own kubelet."""
    clusters.stop_kubelet()
    pair = Replica(clusters, "kubelet-0"), Replica(clusters, "kubelet-1", "127.0.0.2")
    try:
        pair[0].start()
        asyncio.run(eventually(pair[0].leads))  # whoever was killed before holds it for a while
        asyncio.run(eventually(pair[0].ready))  # not only one of its name, which has ended
        pair[1].start()
        asyncio.run(eventually(pair[1].ready))
        yield pair
    finally:
        for replica in pair:
            replica.close()
        clusters.start_kubelet()


def test_who_does_not_know_both_sides_does_not_lead(clusters: Clusters) -> None:
    clusters.stop_kubelet()
    replica = Replica(clusters, "kubelet-alone")  # the Lease may have the name of one that has ended
    try:
        replica.virtual.refuse()
        replica.start()
        asyncio.run(eventually(lambda: '"message":"list or watch failed"' in replica.log()))
        asyncio.run(never(lambda: asyncio.to_thread(lambda: replica.leads() or replica.ready()), 3.0))
        replica.virtual.listen()
        asyncio.run(eventually(replica.leads))
        asyncio.run(eventually(replica.ready))
    finally:
        replica.close()
        clusters.start_kubelet()


def test_both_serve_every_node(clusters: Clusters, replicas: tuple[Replica, Replica]) -> None:
    pki = clusters.virtual.pki
    context = ssl.create_default_context(cafile=str(pki / "kubelet-serving-ca.crt"))
    context.load_cert_chain(pki / "kubelet-client.crt", pki / "kubelet-client.key")
    context.check_hostname = False  # the certificate is for the Service's address

    async def test(world: World) -> None:
        await world.pod("served")
        pod = await world.running("served", "node-served")
        node = await world.node("node-served")
        assert node is not None
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]

        def pods_by(replica: Replica) -> str:
            url = f"https://{replica.address}:{port}/pods"
            try:
                with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                    return str(answer.read())
            except OSError:  # it does not serve the Node yet
                return ""

        for replica in replicas:
            await eventually(lambda replica=replica: pod["metadata"]["uid"] in pods_by(replica))  # type: ignore[misc]
        assert replicas[1].virtual.writes() + replicas[1].host.writes() == []

    in_world(clusters, test)


async def _keep_creating(world: World, names: list[str], stop: asyncio.Event) -> None:
    """Creates a pod each 100 ms."""
    while not stop.is_set():
        name = f"pod-{len(names)}"
        await world.pod(name)
        names.append(name)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.1)


@contextlib.asynccontextmanager
async def creating(world: World) -> AsyncIterator[list[str]]:
    """Creates pods all the time; then each of them has had exactly one copy."""
    names: list[str] = []
    stop = asyncio.Event()
    async with witness(world) as seen:
        task = asyncio.create_task(_keep_creating(world, names, stop))
        try:
            yield names
        finally:
            stop.set()
            await task
        for name in names:
            await world.host_pod(name)
        await seen.assert_once(world, *names)


def _taken_over(
    clusters: Clusters,
    replicas: tuple[Replica, Replica],
    fail: Callable[[Replica], None],
    afterwards: Callable[[World, float], Awaitable[None]],
) -> None:
    """The leader fails while pods are created; the other one goes on in time."""
    leader, other = replicas

    async def test(world: World) -> None:
        async with creating(world) as names:
            await eventually(lambda: len(names) > 10)
            await world.host_pod(names[5])
            fail(leader)
            failed, failed_at = time.monotonic(), time.time()
            await world.pod("after")
            names.append("after")
            await eventually(lambda: world.host_get(PODS, "after"))
            assert other.leads()
            lease = await world.host.get(LEASES, CONTROL_PLANE, f"{CLUSTER}-kubelet")
            taken = datetime.datetime.fromisoformat(lease["spec"]["acquireTime"]).timestamp()
            assert taken - failed_at < TAKEOVER_SECONDS
            await eventually(other.ready)
            await afterwards(world, failed)

    in_world(clusters, test)


def test_the_other_goes_on_when_the_leader_is_killed(
    clusters: Clusters, replicas: tuple[Replica, Replica]
) -> None:
    async def afterwards(world: World, _: float) -> None:
        await world.running("after", "node-a")

    _taken_over(clusters, replicas, lambda leader: leader.signal(signal.SIGKILL), afterwards)


def test_a_leader_that_was_stopped_writes_nothing_beside_the_next_one(
    clusters: Clusters, replicas: tuple[Replica, Replica]
) -> None:
    leader, other = replicas

    async def afterwards(_: World, failed: float) -> None:
        await eventually(lambda: time.monotonic() >= failed + STOPPED_SECONDS)
        goes_on = time.monotonic()
        leader.signal(signal.SIGCONT)
        assert leader.process is not None
        assert await asyncio.to_thread(leader.process.wait, 60) == 1
        # The signal may have come between its look at the Lease and the request: that one is too late.
        late = [*leader.host.writes(after=goes_on), *leader.virtual.writes(after=goes_on)]
        assert [each.code for each in late] in ([], [409]), late
        assert f"is held by {other.name}" in leader.log()
        leader.start()  # as the host's kubelet does
        await eventually(leader.ready)
        assert other.leads()

    _taken_over(clusters, replicas, lambda leader: leader.signal(signal.SIGSTOP), afterwards)


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_leader_that_is_cut_off_from_the_host_makes_way(
    clusters: Clusters, replicas: tuple[Replica, Replica], how: str
) -> None:
    leader, other = replicas

    def fail(_: Replica) -> None:
        if how == "refused":
            leader.host.refuse()
        else:
            stack.enter_context(leader.host.broken(slow(600.0)))

    async def afterwards(world: World, failed: float) -> None:
        lease = (await _node_lease(world))["spec"]["renewTime"]
        await eventually(lambda: time.monotonic() >= failed + SILENT_SECONDS + 3.0)
        late = leader.virtual.writes(after=failed + SILENT_SECONDS)
        assert [each for each in late if "/leases/" not in each.path] == []
        await eventually(lambda: not leader.ready())
        await eventually(lambda: _renewed(world, lease))

    async def _node_lease(world: World) -> dict[str, dict[str, str]]:
        return await world.virtual.get(LEASES, "kube-node-lease", "node-cut")

    async def _renewed(world: World, before: str) -> bool:
        return (await _node_lease(world))["spec"]["renewTime"] != before

    async def node(world: World) -> None:
        await world.pod("first")
        await world.running("first", "node-cut")

    with contextlib.ExitStack() as stack:
        in_world(clusters, node)
        _taken_over(clusters, replicas, fail, afterwards)
    if how == "refused":
        leader.host.listen()
    assert leader.process is not None
    assert leader.process.wait(60) == 1  # back in the world, it learns who leads
    assert f"is held by {other.name}" in leader.log()
