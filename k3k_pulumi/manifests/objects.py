"""What every host object shares: its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from k3k_pulumi.model import PREFIX

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterPolicySpec, VirtualClusterSpec

Manifest = dict[str, Any]
"""One Kubernetes object, camelCase. Values of Secrets may be opaque (Pulumi Outputs)."""

CLUSTER = f"{PREFIX}cluster"
"""Label with the cluster's name, on every host object of it."""
COMPONENT = f"{PREFIX}component"
"""Label with the part of the cluster that an object belongs to."""
POLICY = f"{PREFIX}policy"
"""Label with the policy's name, on every host object of it and on the Namespaces that it is bound to; on the
latter also an annotation, with the constraints as JSON."""
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "k3k-pulumi"
"""Label of every host object, and its value."""
CHECKSUM = f"{PREFIX}config-checksum"
"""Annotation of pods with the digest of the configuration they read at their start."""
CONTROL_PLANE_NAMESPACE = f"{PREFIX}control-plane-namespace"
"""Annotation of the anchor: where the cluster's other half is."""
WORKLOAD_NAMESPACE = f"{PREFIX}workload-namespace"
"""Annotation of objects in the control plane's namespace: where the cluster's other half is."""

# Values of the label COMPONENT. Infrastructure selectors match these, and no tenant can set them.
ANCHOR, DNS, KUBELET, NETWORK_PROBE = "anchor", "dns", "kubelet", "network-probe"
SERVER, WORKLOAD = "server", "workload"

_ADMISSION, _RBAC = "admissionregistration.k8s.io/v1", "rbac.authorization.k8s.io/v1"
_API_VERSIONS = {
    "ClusterRole": _RBAC,
    "ClusterRoleBinding": _RBAC,
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Role": _RBAC,
    "RoleBinding": _RBAC,
    "StatefulSet": "apps/v1",
    "ValidatingAdmissionPolicy": _ADMISSION,
    "ValidatingAdmissionPolicyBinding": _ADMISSION,
}


def make(
    spec: VirtualClusterSpec, kind: str, name: str, component: str, namespace: str | None, /, **body: Any
) -> Manifest:
    """An object of the cluster, our labels over the user's. `namespace` is None for cluster-scoped kinds."""
    return _object(kind, name, namespace, labels(spec, component), spec.annotations, body)


def make_of_policy(
    spec: VirtualClusterPolicySpec, kind: str, name: str, namespace: str | None, /, **body: Any
) -> Manifest:
    """An object of a policy, our labels over the user's. `namespace` is None for cluster-scoped kinds."""
    return _object(kind, name, namespace, policy_labels(spec), spec.annotations, body)


def _object(
    kind: str,
    name: str,
    namespace: str | None,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    body: Mapping[str, Any],
) -> Manifest:
    metadata: dict[str, Any] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
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
        MANAGED_BY: MANAGER,
        **selector(spec, component),
    }


def policy_labels(spec: VirtualClusterPolicySpec) -> dict[str, str]:
    """Labels of a policy's objects."""
    return {**spec.labels, MANAGED_BY: MANAGER, POLICY: spec.name}


def selector(spec: VirtualClusterSpec, component: str) -> dict[str, str]:
    """Labels by which selectors find the pods of a component. Immutable in StatefulSets and Deployments."""
    return {CLUSTER: spec.name, COMPONENT: component}
