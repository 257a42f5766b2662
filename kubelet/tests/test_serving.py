"""Which Node is served on which port, by the replica that made the Node and by those that did not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from k3k_kubelet.cache import Store
from k3k_kubelet.config import Config
from k3k_kubelet.node import NodeApis, serving
from k3k_kubelet.translate import identity

from kubelet.tests.waiting import SECONDS, eventually

CONFIG = Config(
    cluster="vc",
    namespace="n",
    control_plane_namespace="n",
    anchor="a",
    service="s",
    lease="l",
    service_account="s",
    cluster_domain="cluster.local",
    version="v1.34.4",
)


class Sockets:
    """Ports of this replica; a taken one cannot be had twice."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.closed: list[str] = []
        self.taken: set[int] = set()

    async def listen(self, node: str, port: int) -> None:
        if port in self.taken or port in self.open.values():
            raise OSError("address already in use")
        self.open[node] = port

    async def close(self, node: str) -> None:
        self.closed.append(node)
        self.open.pop(node, None)


class Replica:
    def __init__(self) -> None:
        self.nodes = Store({"port": partial(serving.ports, CONFIG)})
        self.sockets = Sockets()
        self.apis = NodeApis(self.nodes, self.sockets)
        self._version = 0

    def put(self, name: str, port: int, **labels: str) -> None:
        self._version += 1
        metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self._version)}
        status = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
        labels = {identity.CLUSTER: CONFIG.cluster, **labels}
        self.nodes.put({"metadata": {**metadata, "labels": labels}, "status": status})

    def remove(self, name: str) -> None:
        self._version += 1
        version = str(self._version)
        self.nodes.remove({"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version}})

    async def serves(self, **ports: int) -> None:
        await eventually(lambda: self.sockets.open == ports)


def on_replica(test: Callable[[Replica], Awaitable[None]], *before: tuple[str, int]) -> None:
    async def run() -> None:
        replica = Replica()
        for name, port in before:
            replica.put(name, port)
        task = asyncio.create_task(replica.apis.run())
        try:
            await asyncio.wait_for(replica.apis.serving.wait(), SECONDS)
            await test(replica)
        finally:
            task.cancel()

    asyncio.run(run())


def test_every_node_of_ours_is_served_from_the_first_moment_on() -> None:
    async def test(replica: Replica) -> None:
        assert replica.sockets.open == {"a": 10250, "b": 10251}
        replica.put("c", 10260)
        await replica.serves(a=10250, b=10251, c=10260)
        replica.remove("a")
        await replica.serves(b=10251, c=10260)
        replica.put("d", 10250)
        await replica.serves(b=10251, c=10260, d=10250)
        assert replica.sockets.closed == ["a"]

    on_replica(test, ("a", 10250), ("b", 10251))


@pytest.mark.parametrize("port", [0, 80, 8081, 9443, 10249, 11250, 70000])
def test_no_port_is_opened_but_those_of_nodes(port: int) -> None:
    async def test(replica: Replica) -> None:
        replica.put("forged", port)
        replica.put("honest", 10251)
        await replica.serves(honest=10251)
        replica.put("honest", port)  # until the leader has put it right, it is served where it was
        replica.put("last", 10252)
        await replica.serves(honest=10251, last=10252)
        assert replica.sockets.closed == []

    on_replica(test)


def test_a_node_of_another_kubelet_is_not_served() -> None:
    async def test(replica: Replica) -> None:
        replica.put("joined", 10250, **{identity.CLUSTER: ""})
        replica.put("ours", 10251)
        await replica.serves(ours=10251)

    on_replica(test)


def test_a_node_does_not_take_the_port_of_another() -> None:
    async def test(replica: Replica) -> None:
        replica.put("thief", 10252)
        await replica.serves(victim=10250, thief=10252)
        replica.put("thief", 10250)
        replica.put("a-first-one", 10250)
        replica.put("last", 10253)
        await replica.serves(victim=10250, thief=10252, last=10253)
        replica.put("thief", 10254)
        await replica.serves(victim=10250, thief=10254, last=10253)
        assert replica.sockets.closed == ["thief"]

    on_replica(test, ("victim", 10250))


def test_a_port_that_is_taken_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.05)

    async def test(replica: Replica) -> None:
        replica.sockets.taken = {10250}
        replica.put("a", 10250)
        replica.put("b", 10251)
        await replica.serves(b=10251)
        replica.sockets.taken = set()
        await replica.serves(a=10250, b=10251)

    on_replica(test)


def test_heartbeats_of_nodes_disturb_nobody() -> None:
    async def test(replica: Replica) -> None:
        seen: list[Any] = []
        replica.nodes.subscribe(seen.append)
        for _ in range(3):
            replica.put("a", 10250)
        assert len(seen) == 3
        assert not replica.apis._wake.is_set()

    on_replica(test, ("a", 10250))
