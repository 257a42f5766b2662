"""Cumulative CPU time from the host's rates: metrics.k8s.io tells cores, Prometheus wants seconds.

A sample says how many cores were used on average before its time; each new one adds that rate times the time
since the one before. A counter begins with the window of its first sample, and at nothing again in another
process, which Prometheus takes for the reset that it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from k3k_kubelet.api.client import Object
from k3k_kubelet.usage.usage import PodUsage

_STATUSES = ("containerStatuses", "initContainerStatuses")


@dataclass(slots=True)
class _Counter:
    """CPU seconds of one run of a container, up to the sample of a time."""

    run: str
    seconds: float
    at: float


class CpuCounters:
    """Counters of containers, pods and Nodes. None goes down but for another run of the container."""

    def __init__(self) -> None:
        self._containers: dict[tuple[str, str, str], _Counter] = {}
        self._pods: dict[tuple[str, str], float] = {}
        self._nodes: dict[str, float] = {}

    def add(self, node: str, usages: Iterable[PodUsage], alive: Set[str]) -> None:
        """Takes over the newest samples of a Node's pods; one that was taken over before adds nothing.

        Args:
            node: Its name.
            usages: Its pods that use something now.
            alive: uids of all its pods; others are forgotten.
        """
        for usage in usages:
            uid = usage.pod["metadata"]["uid"]
            grown = sum(
                self._grow((node, uid, each.name), usage, each.nanocores) for each in usage.containers
            )
            self._pods[node, uid] = self._pods.get((node, uid), 0.0) + grown
            self._nodes[node] = self._nodes.get(node, 0.0) + grown
        self._containers = {k: v for k, v in self._containers.items() if k[0] != node or k[1] in alive}
        self._pods = {k: v for k, v in self._pods.items() if k[0] != node or k[1] in alive}

    def keep(self, nodes: Set[str]) -> None:
        """Forgets all Nodes but these: hosts that grow and shrink have others every day."""
        if self._nodes.keys() - nodes:
            self._containers = {k: v for k, v in self._containers.items() if k[0] in nodes}
            self._pods = {k: v for k, v in self._pods.items() if k[0] in nodes}
            self._nodes = {k: v for k, v in self._nodes.items() if k in nodes}

    def container(self, node: str, pod: Object, name: str) -> float:
        """CPU seconds of a container's present run."""
        counter = self._containers.get((node, pod["metadata"]["uid"], name))
        return counter.seconds if counter else 0.0

    def pod(self, node: str, pod: Object) -> float:
        """CPU seconds of a pod, earlier runs of its containers included."""
        return self._pods.get((node, pod["metadata"]["uid"]), 0.0)

    def node(self, node: str) -> float:
        """CPU seconds of all pods that a Node has had."""
        return self._nodes.get(node, 0.0)

    def _grow(self, key: tuple[str, str, str], usage: PodUsage, nanocores: int) -> float:
        sample, run = usage.sample, container_id(usage.pod, key[2])
        counter = self._containers.get(key)
        if counter is None or counter.run != run:
            counter = self._containers[key] = _Counter(run, 0.0, sample.at - sample.window_seconds)
        grown = max(0, nanocores) / 1e9 * max(0.0, sample.at - counter.at)
        counter.seconds += grown
        counter.at = max(counter.at, sample.at)
        return grown


def container_id(pod: Object, name: str) -> str:
    """The id of a container's present run, `""` while the status does not have it."""
    return str(_status(pod, name).get("containerID") or "")


def started_at(pod: Object, name: str) -> str:
    """When a container's present run began, RFC 3339; `""` while it does not run."""
    running = (_status(pod, name).get("state") or {}).get("running") or {}
    return str(running.get("startedAt") or "")


def _status(pod: Object, name: str) -> Object:
    status = pod.get("status") or {}
    found = (each for kind in _STATUSES for each in status.get(kind) or () if each.get("name") == name)
    return next(found, {})
