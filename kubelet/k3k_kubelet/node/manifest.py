"""What a virtual Node and its Lease look like. Pure functions."""

from __future__ import annotations

import platform
from typing import Any

from k3k_kubelet.config import Config
from k3k_kubelet.events import micro_timestamp, timestamp
from k3k_kubelet.translate import identity

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
"""As Kubernetes' kubelet; the node lifecycle controller looks at how long ago the Lease changed."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}

_CONDITIONS = {
    "Ready": ("True", "KubeletReady", "the host runs pods of this cluster here"),
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "the host looks after its nodes"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "the host looks after its nodes"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "the host looks after its nodes"),
    "NetworkUnavailable": ("False", "HostNetwork", "the host looks after its network"),
}


def architecture() -> str:
    """GOARCH of this machine; virtual Nodes have it too, as the host's Nodes cannot be read."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def node(name: str, port: int, address: str, config: Config) -> dict[str, Any]:
    """A virtual Node.

    Args:
        name: The host node's name.
        port: Port of its kubelet API.
        address: ClusterIP of the kubelet's Service.
        config: The kubelet's configuration.
    """
    labels = {
        "kubernetes.io/arch": architecture(),
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        identity.CLUSTER: config.cluster,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": status(name, port, address, config),
    }


def status(name: str, port: int, address: str, config: Config) -> dict[str, Any]:
    """Node.status, with the heartbeat of this moment."""
    resources = config.node_capacity.resources()
    return {
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ],
        "capacity": resources,
        "allocatable": resources,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": architecture(),
            "operatingSystem": "linux",
            "kubeletVersion": config.version,
            "kubeProxyVersion": "",
            "containerRuntimeVersion": "k3k-pulumi://host",
            "osImage": "k3k-pulumi virtual node",
            "kernelVersion": platform.release(),
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
        "conditions": conditions(),
    }


def conditions() -> list[dict[str, Any]]:
    """Conditions of a healthy Node with the heartbeat of this moment.

    lastTransitionTime is left to who merges them into what the Node has.
    """
    now = timestamp()
    return [
        {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for kind, (value, reason, message) in _CONDITIONS.items()
    ]


def lease(name: str, node_uid: str) -> dict[str, Any]:
    """The Lease of a Node, renewed at this moment, deleted with the Node."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": micro_timestamp(),
        },
    }


def port_of(node_object: dict[str, Any]) -> int | None:
    """Port of a Node's kubelet API, None if it has none."""
    endpoints = (node_object.get("status") or {}).get("daemonEndpoints") or {}
    port = (endpoints.get("kubeletEndpoint") or {}).get("Port")
    return port if isinstance(port, int) and port > 0 else None


def address_of(node_object: dict[str, Any]) -> str | None:
    """InternalIP of a Node, None if it has none."""
    addresses = (node_object.get("status") or {}).get("addresses") or ()
    return next((each["address"] for each in addresses if each["type"] == "InternalIP"), None)


def service_ports(ports: set[int], first: int) -> list[dict[str, Any]]:
    """Ports of the kubelet's Service: one for each Node, and always the first, as a Service needs one."""
    return [
        {"name": f"node-{port - first}", "port": port, "targetPort": port, "protocol": "TCP"}
        for port in sorted(ports | {first})
    ]
