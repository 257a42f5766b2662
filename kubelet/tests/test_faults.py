"""What networks and API servers do to the kubelet: nothing is lost, nothing doubled, and soon all is well.

Each fault hits both API servers at once, while pods are made, change and go on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from aiohttp import web
from k3k_kubelet.api import PODS, ApiError

from kubelet.tests import proxy
from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.proxy import Proxy
from kubelet.tests.replica import Replica, in_place
from kubelet.tests.services import asked, service, twin
from kubelet.tests.waiting import eventually
from kubelet.tests.witness import witness
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-failures")  # slow: not on the worker that has the others

CONVERGED_SECONDS = 15.0 + 15.0
"""After the end of a fault both sides are in step within the first, on a machine that stands still meanwhile
now and then with the second."""
FAULT_SECONDS = 4.0
HITS = 12
"""Requests of each API server that a fault has to hit."""

Disturb = Callable[[Proxy], AbstractContextManager[Callable[[], bool]]]
"""Breaks one of the API servers while the context lasts; says whether it has lasted long enough."""


@pytest.fixture(scope="module")
def replica(clusters: Clusters) -> Iterator[Replica]:
    """A kubelet behind proxies, in place of the clusters' own."""
    with in_place(clusters) as found:
        yield found


def requests(answer: proxy.Answer, *, hits: int = HITS, **rest: object) -> Disturb:
    """Requests are answered otherwise."""

    @contextlib.contextmanager
    def disturb(server: Proxy) -> Iterator[Callable[[], bool]]:
        with server.broken(answer, **rest) as fault:
            server.cut_watches()
            yield lambda: fault.hits >= hits

    return disturb


def watches(answer: proxy.Answer) -> Disturb:
    """Watches alone are, a few times each."""
    return requests(answer, applies=proxy.is_watch, hits=8)


@contextlib.contextmanager
def torn(server: Proxy) -> Iterator[Callable[[], bool]]:
    """Each watch is cut in the middle of what it tells, again and again."""
    began = time.monotonic()

    def lasted() -> bool:
        server.cut_watches(in_mid_line=True)
        return time.monotonic() > began + FAULT_SECONDS

    lasted()
    yield lasted


@contextlib.contextmanager
def refused(server: Proxy) -> Iterator[Callable[[], bool]]:
    began = time.monotonic()
    server.refuse()
    try:
        yield lambda: time.monotonic() > began + FAULT_SECONDS
    finally:
        server.listen()


FAULTS: dict[str, Disturb] = {
    "watches cut in mid line": torn,
    "410 Gone": watches(proxy.status(410, "Expired")),
    "410 in the stream": watches(proxy.error_event(410, "Expired")),
    "500 in the stream": watches(proxy.error_event(500, "InternalError")),
    "empty watches": watches(proxy.page(200)),
    "429 with Retry-After": requests(proxy.status(429, "TooManyRequests", **{"Retry-After": "1"})),
    "429 without": requests(proxy.status(429, "TooManyRequests")),
    "500": requests(proxy.status(500, "InternalError")),
    "502 of a load balancer": requests(proxy.page(502)),
    "503": requests(proxy.status(503, "ServiceUnavailable")),
    "504": requests(proxy.status(504, "Timeout")),
    "504 after the write": requests(proxy.swallowed(504), applies=proxy.is_write, hits=4),
    "200 without JSON": requests(proxy.page(200)),
    "200 with JSON of something else": requests(proxy.said({"metadata": [7], "items": {"spec": 3}})),
    "200 with a list": requests(proxy.said([{"metadata": {}}])),
    "odd events": watches(proxy.said({"type": ["ADDED"], "object": 7})),
    "slow": requests(proxy.slow(1.5)),
    "truncated": requests(proxy.truncated(announced=True)),
    "truncated without length": requests(proxy.truncated(announced=False)),
    "refused": refused,
}


async def through(world: World, replica: Replica, disturb: Disturb) -> float:
    """Works on both sides during a fault.

    Returns:
        How long it took afterwards until all was well, without what so much work takes here on a good day.
    """
    async with witness(world) as seen:
        before = ("stays", "deleted", "killed")
        began = time.monotonic()
        for name in before:
            await world.pod(name)
        for name in before:
            await world.running(name, "node-a")
        work = 2 * (time.monotonic() - began)
        made = [f"made-{number}" for number in range(5)]
        with disturb(replica.host) as host, disturb(replica.virtual) as virtual:
            for name in made:
                await world.pod(name)
            await world.virtual.delete(PODS, world.namespace, "deleted")
            await world.report("stays", {"message": "during the fault"})
            await world.host.delete(PODS, NAMESPACE, world.host_name("killed"), grace_period=0)
            await eventually(lambda: host() and virtual())
        ended = time.monotonic()
        for name in made:
            await world.host_pod(name)
        await world.until_host(PODS, "deleted", lambda pod: pod["metadata"].get("deletionTimestamp"))
        await world.until("stays", lambda pod: pod["status"].get("message") == "during the fault")
        await eventually(lambda: _ended(world, "killed"))
        took = time.monotonic() - ended - work
        await world.killed("deleted")
        await world.gone(PODS, "deleted")
        for name in made[:2]:
            await world.running(name, "node-a")
        await seen.assert_once(world, *before, *made)
    return took


async def _ended(world: World, name: str) -> bool:
    pod = await world.get(PODS, name)
    return pod is None or pod["status"]["phase"] == "Failed"


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_doubled(replica: Replica, clusters: Clusters, fault: str) -> None:
    async def test(world: World) -> None:
        took = await through(world, replica, FAULTS[fault])
        assert took < CONVERGED_SECONDS
        assert replica.process is not None
        assert replica.process.poll() is None

    in_world(clusters, test)


def _restarted(planes: dict[Proxy, ControlPlane], *, compacted: bool) -> Disturb:
    @contextlib.contextmanager
    def disturb(server: Proxy) -> Iterator[Callable[[], bool]]:
        """The API server is away for the kubelet; meanwhile it restarts, and etcd forgets what it was."""
        plane = planes[server]
        server.refuse()
        try:
            yield lambda: True
            if compacted:
                plane.compact()
            plane.stop("kube-apiserver")
            plane.start_api_server()
        finally:
            server.listen()

    return disturb


@pytest.mark.parametrize("compacted", [False, True])
def test_both_api_servers_restart(replica: Replica, clusters: Clusters, compacted: bool) -> None:
    """With etcd compacted, what happened meanwhile can be told by nobody any more."""
    planes = {replica.host: clusters.host, replica.virtual: clusters.virtual}

    async def test(world: World) -> None:
        assert await through(world, replica, _restarted(planes, compacted=compacted)) < CONVERGED_SECONDS

    in_world(clusters, test)


def test_the_host_is_away_for_a_minute(replica: Replica, clusters: Clusters) -> None:
    """Nodes stay alive, and pods that come and go inside meanwhile are put right at once afterwards."""

    async def test(world: World) -> None:
        async with witness(world) as seen:
            began = time.monotonic()
            for name in ("stays", "deleted"):
                await world.pod(name)
                await world.running(name, "node-a")
            work = 2 * (time.monotonic() - began)
            began = time.monotonic()
            replica.host.refuse()
            made: list[str] = []
            while time.monotonic() < began + 60:
                made.append(f"made-{len(made)}")
                await world.pod(made[-1])
                if time.monotonic() < began + 50:  # else its end may be told after the host is back
                    await world.pod("short")
                    await world.virtual.delete(PODS, world.namespace, "short", grace_period=0)
                await eventually(lambda: time.monotonic() > began + 2 * len(made))
            await world.virtual.delete(PODS, world.namespace, "deleted")
            node = await world.node("node-a")
            assert node is not None
            ready = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
            assert ready[0]["status"] == "True"
            replica.host.listen()
            ended = time.monotonic()
            for name in made:
                await world.host_pod(name)
            await world.until_host(PODS, "deleted", lambda pod: pod["metadata"].get("deletionTimestamp"))
            assert time.monotonic() - ended - work < CONVERGED_SECONDS
            await world.killed("deleted")
            await world.running(made[0], "node-a")
            await seen.assert_once(world, "stays", "deleted", *made)

    in_world(clusters, test)


def _applies_service(request: web.Request, _: bytes) -> bool:
    return request.method == "PATCH" and "/services/" in request.path


def test_a_service_that_the_host_cannot_take_now_is_to_be_asked_for_again(
    replica: Replica, clusters: Clusters
) -> None:
    async def test(world: World) -> None:
        await asked(world)
        with (
            replica.host.broken(proxy.page(502), applies=_applies_service),
            pytest.raises(ApiError, match="the host cannot be reached now: try again") as refused,
        ):
            await service(world, "web")
        assert refused.value.code == 503
        assert refused.value.retry_after == 1.0
        made = await service(world, "web")
        assert made["spec"]["clusterIP"] == (await twin(world, "web"))["spec"]["clusterIP"]

    in_world(clusters, test)


def _creates_slow_pod(request: web.Request, body: bytes) -> bool:
    return request.method == "POST" and request.path.endswith("/pods") and b'"slow-' in body


def test_pods_that_hang_delay_no_other(replica: Replica, clusters: Clusters) -> None:
    """More than may be worked on at a time, as with a webhook of the host's that hangs for some images."""
    slow, fast = ([f"{kind}-{n}" for n in range(count)] for kind, count in (("slow", 40), ("fast", 50)))

    async def test(world: World) -> None:
        async with witness(world) as seen:
            go_on = threading.Event()
            with replica.host.broken(proxy.held(go_on), applies=_creates_slow_pod) as fault:
                for name in slow:
                    await world.pod(name)
                await eventually(lambda: fault.hits >= 32)
                for name in fast:
                    await world.pod(name)
                for name in fast:
                    await world.host_pod(name)
                assert not [name for name in slow if world.host_name(name) in seen.uids]
                go_on.set()
                for name in slow:
                    await world.host_pod(name)
            await seen.assert_once(world, *slow, *fast)

    in_world(clusters, test)


def test_a_binding_that_hangs_delays_no_other_of_its_node(replica: Replica, clusters: Clusters) -> None:
    """As with a webhook that the tenant has put before bindings."""

    async def test(world: World) -> None:
        def applies(request: web.Request, _: bytes) -> bool:
            return request.path.endswith("/pods/slow/binding")

        go_on = threading.Event()
        with replica.virtual.broken(proxy.held(go_on), applies=applies) as fault:
            await world.pod("slow")
            binding = asyncio.create_task(world.schedule("slow", "node-a"))
            await eventually(lambda: fault.hits >= 1)
            await world.pod("fast")
            await world.running("fast", "node-a")
            assert not binding.done()
            go_on.set()
            await binding

    in_world(clusters, test)


def test_the_patrol_finds_what_a_silent_watch_hides(replica: Replica, clusters: Clusters) -> None:
    async def test(world: World) -> None:
        for name in ("changed", "deleted"):
            await world.pod(name)
            await world.running(name, "node-a")
        for server in (replica.host, replica.virtual):
            await _begin_watches_anew(server)
            # Without beats it is taken for dead, and nothing is said, some seconds after the patrol began.
            server.stall_watches("pods", beats=True)
        told = len(replica.log())
        await world.report("changed", {"message": "unheard"})
        await world.pod("unseen")
        await world.virtual.delete(PODS, world.namespace, "deleted")
        await world.until("changed", lambda pod: pod["status"].get("message") == "unheard")
        await world.host_pod("unseen")
        await world.until_host(PODS, "deleted", lambda pod: pod["metadata"].get("deletionTimestamp"))
        # It is no other that found it.
        assert replica.log()[told:].count("the watch has lost changes") >= 2

    in_world(clusters, test)


async def _begin_watches_anew(server: Proxy) -> None:
    """An API server ends each watch after some minutes: an old one might end while it is to be silent."""
    old = set(server.watches)
    server.cut_watches()
    await eventually(lambda: any(each.path.endswith("/pods") for each in server.watches - old))
