"""/stats/summary: what a Node's pods use, as k8s.io/kubelet/pkg/apis/stats/v1alpha1 says it.

Of its figures those that the host's metrics.k8s.io has: CPU and working set. The others are left out, as a
kubelet leaves out what it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from k3k_kubelet.usage import CpuCounters, PodUsage
from k3k_kubelet.usage.counters import started_at


def summary(node: str, usages: Sequence[PodUsage], counters: CpuCounters) -> dict[str, Any]:
    """The Summary of a Node: the Node's figures are the sums of its pods'.

    Args:
        node: Its name.
        usages: Its pods that use something.
        counters: With these usages taken over.
    """
    newest = max((usage.sample.timestamp for usage in usages), default=None)
    whole = _figures(
        newest, sum(u.nanocores for u in usages), counters.node(node), sum(u.memory for u in usages)
    )
    return {
        "node": {"nodeName": node, **whole},
        "pods": [_pod(node, usage, counters) for usage in usages],
    }


def _pod(node: str, usage: PodUsage, counters: CpuCounters) -> dict[str, Any]:
    metadata, at = usage.pod["metadata"], usage.sample.timestamp
    containers = [
        {
            "name": each.name,
            **_start(started_at(usage.pod, each.name)),
            **_figures(at, each.nanocores, counters.container(node, usage.pod, each.name), each.memory),
        }
        for each in usage.containers
    ]
    return {
        "podRef": {key: metadata[key] for key in ("name", "namespace", "uid")},
        **_start((usage.pod.get("status") or {}).get("startTime")),
        "containers": containers,
        **_figures(at, usage.nanocores, counters.pod(node, usage.pod), usage.memory),
    }


def _start(time: str | None) -> dict[str, str]:
    return {"startTime": time} if time else {}


def _figures(at: str | None, nanocores: int, seconds: float, memory: int) -> dict[str, Any]:
    if at is None:
        return {}
    cpu = {"time": at, "usageNanoCores": nanocores, "usageCoreNanoSeconds": int(seconds * 1e9)}
    return {"cpu": cpu, "memory": {"time": at, "workingSetBytes": memory}}
