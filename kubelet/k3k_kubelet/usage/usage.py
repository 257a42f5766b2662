"""The host's samples joined to the virtual pods they are of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Entry, Store
from k3k_kubelet.translate import identity
from k3k_kubelet.usage.reading import ContainerSample, HostUsage, PodSample

_AT_A_TIME = 50
"""Pods decoded before others have their turn: 5 ms."""
_CONTAINERS = ("containers", "initContainers")


@dataclass(frozen=True, slots=True)
class PodUsage:
    """A virtual pod and what it uses.

    Attributes:
        pod: The virtual pod.
        sample: The host's sample of its copy.
        containers: Of the sample, those that the virtual pod has; the host may have injected others.
    """

    pod: Object
    sample: PodSample
    containers: tuple[ContainerSample, ...]

    @property
    def nanocores(self) -> int:
        """CPU of all containers in billionths of a core."""
        return sum(each.nanocores for each in self.containers)

    @property
    def memory(self) -> int:
        """Working set of all containers in bytes."""
        return sum(each.memory for each in self.containers)


class Usage:
    """What the pods of the virtual cluster use.

    Args:
        source: The host's figures.
        pods: The virtual pods, with the index `node`.
        nodes: The virtual Nodes.
        host_pod: (virtual namespace, name) -> its copy on the host, None without one.
    """

    def __init__(
        self, source: HostUsage, pods: Store, nodes: Store, host_pod: Callable[[str, str], Entry | None]
    ) -> None:
        self._source = source
        self._pods = pods
        self._nodes = nodes
        self._host_pod = host_pod

    async def all(self, namespace: str | None = None) -> list[PodUsage]:
        """Pods with usage: of a virtual namespace, or all.

        Raises:
            UnavailableError: The host does not tell.
        """
        return await self._joined(e for e in self._pods if namespace is None or e.namespace == namespace)

    async def pod(self, namespace: str, name: str) -> PodUsage | None:
        """One pod, None while nothing is known of what it uses.

        Raises:
            UnavailableError: The host does not tell.
        """
        entry = self._pods.get(namespace, name)
        return next(iter(await self._joined((entry,) if entry else ())), None)

    async def of_node(self, node: str) -> list[PodUsage]:
        """Pods with usage that are bound to a Node.

        Raises:
            UnavailableError: The host does not tell.
        """
        return await self._joined(self._pods.by_index("node", node))

    def pods_of(self, node: str) -> list[bytes]:
        """All virtual pods that are bound to a Node, with usage or without, as JSON."""
        return [entry.json() for entry in self._pods.by_index("node", node)]

    def uids_of(self, node: str) -> set[str]:
        """Uids of the virtual pods that are bound to a Node."""
        return {entry.uid for entry in self._pods.by_index("node", node)}

    def nodes(self) -> list[Object]:
        """Our virtual Nodes; one that joined by itself has a kubelet of its own."""
        found = (entry.object() for entry in self._nodes)
        return [node for node in found if identity.CLUSTER in (node["metadata"].get("labels") or {})]

    def node_names(self) -> set[str]:
        """Names of all virtual Nodes."""
        return {entry.name for entry in self._nodes}

    async def _joined(self, entries: Iterable[Entry]) -> list[PodUsage]:
        reading = await self._source.read()
        found: list[PodUsage] = []
        for number, entry in enumerate(tuple(entries), 1):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            host = self._host_pod(*entry.key)
            sample = reading.get(host.name) if host else None
            if host is None or sample is None:
                continue
            pod = entry.object()
            if identity.uid_of_copy(pod) == host.uid:  # else the copy is that of an earlier pod of this name
                found.append(PodUsage(pod, sample, _own(pod, sample.containers)))
        return found


def _own(pod: Object, containers: Sequence[ContainerSample]) -> tuple[ContainerSample, ...]:
    names = {each["name"] for kind in _CONTAINERS for each in pod["spec"].get(kind) or ()}
    return tuple(each for each in containers if each.name in names)
