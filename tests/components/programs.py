"""Programs as users write them, whose registrations of each release are kept: see `recorded`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy

HERE = {"team": {"name": "team"}, "other": {"name": "other"}, "planes": {"name": "planes"}}
"""Namespaces that the host has."""
ANYBODY = {"source_cidrs": ["0.0.0.0/0"]}
QUOTAS = {
    "compute": {"hard": {"requests.cpu": "20", "pods": "100"}},
    "batch": {"hard": {"pods": "10"}, "scopes": ["Terminating"]},
}
RULES: dict[str, Any] = {
    "quotas": QUOTAS,
    "limits": [{"type": "Container", "default": {"memory": "256Mi"}}],
    "pods": {"image_registries": ["registry.example.com/teams"]},
    "admission_policy": True,
}


def cluster(name: str = "c", **args: Any) -> VirtualCluster:
    """A cluster with a ConfigMap in it."""
    made = VirtualCluster(name, {"namespace": "team", "expose": ANYBODY, **args})
    opts = pulumi.ResourceOptions(parent=made.inside)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    pulumi.CustomResource("kubernetes:core/v1:ConfigMap", f"{name}-settings", body, opts)
    return made


def _everything() -> None:
    cluster(
        distribution="kubernetes",
        kubelet_replicas=2,
        dns={"replicas": 2, "host_names": ["*.shared"], "stub_zones": {"corp.example": ["10.0.0.53"]}},
        mirror_host_nodes=True,
        admission_policy=True,
        require_network_policy=True,
        persistence={"size": "10Gi", "storage_class": "fast"},
        node_selector={"pool": "planes"},
        tolerations=[{"key": "planes", "operator": "Exists"}],
        labels={"cost-center": "42"},
        annotations={"example.com/owner": "team"},
        sync={"from_host": {"storage_classes": {"enabled": True}}},
    )


def _existing_namespaces() -> None:
    policy = VirtualClusterPolicy("p", {"namespaces": ["team", "other"], **RULES})
    cluster(
        create_namespace=False,
        control_plane_namespace="planes",
        create_control_plane_namespace=False,
        policy=policy.constraints,
    )
    cluster(
        "later",
        namespace=pulumi.Output.from_input("other"),
        create_namespace=False,
        policy_from_namespace=True,
        distribution="kubernetes",
    )


def _shared_mode_namespace() -> None:
    tenants: Any = [{"kind": "Group", "name": "team"}]
    shared = SharedModeNamespace("shared", {"tenants": tenants, **RULES})
    for name in ("dev", "staging"):
        cluster(name, namespace=shared.namespace, create_namespace=False, policy=shared.constraints)


def _addresses() -> None:
    balancer = {**ANYBODY, "type": "LoadBalancer", "annotations": {"example.com/balancer": "internal"}}
    port = {**ANYBODY, "type": "NodePort", "host": "node", "node_port": 30443}
    cluster("lb", namespace="lb", cluster_name="c", expose=balancer)
    cluster("np", namespace="np", cluster_name="c", expose=port, persistence={"type": "ephemeral"})


PROGRAMS: Mapping[str, Callable[[], object]] = {
    "k3s": cluster,
    "kubernetes": lambda: cluster(distribution="kubernetes"),
    "everything": _everything,
    "existing-namespaces": _existing_namespaces,
    "shared-mode-namespace": _shared_mode_namespace,
    "addresses": _addresses,
}
