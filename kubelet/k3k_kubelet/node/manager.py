"""Makes virtual Nodes when they are needed, and removes them when no pod names them any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from k3k_kubelet.api import NODES, PODS, SERVICES, AlreadyExistsError, ApiClient, ApiError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Store, WorkQueue
from k3k_kubelet.config import MAX_NODES, Config
from k3k_kubelet.node import manifest
from k3k_kubelet.node.heartbeat import Heartbeats
from k3k_kubelet.node.serving import all_ports, is_ours

log = logging.getLogger(__name__)

UNUSED_SECONDS = 60.0
"""How long no pod must have named a Node before it goes: pods come back, and Nodes should not flap."""


class NodeManager:
    """The virtual Nodes of a cluster.

    Args:
        config: The kubelet's configuration.
        host: Host API server, for the ports of the kubelet's Service.
        virtual: Virtual API server.
        heartbeats: Keeps Nodes alive.
        nodes: All Nodes of the virtual cluster.
        pods: All its pods, with the index `node`.
        address: ClusterIP of the kubelet's Service.
    """

    def __init__(
        self,
        config: Config,
        host: ApiClient,
        virtual: ApiClient,
        heartbeats: Heartbeats,
        nodes: Store,
        pods: Store,
        address: str,
    ) -> None:
        self._config = config
        self._host = host
        self._virtual = virtual
        self._heartbeats = heartbeats
        self._nodes = nodes
        self._pods = pods
        self._address = address
        self._ports: dict[str, int] = {}
        self._ready: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._service_lock = asyncio.Lock()
        self._last_used: dict[str, float] = {}
        self.queue: WorkQueue[str] = WorkQueue("nodes", self._reconcile, concurrency=8)
        pods.subscribe(self._pod_changed)
        nodes.subscribe(self._node_changed)

    def is_ours_or_absent(self, name: str) -> bool:
        """Whether a Node is ours or does not exist; a Node that joined by itself has its own kubelet."""
        entry = self._nodes.get("", name)
        return entry is None or self._is_ours(entry.object())

    def start(self) -> None:
        """Takes over the Nodes there are; call it when the stores have synced."""
        for entry in self._nodes:
            node = entry.object()
            port = manifest.port_of(node)
            # The status is the tenant's to write as well: a port that is not ours to give is not taken over.
            if not self._is_ours(node) or port is None or port in self._ports.values():
                continue
            if port in all_ports(self._config):
                self._ports[entry.name] = port
        for name in list(self._ports):
            self.queue.add(name)

    def add_all(self) -> None:
        """Looks at all Nodes, and at all that pods name."""
        for name in self._pods.values("node") | self._ports.keys():
            self.queue.add(name)

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    async def ensure(self, name: str) -> None:
        """Makes the Node of that name unless it is there and served.

        Raises:
            ApiError: One of the API servers refused.
        """
        self._last_used[name] = asyncio.get_running_loop().time()
        if name in self._ready:
            return
        async with self._lock(name):
            await self._make(name)

    @contextlib.asynccontextmanager
    async def in_use(self, name: str) -> AsyncIterator[None]:
        """Makes the Node if need be, and keeps it from being removed meanwhile."""
        self._last_used[name] = asyncio.get_running_loop().time()
        async with self._lock(name):
            await self._make(name)
            yield

    async def _make(self, name: str) -> None:
        if name in self._ready:
            return
        port = self._ports.get(name) or self._free_port()
        self._ports[name] = port
        await self._publish_ports()
        wanted = manifest.node(name, port, self._address, self._config)
        entry = self._nodes.get("", name)
        if entry is None:
            try:
                node = await self._virtual.create(NODES, None, wanted)
                self._nodes.observe(node)
                log.info("node made", extra={"node": name, "port": port})
            except AlreadyExistsError:
                node = await self._virtual.get(NODES, None, name)
        else:
            node = entry.object()
        if not self._is_ours(node):
            log.warning("a node of this name joined by itself", extra={"node": name})
            await self._withdraw(name)
            return
        if self._is_changed(node, port):
            change = {"status": wanted["status"]}
            self._nodes.observe(await self._virtual.patch(NODES, None, name, change, subresource="status"))
        self._heartbeats.start(name, node["metadata"]["uid"])
        self._ready.add(name)

    async def _reconcile(self, name: str) -> float | None:
        """Removes a Node that no pod has named for a while; makes or serves one that pods name."""
        pods = self._pods.by_index("node", name)
        now = asyncio.get_running_loop().time()
        if any(not _of_daemon_set(entry.object()) for entry in pods):
            self._last_used[name] = now
            if self.is_ours_or_absent(name) and any(_is_copied(entry.object()) for entry in pods):
                await self.ensure(name)
            return None
        if name not in self._ports:
            return None
        idle = now - self._last_used.setdefault(name, now)
        if idle < UNUSED_SECONDS:
            if self._nodes.get("", name) is not None:
                async with self._lock(name):
                    await self._make(name)
            return UNUSED_SECONDS - idle
        await self._remove(name)
        return None

    async def _remove(self, name: str) -> None:
        async with self._lock(name):
            idle = asyncio.get_running_loop().time() - self._last_used.get(name, 0.0)
            listed = await self._virtual.list_all(PODS, query={"fieldSelector": f"spec.nodeName={name}"})
            if idle < UNUSED_SECONDS or any(not _of_daemon_set(pod) for pod in listed):
                self.queue.add_after(name, UNUSED_SECONDS)
                return
            entry = self._nodes.get("", name)
            if entry is not None and self._is_ours(entry.object()):
                with contextlib.suppress(NotFoundError):
                    await self._virtual.delete(NODES, None, name, uid=entry.uid)
                log.info("node removed", extra={"node": name})
            await self._withdraw(name)

    async def _withdraw(self, name: str) -> None:
        self._ready.discard(name)
        self._heartbeats.stop(name)
        self._ports.pop(name, None)
        self._last_used.pop(name, None)
        await self._publish_ports()

    async def _publish_ports(self) -> None:
        """Gives the Service a port for each Node, in one patch at a time."""
        async with self._service_lock:
            config = self._config
            service = await self._host.get(SERVICES, config.control_plane_namespace, config.service)
            ports = manifest.service_ports(set(self._ports.values()), config.first_port)
            present = [(port["port"], port.get("targetPort")) for port in service["spec"].get("ports") or ()]
            if present != [(port["port"], port["targetPort"]) for port in ports]:
                change = {"spec": {"ports": ports}}
                await self._host.patch(SERVICES, config.control_plane_namespace, config.service, change)

    def _free_port(self) -> int:
        used = set(self._ports.values())
        for port in all_ports(self._config):
            if port not in used:
                return port
        raise ApiError(0, "NoPort", f"a cluster has at most {MAX_NODES} virtual nodes")

    def _is_changed(self, node: Object, port: int) -> bool:
        """Whether a Node leads elsewhere than to us, or is of another version."""
        found = (manifest.port_of(node), manifest.address_of(node))
        version = (node.get("status") or {}).get("nodeInfo", {}).get("kubeletVersion")
        return found != (port, self._address) or version != self._config.version

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _is_ours(self, node: Object) -> bool:
        return is_ours(node, self._config.cluster)

    def _pod_changed(self, change: Change) -> None:
        before, now = (entry.values[0] if entry else () for entry in change)
        if before != now:
            for name in {*before, *now}:
                self.queue.add(name)

    def _node_changed(self, change: Change) -> None:
        """A Node that somebody deleted is made anew while pods name it; one that was changed is put right."""
        name = change.entry.name
        if name not in self._ready:
            return
        if change.new is None:
            self._heartbeats.stop(name)
        elif not self._is_changed(change.new.object(), self._ports[name]):
            return
        self._ready.discard(name)
        self.queue.add(name)


def _of_daemon_set(pod: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner["kind"] == "DaemonSet" and owner.get("controller") for owner in owners)


def _is_copied(pod: Object) -> bool:
    """Whether the host has begun with a pod: what a tenant merely writes into nodeName makes no Node."""
    return bool((pod.get("status") or {}).get("startTime"))
