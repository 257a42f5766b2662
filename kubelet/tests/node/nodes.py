"""A NodeManager with its stores, between tests and one real API server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from k3k_kubelet.api import NODES, PODS, SERVICE_ACCOUNTS, SERVICES, ApiClient, NotFoundError
from k3k_kubelet.cache import Informer, Store
from k3k_kubelet.config import Config, NodeCapacity
from k3k_kubelet.node import NodeApis, NodeManager, facts, health, manifest, serving
from k3k_kubelet.node.heartbeat import Heartbeats
from k3k_kubelet.node.hosts import HostNodes
from k3k_kubelet.policy import Pods

from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.waiting import eventually
from kubelet.tests.world import NAMESPACES

_numbers = itertools.count(1)


class Listener:
    """Which Nodes are served, on which port."""

    def __init__(self) -> None:
        self.served: dict[str, int] = {}

    async def listen(self, node: str, port: int) -> None:
        self.served[node] = port

    async def close(self, node: str) -> None:
        self.served.pop(node, None)


class Nodes:
    """A NodeManager and its stores; one real API server is host and virtual cluster at once."""

    def __init__(self, client: ApiClient, namespace: str, **config: Any) -> None:
        self.client = client
        self.namespace = namespace
        self.config = Config(
            cluster=namespace,
            namespace=namespace,
            control_plane_namespace=namespace,
            anchor="a",
            service="kubelet",
            lease="l",
            service_account="s",
            cluster_domain="cluster.local",
            version="v1.34.4",
            node_capacity=NodeCapacity(cpu="3"),
            **config,
        )
        self.nodes = Store({"port": partial(serving.ports, self.config)})
        self.pods = Store({"node": _node_of})
        self.listener = Listener()
        self.apis = NodeApis(self.nodes, self.listener)
        self.heartbeats = Heartbeats(client)
        self.hosts = HostNodes(
            self.config,
            Pods,
            pods=Store({health.INDEX: health.signs}),
            nodes=Store(),
            quotas=Store(),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[NodeManager]:
        informers = [
            Informer(self.client, NODES, self.nodes),
            Informer(self.client, PODS, self.pods, namespace=self.namespace),
        ]
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        for informer in informers:
            await informer.synced.wait()
        service = await self.client.get(SERVICES, self.namespace, "kubelet")
        made = NodeManager(
            self.config,
            self.client,
            self.client,
            self.heartbeats,
            self.nodes,
            self.pods,
            service["spec"]["clusterIP"],
            self.hosts,
        )
        made.start()
        tasks += [asyncio.create_task(work) for work in (made.run(), self.apis.run())]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await self.heartbeats.close()

    def made_before(self, name: str, address: str, port: int) -> dict[str, Any]:
        """A Node as an earlier process of another address has made it."""
        said = facts.on_use(name, {"cpu": "3"}, failed=False)
        return manifest.node(name, port, address, self.config, said)

    async def pod(self, name: str, node: str, **metadata: Any) -> None:
        """A pod that is bound and that the host has begun with."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **metadata},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": "x"}],
            },
        }
        await self.client.create(PODS, self.namespace, body)
        change = {"status": {"startTime": "2026-01-01T00:00:00Z"}}
        await self.client.patch(PODS, self.namespace, name, change, subresource="status")

    async def have_ports(self, expected: list[int]) -> None:
        """Waits for it: a port goes from the Service after its Node has gone."""

        async def published() -> bool:
            service = await self.client.get(SERVICES, self.namespace, "kubelet")
            ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
            extension = ports.pop("extension", None)
            return extension == self.config.extension_port and list(ports.values()) == expected

        await eventually(published)


def _node_of(pod: dict[str, Any]) -> list[str]:
    node = pod["spec"].get("nodeName")
    return [node] if node else []


def with_nodes(plane: ControlPlane, test: Callable[[Nodes], Awaitable[None]], **config: Any) -> None:
    async def run() -> None:
        client = plane.client()
        name = f"nodes-{next(_numbers)}"
        await client.create(NAMESPACES, None, named("v1", "Namespace", name))
        await client.create(SERVICE_ACCOUNTS, name, named("v1", "ServiceAccount", "default"))
        service = named("v1", "Service", "kubelet")
        service["spec"] = {"ports": [{"name": "node-0", "port": 10250}]}
        await client.create(SERVICES, name, service)
        try:
            await test(Nodes(client, name, **config))
        finally:
            await client.close()

    asyncio.run(run())


def named(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


async def exists(client: ApiClient, name: str) -> bool:
    with contextlib.suppress(NotFoundError):
        await client.get(NODES, None, name)
        return True
    return False


async def absent(client: ApiClient, name: str) -> bool:
    return not await exists(client, name)
