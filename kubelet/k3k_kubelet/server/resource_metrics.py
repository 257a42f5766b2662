"""/metrics/resource: CPU and memory as Prometheus reads them, under the names of a kubelet's own.

Names and labels: pkg/kubelet/metrics/collectors/resource_metrics.go of Kubernetes 1.34. What the host's
metrics.k8s.io does not tell (swap) is left out.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from k3k_kubelet import metrics
from k3k_kubelet.usage import CpuCounters, PodUsage
from k3k_kubelet.usage.counters import started_at

_CONTAINER, _POD = ("container", "pod", "namespace"), ("pod", "namespace")


def exposition(node: str, usages: Sequence[PodUsage] | None, counters: CpuCounters) -> bytes:
    """The metrics of a Node.

    Args:
        node: Its name.
        usages: Its pods that use something; None when that could not be read.
        counters: With these usages taken over.
    """
    registry = CollectorRegistry()
    registry.register(_Page(node, usages, counters))
    return metrics.exposition(registry)


class _Page(Collector):
    def __init__(self, node: str, usages: Sequence[PodUsage] | None, counters: CpuCounters) -> None:
        self._node = node
        self._usages = usages or ()
        self._failed = usages is None
        self._counters = counters

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known to be different."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Part of Collector."""
        yield from self._containers()
        yield from self._pods()
        yield from self._whole()
        for name in ("scrape_error", "resource_scrape_error"):  # the older name, and that since 1.29
            failed = Metric(name, "1 if the usage of containers could not be read, 0 otherwise", "gauge")
            failed.add_sample(name, {}, float(self._failed))
            yield failed

    def _containers(self) -> Iterable[Metric]:
        cpu = _counter("container_cpu_usage_seconds", "CPU time the container has used, in core-seconds")
        memory = Metric("container_memory_working_set_bytes", "Working set of the container", "gauge")
        start = Metric("container_start_time_seconds", "When the container began, in Unix time", "gauge")
        for usage in self._usages:
            for each in usage.containers:
                labels = dict(zip(_CONTAINER, (each.name, *_names(usage)), strict=True))
                seconds = self._counters.container(self._node, usage.pod, each.name)
                cpu.add_sample(f"{cpu.name}_total", labels, seconds, usage.sample.at)
                memory.add_sample(memory.name, labels, each.memory, usage.sample.at)
                began = started_at(usage.pod, each.name)
                if began:
                    at = datetime.datetime.fromisoformat(began).timestamp()
                    start.add_sample(start.name, labels, at)
        return cpu, memory, start

    def _pods(self) -> Iterable[Metric]:
        cpu = _counter("pod_cpu_usage_seconds", "CPU time the pod has used, in core-seconds")
        memory = Metric("pod_memory_working_set_bytes", "Working set of the pod", "gauge")
        for usage in self._usages:
            labels = dict(zip(_POD, _names(usage), strict=True))
            cpu.add_sample(
                f"{cpu.name}_total", labels, self._counters.pod(self._node, usage.pod), usage.sample.at
            )
            memory.add_sample(memory.name, labels, usage.memory, usage.sample.at)
        return cpu, memory

    def _whole(self) -> Iterable[Metric]:
        cpu = _counter("node_cpu_usage_seconds", "CPU time this cluster's pods have used here")
        memory = Metric("node_memory_working_set_bytes", "Working set of this cluster's pods here", "gauge")
        if not self._failed:
            at = max((usage.sample.at for usage in self._usages), default=None)
            cpu.add_sample(f"{cpu.name}_total", {}, self._counters.node(self._node), at)
            memory.add_sample(memory.name, {}, sum(usage.memory for usage in self._usages), at)
        return cpu, memory


def _counter(name: str, documentation: str) -> Metric:
    return Metric(name, documentation, "counter")


def _names(usage: PodUsage) -> tuple[str, str]:
    metadata = usage.pod["metadata"]
    return metadata["name"], metadata["namespace"]
