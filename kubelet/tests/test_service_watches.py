"""Services whose twins change while the kubelet is behind: what admission made of them stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from aiohttp import web
from k3k_kubelet.api import SERVICES
from k3k_kubelet.sync.apply import MANIFEST

from kubelet.tests import proxy
from kubelet.tests.clusters import Clusters
from kubelet.tests.proxy import stall
from kubelet.tests.replica import Replica
from kubelet.tests.services import asked, service, settled, twin
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-failures")


def node_port(spec: dict[str, Any]) -> int:
    found: int = spec["ports"][0].get("nodePort", 0)
    return found


def copies(path: str) -> Callable[[web.Request, bytes], bool]:
    """Whether a request is the sync's, for the twin of a path."""
    return lambda request, body: (
        request.method == "PATCH" and request.path.endswith(path) and MANIFEST.encode() in body
    )


class Copied:
    """Node ports that the sync of one Service has applied to its twin, 0 for none."""

    def __init__(self, path: str) -> None:
        self._copies = copies(path)
        self.ports: list[int] = []

    def __call__(self, request: web.Request, body: bytes) -> bool:
        """Notes a request down, and does nothing to it."""
        if self._copies(request, body):
            self.ports.append(node_port(orjson.loads(body)["spec"]))
        return False


def test_what_was_decided_before_does_not_set_a_twin_back(replica: Replica, clusters: Clusters) -> None:
    """A Service becomes another one while the copy of what it was is on its way to the host."""

    async def test(world: World) -> None:
        await asked(world)
        path = f"/{world.host_name('web')}"
        go_on = threading.Event()
        with replica.host.broken(proxy.held(go_on), applies=copies(path), times=1) as fault:
            await service(world, "web")
            await eventually(lambda: fault.hits)
            change = {"spec": {"type": "NodePort"}}
            made = (await world.virtual.patch(SERVICES, world.namespace, "web", change))["spec"]
            given = await twin(world, "web")
            go_on.set()
            await eventually(
                lambda: 409 in [each.code for each in replica.host.writes() if each.path.endswith(path)]
            )
        copy = await world.until_host(
            SERVICES, "web", lambda each: MANIFEST in each["metadata"]["annotations"]
        )
        for spec in (given["spec"], copy["spec"]):
            assert spec["ports"][0]["nodePort"] == made["ports"][0]["nodePort"]

    in_world(clusters, test)


def test_a_twin_that_the_watch_of_the_host_has_not_told_is_not_set_back(
    replica: Replica, clusters: Clusters
) -> None:
    """A Service becomes another one while the kubelet looks whether what it was has a copy."""

    async def test(world: World) -> None:
        await asked(world)
        path = f"/{world.host_name('web')}"

        def looks(request: web.Request, _: bytes) -> bool:
            return request.method == "GET" and request.path.endswith(path)

        go_on, copied = threading.Event(), Copied(path)
        await stall(replica.host, "services", count=2)  # that of admission, and that of the sync
        with replica.host.broken(proxy.held(go_on), applies=looks, times=1) as fault:
            await service(world, "web")
            await eventually(lambda: fault.hits)
            change = {"spec": {"type": "NodePort"}}
            with replica.host.broken(proxy.page(500), applies=copied):
                made = (await world.virtual.patch(SERVICES, world.namespace, "web", change))["spec"]
                go_on.set()
                await eventually(lambda: copied.ports)
                replica.host.cut_watches()
                host = await eventually(lambda: settled(world, "web"))
        assert node_port(host["spec"]) == node_port(made)
        assert set(copied.ports) == {node_port(made)}

    in_world(clusters, test)


def test_a_service_that_is_made_anew_is_not_taken_for_the_earlier_one(
    replica: Replica, clusters: Clusters
) -> None:
    """The host's watch tells of its twin before that of the virtual cluster tells that the other is gone."""

    async def test(world: World) -> None:
        await asked(world)
        path = f"/{world.namespace}/services/web"
        await service(world, "web")
        before = await eventually(lambda: settled(world, "web"))
        copied = Copied(f"/{world.host_name('web')}")

        def looks() -> int:
            seen = list(replica.virtual.seen)
            return sum(each.method == "GET" and each.path.endswith(path) for each in seen)

        await stall(replica.virtual, "services")
        with replica.host.broken(proxy.page(500), applies=copied):
            await world.virtual.delete(SERVICES, world.namespace, "web")
            looked = looks()
            made = (await service(world, "web", type="NodePort"))["spec"]
            await eventually(lambda: looks() >= looked + 2 or copied.ports)  # admission, and then the sync
            replica.virtual.cut_watches()
            host = await eventually(lambda: settled(world, "web"))
        assert host["metadata"]["uid"] == before["metadata"]["uid"]
        assert node_port(host["spec"]) == node_port(made)
        assert set(copied.ports) == {node_port(made)}

    in_world(clusters, test)
