"""Makes virtual Nodes when they are needed, keeps them as they should be, and removes them in the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

from k3k_kubelet.api import NODES, PODS, AlreadyExistsError, ApiClient, ApiError, ConflictError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Store, WorkQueue
from k3k_kubelet.config import Config
from k3k_kubelet.node import manifest
from k3k_kubelet.node.heartbeat import Heartbeats
from k3k_kubelet.node.hosts import HostNodes
from k3k_kubelet.node.ports import Ports
from k3k_kubelet.node.serving import is_ours
from k3k_kubelet.translate import is_terminal

log = logging.getLogger(__name__)

_SERVICE = ""
"""In the queue, where names of Nodes are: the kubelet's Service."""
WRITES = 4
"""How often a Node is read again because somebody else wrote it at the same time, before the queue waits."""


class NodeTakenError(ApiError):
    """A Node of that name inside is none of ours."""

    def __init__(self, name: str) -> None:
        message = (
            f"Node {name!r} is the name of a node of the host and of a Node that the virtual kubelet did not "
            "make: delete the Node, and it is made anew"
        )
        super().__init__(0, "NodeTaken", message)


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
        hosts: What the Nodes are to say.
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
        hosts: HostNodes,
    ) -> None:
        self._config = config
        self._virtual = virtual
        self._heartbeats = heartbeats
        self._nodes = nodes
        self._pods = pods
        self._address = address
        self._ports = Ports(config, host)
        self._settled: set[str] = set()
        """Nodes that are there, alive as far as the host says so, and as they should be."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._last_used: dict[str, float] = {}
        self._users: Counter[str] = Counter()
        """How many are within `in_use`."""
        self._hosts = hosts
        self.queue: WorkQueue[str] = WorkQueue("nodes", self._reconcile)
        pods.subscribe(self._pod_changed)
        nodes.subscribe(self._node_changed)
        hosts.subscribe(self._host_changed)

    def is_ours_or_absent(self, name: str) -> bool:
        """Whether a Node is ours or does not exist; a Node that joined by itself has its own kubelet."""
        entry = self._nodes.get("", name)
        return entry is None or self._is_ours(entry.object())

    def start(self) -> None:
        """Takes over the Nodes there are; call it when the stores have synced."""
        for entry in self._nodes:
            node = entry.object()
            if self._is_ours(node):
                self._ports.adopt(entry.name, manifest.port_of(node))
        for name in self._ports.names():
            self.queue.add(name)

    def add_all(self) -> None:
        """Looks at all Nodes, at all that pods name, and at the Service that leads to them."""
        self.queue.add(_SERVICE)
        for name in self._pods.values("node") | self._ports.names() | self._hosts.mirrored():
            self.queue.add(name)

    def answers(self, name: str) -> bool:
        """Whether the host's node of that name is heard of, as far as we know; `""`: no node at all."""
        return not name or self._hosts.facts(name).answers

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    async def ensure(self, name: str) -> None:
        """Makes the Node of that name unless it is there, and counts it as used.

        Raises:
            NodeTakenError: A Node of that name is there that is none of ours.
            ApiError: One of the API servers refused.
        """
        self._last_used[name] = asyncio.get_running_loop().time()
        if name not in self._settled:
            async with self._lock(name):
                await self._make(name)

    @contextlib.asynccontextmanager
    async def in_use(self, name: str) -> AsyncIterator[None]:
        """Makes the Node if need be, and keeps it from being removed meanwhile.

        The lock is not held for that: a binding that hangs is to delay no other one.

        Raises:
            NodeTakenError: A Node of that name is there that is none of ours.
            ApiError: One of the API servers refused.
        """
        async with self._lock(name):
            await self._make(name)
            self._users[name] += 1
        try:
            yield
        finally:
            self._users[name] -= 1
            self._users += Counter()  # drops what is zero
            self._last_used[name] = asyncio.get_running_loop().time()

    async def _make(self, name: str) -> None:
        """Brings a Node to what it should be, call it with its lock."""
        if name in self._settled:
            return
        port = await self._ports.give(name)
        wanted = self._wanted(name, port)
        entry = self._nodes.get("", name)
        node = await self._create(name, wanted) if entry is None else entry.object()
        if not self._is_ours(node):
            await self._withdraw(name)
            raise NodeTakenError(name)
        node = await self._settle(node, wanted)
        if self.answers(name):
            self._heartbeats.start(name, node["metadata"]["uid"])
        else:
            self._heartbeats.stop(name)
        self._settled.add(name)

    async def _create(self, name: str, wanted: Object) -> Object:
        try:
            node = await self._virtual.create(NODES, None, wanted)
        except AlreadyExistsError:
            return await self._virtual.get(NODES, None, name)
        log.info("node made", extra={"node": name, "port": manifest.port_of(node)})
        self._nodes.observe(node)
        return node

    async def _settle(self, node: Object, wanted: Object) -> Object:
        """Writes what is not as it should be. Others write Nodes as well, so each write is tied to a version.

        Raises:
            ConflictError: Somebody else wrote it each time.
        """
        name = node["metadata"]["name"]
        for tries in range(WRITES):
            try:
                change = manifest.change(node, wanted)
                if change is not None:
                    node = await self._virtual.patch(NODES, None, name, change)
                change = self._status_change(node, wanted)
                if change is not None:
                    node = await self._virtual.patch(NODES, None, name, change, subresource="status")
                break
            except ConflictError:
                if tries == WRITES - 1:
                    raise
                node = await self._virtual.get(NODES, None, name)
        self._nodes.observe(node)
        return node

    async def _reconcile(self, name: str) -> float | None:
        """Removes a Node that nothing has needed for a while; makes, mends or keeps one that is needed."""
        if name == _SERVICE:
            await self._ports.publish()
            return None
        now = asyncio.get_running_loop().time()
        entry = self._nodes.get("", name)
        if entry is None or not self._is_settled(entry.object()):
            self._settled.discard(name)
        if self._is_needed(name):
            if name in self._ports:  # else a tenant's word alone, of which nothing must be kept
                self._last_used[name] = now
            if self.is_ours_or_absent(name) and (entry is not None or self._is_on_the_host(name)):
                async with self._lock(name):
                    await self._make(name)
            return None
        if name not in self._ports:
            return None
        idle = now - self._last_used.setdefault(name, now)
        if idle < self._config.unused_node_seconds:
            if entry is not None:
                async with self._lock(name):
                    await self._make(name)
            return self._config.unused_node_seconds - idle
        await self._remove(name)
        return None

    def _is_needed(self, name: str) -> bool:
        """Whether a Node has to be there: it is mirrored, or a pod keeps it."""
        pods = self._pods.by_index("node", name)
        return self._hosts.is_mirrored(name) or any(self._keeps(entry.object(), name) for entry in pods)

    def _keeps(self, pod: Object, name: str) -> bool:
        """Whether a pod is a reason for its Node to stay.

        Pods that have ended are: the pod garbage collector deletes those whose Node is gone. Of a node that
        the host is known to have no more, it should.
        """
        if of_daemon_set(pod):
            return False
        return not (is_terminal(pod) and self._hosts.is_gone(name))

    def _is_on_the_host(self, name: str) -> bool:
        """Whether the host has said that it has the node: what a tenant writes into nodeName makes none."""
        pods = self._pods.by_index("node", name)
        return self._hosts.is_mirrored(name) or any(_is_copied(entry.object()) for entry in pods)

    async def _remove(self, name: str) -> None:
        async with self._lock(name):
            asked = asyncio.get_running_loop().time()
            listed = await self._virtual.list_all(PODS, query={"fieldSelector": f"spec.nodeName={name}"})
            unused = self._config.unused_node_seconds
            idle = asked - self._last_used.get(name, 0.0)  # who has used it since is not in the list
            if idle < unused or self._users[name] or any(self._keeps(pod, name) for pod in listed):
                self.queue.add_after(name, unused)
                return
            entry = self._nodes.get("", name)
            if entry is not None and self._is_ours(entry.object()):
                with contextlib.suppress(NotFoundError):
                    await self._virtual.delete(NODES, None, name, uid=entry.uid)
                log.info("node removed", extra={"node": name})
            await self._withdraw(name)

    async def _withdraw(self, name: str) -> None:
        self._settled.discard(name)
        self._heartbeats.stop(name)
        self._last_used.pop(name, None)
        self._hosts.forget(name)
        await self._ports.take_back(name)

    def _wanted(self, name: str, port: int) -> Object:
        return manifest.node(name, port, self._address, self._config, self._hosts.facts(name))

    def _status_change(self, node: Object, wanted: Object) -> Object | None:
        return manifest.status_change(node, wanted, answers=self.answers(node["metadata"]["name"]))

    def _is_settled(self, node: Object) -> bool:
        """Whether a Node that is ours needs no change."""
        name = node["metadata"]["name"]
        port = self._ports.get(name)
        if port is None:
            return False
        wanted = self._wanted(name, port)
        return manifest.change(node, wanted) is None and self._status_change(node, wanted) is None

    def _is_ours(self, node: Object) -> bool:
        """Whether we made a Node. The tenant may take our label off it: the address then still says so."""
        return is_ours(node, self._config.cluster) or manifest.address_of(node) == self._address

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _pod_changed(self, change: Change) -> None:
        before, now = (self._pods.values_of("node", entry) if entry else () for entry in change)
        for name in {*before, *now}:
            if before != now or self._hosts.is_gone(name):
                self.queue.add(name)

    def _host_changed(self, name: str | None) -> None:
        for each in self._ports.names() if name is None else {name}:
            self.queue.add(each)

    def _node_changed(self, change: Change) -> None:
        """A Node that somebody deleted is made anew while it is needed; one that was changed is put right."""
        name = change.entry.name
        if name not in self._ports:
            return
        if change.new is None:
            self._heartbeats.stop(name)
        elif self._is_settled(change.new.object()):
            return
        self._settled.discard(name)
        self.queue.add(name)


def of_daemon_set(pod: Mapping[str, Any]) -> bool:
    """Whether a DaemonSet made a pod."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner["kind"] == "DaemonSet" and owner.get("controller") for owner in owners)


def _is_copied(pod: Object) -> bool:
    """Whether the host has begun with a pod."""
    return bool((pod.get("status") or {}).get("startTime"))
