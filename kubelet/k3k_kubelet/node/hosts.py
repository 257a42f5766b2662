"""What is known of the host's nodes: all of it, or what pods and quotas tell without rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from k3k_kubelet.cache import Store
from k3k_kubelet.config import Config
from k3k_kubelet.node import facts
from k3k_kubelet.node.facts import Facts
from k3k_kubelet.node.health import PodsHealth
from k3k_kubelet.policy import Pods

Object = dict[str, Any]


class HostNodes:
    """The host's nodes as virtual Nodes are to show them.

    Args:
        config: The kubelet's configuration: whether the host's Nodes are read.
        policy: The tenant's policy as it is now.
        pods: The cluster's pods on the host, with the index `health`.
        nodes: The host's Nodes; empty without the right to read them.
        quotas: ResourceQuotas of the workload namespace; empty with that right.
    """

    def __init__(
        self, config: Config, policy: Callable[[], Pods], *, pods: Store, nodes: Store, quotas: Store
    ) -> None:
        self._config = config
        self._policy = policy
        self._nodes = nodes
        self._quotas = quotas
        self._handlers: list[Callable[[str | None], None]] = []
        self._health: PodsHealth | None = None
        if config.mirror_host_nodes:
            nodes.subscribe(lambda change: self._tell(change.entry.name))
        else:
            self._health = PodsHealth(pods, self._tell)
            quotas.subscribe(lambda _: self._tell(None))

    def subscribe(self, handler: Callable[[str | None], None]) -> None:
        """Calls `handler` with the name of a node of which something else is known now, None for all."""
        self._handlers.append(handler)

    def facts(self, name: str) -> Facts:
        """What the virtual Node of that name is to say."""
        if self._health is None:
            entry = self._nodes.get("", name)
            return facts.mirrored(name, entry.object() if entry else None, self._policy())
        capacity = facts.capacity(self._config.node_capacity, (entry.object() for entry in self._quotas))
        return facts.on_use(name, capacity, failed=self._health.has_failed(name))

    def is_mirrored(self, name: str) -> bool:
        """Whether the host has a node of that name where pods of this cluster may run, and we may read it."""
        entry = self._nodes.get("", name)
        return entry is not None and facts.admits(entry.object(), self._policy())

    def is_gone(self, name: str) -> bool:
        """Whether we know that the host has no node of that name any more."""
        return self._config.mirror_host_nodes and self._nodes.get("", name) is None

    def mirrored(self) -> set[str]:
        """All nodes of which `is_mirrored` is true."""
        return {entry.name for entry in self._nodes if self.is_mirrored(entry.name)}

    def forget(self, name: str) -> None:
        """There is no virtual Node of that name any more."""
        if self._health is not None:
            self._health.forget(name)

    def _tell(self, name: str | None) -> None:
        for handler in self._handlers:
            handler(name)


def reduce_host_node(node: Object) -> None:
    """Of a host Node only what `facts.mirrored` looks at."""
    status = node.get("status") or {}
    node["status"] = {
        key: status[key] for key in ("allocatable", "capacity", "conditions", "nodeInfo") if key in status
    }
    for each in node["status"].get("conditions") or ():
        each.pop("lastHeartbeatTime", None)
    node["spec"] = {"taints": (node.get("spec") or {}).get("taints") or []}
    node["metadata"].pop("annotations", None)


def reduce_virtual_node(node: Object) -> None:
    """Of a virtual Node only what `manifest.change` and `manifest.status_change` look at."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    node["spec"] = {key: spec[key] for key in ("taints", "unschedulable") if key in spec}
    kept = ("addresses", "allocatable", "capacity", "conditions", "daemonEndpoints", "nodeInfo")
    node["status"] = {key: status[key] for key in kept if key in status}


def reduce_quota(quota: Object) -> None:
    """Of a ResourceQuota only what it limits."""
    quota.pop("status", None)
