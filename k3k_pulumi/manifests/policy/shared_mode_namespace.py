"""A namespace that is made for shared mode: all that a policy gives one, and its tenants' rights to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests.objects import Manifest, make_of_policy
from k3k_pulumi.manifests.policy.namespace import NAMESPACED_KINDS, namespace_fields, namespace_objects

if TYPE_CHECKING:
    from k3k_pulumi.model import SharedModeNamespaceSpec
    from k3k_pulumi.model.shared_mode_namespace import Tenant

_RBAC = "rbac.authorization.k8s.io"

SHARED_MODE_KINDS = ((f"{_RBAC}/v1", "RoleBinding"), *NAMESPACED_KINDS)
"""The kinds of objects in a namespace that was made for shared mode, in the order of their removal."""


def shared_mode_namespace(spec: SharedModeNamespaceSpec) -> list[Manifest]:
    """The Namespace, then what is in it, in a safe order to create them in; reversed, to delete them.

    The control planes of the virtual clusters there have namespaces of their own, which the clusters make.
    """
    policy = spec.policy
    namespace = make_of_policy(policy, "Namespace", spec.namespace, None)
    fields = namespace_fields(policy, spec.namespace)["metadata"]
    for part in ("labels", "annotations"):
        namespace["metadata"][part] = {**namespace["metadata"].get(part, {}), **fields[part]}
    return [namespace, *namespace_objects(policy, spec.namespace), *_views(spec)]


def _views(spec: SharedModeNamespaceSpec) -> list[Manifest]:
    """The tenants' right to see their host objects: `view` of every Kubernetes, which reads no Secret."""
    if not spec.tenants:
        return []
    return [
        make_of_policy(
            spec.policy,
            "RoleBinding",
            f"{spec.policy.name}.tenants",
            spec.namespace,
            roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"},
            subjects=[_subject(tenant) for tenant in spec.tenants],
        )
    ]


def _subject(tenant: Tenant) -> dict[str, Any]:
    if tenant.kind == "ServiceAccount":
        return {"kind": tenant.kind, "name": tenant.name, "namespace": tenant.namespace}
    return {"apiGroup": _RBAC, "kind": tenant.kind, "name": tenant.name}
