"""Virtual pods with copies on the host, and what the host's metrics.k8s.io says of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from k3k_kubelet.api import ApiClient
from k3k_kubelet.cache import Entry, Store
from k3k_kubelet.translate import identity
from k3k_kubelet.usage import HostUsage, Usage

CLUSTER, HOST_NAMESPACE = "vc", "tenant"


def virtual_pod(name: str, node: str = "node-a", namespace: str = "default", **labels: str) -> dict[str, Any]:
    """A running pod of one container, `main`."""
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    status = {"name": "main", "containerID": f"containerd://{name}-1", "state": running}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": labels,
            "annotations": {identity.HOST_POD_UID: f"host-uid-{name}/uid-{name}"},
        },
        "spec": {"nodeName": node, "containers": [{"name": "main"}]},
        "status": {
            "phase": "Running",
            "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [status],
        },
    }


def pod_metrics(
    name: str, cpu: str = "250m", memory: str = "64Mi", at: str = "2026-01-01T00:01:00Z", window: str = "15s"
) -> dict[str, Any]:
    """PodMetrics of the copy of a pod, which the host has given a sidecar."""
    return {
        "metadata": {"name": f"host-{name}", "namespace": HOST_NAMESPACE},
        "timestamp": at,
        "window": window,
        "containers": [
            {"name": "main", "usage": {"cpu": cpu, "memory": memory}},
            {"name": "injected-by-the-host", "usage": {"cpu": "7", "memory": "7Gi"}},
        ],
    }


def usage_of(host: ApiClient, pods: Iterable[dict[str, Any]], nodes: Iterable[str] = ()) -> Usage:
    """What these pods use, asked of `host`; their copies are called `host-<name>`."""
    virtual_pods, host_pods = Store({"node": lambda pod: (pod["spec"]["nodeName"],)}), Store()
    for pod in pods:
        name = pod["metadata"]["name"]
        copy = {"namespace": HOST_NAMESPACE, "name": f"host-{name}", "uid": f"host-uid-{name}"}
        host_pods.put({"metadata": {**copy, "resourceVersion": "1"}})
        virtual_pods.put(pod)
    virtual_nodes = Store()
    for node in nodes:
        labels = {identity.CLUSTER: CLUSTER, "kubernetes.io/hostname": node}
        metadata = {"name": node, "uid": f"uid-{node}", "resourceVersion": "1", "labels": labels}
        virtual_nodes.put({"metadata": metadata})

    def host_pod(_: str, name: str) -> Entry | None:
        return host_pods.get(HOST_NAMESPACE, f"host-{name}")

    source = HostUsage(host, HOST_NAMESPACE, CLUSTER)
    return Usage(source, virtual_pods, virtual_nodes, host_pod)
