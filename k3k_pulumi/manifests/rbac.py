"""Host identities and rights. The virtual kubelet's rights are only what it uses; namespaced by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import Manifest, make
from k3k_pulumi.model.document import ENABLED, enabled

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

_KEPT = ["get", "list", "watch", "create", "delete"]
_NETWORKING = "networking.k8s.io"
_TO_HOST = {
    "services": ("", "services"),
    "endpointSlices": ("discovery.k8s.io", "endpointslices"),
    "persistentVolumeClaims": ("", "persistentvolumeclaims"),
    "ingresses": (_NETWORKING, "ingresses"),
    "httpRoutes": ("gateway.networking.k8s.io", "httproutes"),
    "podDisruptionBudgets": ("policy", "poddisruptionbudgets"),
}
"""Group and resource of the kinds that get copies, by their keys in the policy."""
_FROM_HOST = {
    "storageClasses": ("storage.k8s.io", "storageclasses"),
    "ingressClasses": (_NETWORKING, "ingressclasses"),
    "priorityClasses": ("scheduling.k8s.io", "priorityclasses"),
}
"""The same of the classes that are shown inside."""


def service_accounts(spec: VirtualClusterSpec) -> list[Manifest]:
    """The identities: the kubelet's has the Roles below, the others have no right."""
    names, control_plane = spec.names, spec.control_plane_namespace
    return [
        _service_account(spec, names.workload, objects.WORKLOAD, spec.namespace),
        _service_account(spec, names.server, objects.SERVER, control_plane),
        _service_account(spec, names.kubelet, objects.KUBELET, control_plane),
        _service_account(spec, names.dns, objects.DNS, control_plane),
    ]


def roles(spec: VirtualClusterSpec) -> list[Manifest]:
    """The kubelet's rights: on the workloads' objects, and on its own Service and Lease."""
    name = spec.names.kubelet
    workloads: list[dict[str, Any]] = [
        _rule(["pods"], [*_KEPT, "patch"]),
        _rule(["configmaps", "secrets"], [*_KEPT, "update"]),
        _rule(["pods/status"], ["patch"]),
        _rule(["pods/ephemeralcontainers", "pods/resize"], ["patch"]),
        _rule(["pods/log"], ["get"]),
        # Which of the two verbs is asked for depends on how the client upgrades: WebSocket or SPDY.
        _rule(["pods/exec", "pods/attach", "pods/portforward"], ["get", "create"]),
        _rule(["events"], ["list", "watch"]),
        _rule(["resourcequotas"], ["list", "watch"]),
        _rule(["pods"], ["list"], group="metrics.k8s.io"),
        *_copies(spec),
    ]
    leases = "coordination.k8s.io"
    own = [
        _rule(["services"], ["get", "patch"], names=[name]),
        _rule(["leases"], ["get", "update", "patch"], group=leases, names=[name]),
        # A right to create cannot be limited to a name.
        _rule(["leases"], ["create"], group=leases),
    ]
    return [
        *_bound(spec, spec.namespace, workloads),
        *_bound(spec, spec.control_plane_namespace, own),
        *_cluster_reader(spec),
    ]


def _copies(spec: VirtualClusterSpec) -> list[dict[str, Any]]:
    """What the kubelet may do with the copies of each kind: make them where the policy has the kind.

    To see and delete them it may always, so that those of a kind that has been turned off go.
    """
    on = {kind for kind in ENABLED["toHost"] if enabled(spec.sync, "toHost", kind)}
    rules = [_copy_rule(group, resource, kind in on) for kind, (group, resource) in _TO_HOST.items()]
    # What is exposed by a Service or an Ingress, a NetworkPolicy opens.
    policies = bool(on & {"networkPolicies", "services", "ingresses", "httpRoutes"})
    return [*rules, _copy_rule(_NETWORKING, "networkpolicies", policies)]


def _copy_rule(group: str, resource: str, made: bool) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "delete"]
    return _rule([resource], [*verbs, "create", "patch"] if made else verbs, group=group)


def _cluster_reader(spec: VirtualClusterSpec) -> list[Manifest]:
    """The rights beyond the cluster's own namespaces: to read what is to be shown inside, if anything is."""
    read = [("", "nodes")] if spec.mirror_host_nodes else []
    read += [found for kind, found in _FROM_HOST.items() if enabled(spec.sync, "fromHost", kind)]
    rules = [_rule([resource], ["list", "watch"], group=group) for group, resource in read]
    return _granted(spec, "Cluster", spec.names.cluster_reader, None, rules) if rules else []


def _service_account(spec: VirtualClusterSpec, name: str, component: str, namespace: str) -> Manifest:
    # The kubelet's pod asks for its token itself.
    return make(spec, "ServiceAccount", name, component, namespace, automountServiceAccountToken=False)


def _bound(spec: VirtualClusterSpec, namespace: str, rules: list[dict[str, Any]]) -> list[Manifest]:
    return _granted(spec, "", spec.names.kubelet, namespace, rules)


def _granted(
    spec: VirtualClusterSpec, scope: str, name: str, namespace: str | None, rules: list[dict[str, Any]]
) -> list[Manifest]:
    """A Role, or a ClusterRole with the scope `Cluster`, and its binding to the kubelet."""
    account, group = spec.names.kubelet, "rbac.authorization.k8s.io"
    return [
        make(spec, f"{scope}Role", name, objects.KUBELET, namespace, rules=rules),
        make(
            spec,
            f"{scope}RoleBinding",
            name,
            objects.KUBELET,
            namespace,
            roleRef={"apiGroup": group, "kind": f"{scope}Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": account, "namespace": spec.control_plane_namespace}],
        ),
    ]


def _rule(
    resources: list[str], verbs: list[str], *, group: str = "", names: list[str] | None = None
) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return {**rule, "resourceNames": names} if names else rule
