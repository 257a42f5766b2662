"""What every host object shares: its metadata."""

from __future__ import annotations

from typing import Any

from k3k_pulumi.model import PREFIX, VirtualClusterSpec

Manifest = dict[str, Any]
"""One Kubernetes object, camelCase. Values of Secrets may be opaque (Pulumi Outputs)."""

CLUSTER = f"{PREFIX}cluster"
"""Label with the cluster's name, on every host object of it."""
COMPONENT = f"{PREFIX}component"
"""Label with the part of the cluster that an object belongs to."""
CHECKSUM = f"{PREFIX}config-checksum"
"""Annotation of pods with the digest of the configuration they read at their start."""
CONTROL_PLANE_NAMESPACE = f"{PREFIX}control-plane-namespace"
"""Annotation of the anchor: where the cluster's other half is."""
WORKLOAD_NAMESPACE = f"{PREFIX}workload-namespace"
"""Annotation of objects in the control plane's namespace: where the cluster's other half is."""

# Values of the label COMPONENT. Infrastructure selectors match these, and no tenant can set them.
ANCHOR, DNS, KUBELET, SERVER, WORKLOAD = "anchor", "dns", "kubelet", "server", "workload"

_API_VERSIONS = {
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "Deployment": "apps/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "StatefulSet": "apps/v1",
}


def make(
    spec: VirtualClusterSpec, kind: str, name: str, component: str, namespace: str | None, /, **body: Any
) -> Manifest:
    """An object of the cluster, our labels over the user's. `namespace` is None for cluster-scoped kinds."""
    metadata: dict[str, Any] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["labels"] = labels(spec, component)
    if spec.annotations:
        metadata["annotations"] = dict(spec.annotations)
    return {"apiVersion": _API_VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata, **body}


def annotate(manifest: Manifest, annotations: dict[str, str]) -> Manifest:
    """The manifest with annotations of ours over those it has."""
    metadata = manifest["metadata"]
    return {
        **manifest,
        "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **annotations}},
    }


def labels(spec: VirtualClusterSpec, component: str) -> dict[str, str]:
    """Labels of an object and of a pod."""
    return {
        **spec.labels,
        "app.kubernetes.io/managed-by": "k3k-pulumi",
        **selector(spec, component),
    }


def selector(spec: VirtualClusterSpec, component: str) -> dict[str, str]:
    """Labels by which selectors find the pods of a component. Immutable in StatefulSets and Deployments."""
    return {CLUSTER: spec.name, COMPONENT: component}
