"""Host identities and rights. The virtual kubelet's rights are only what it uses; namespaced by default."""

from __future__ import annotations

from typing import Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import Manifest, make
from k3k_pulumi.model import VirtualClusterSpec

_KEPT = ["get", "list", "watch", "create", "delete"]


def service_accounts(spec: VirtualClusterSpec) -> list[Manifest]:
    """The identities: of workloads and servers without any right, of the kubelet with the Roles below."""
    names, control_plane = spec.names, spec.control_plane_namespace
    return [
        _service_account(spec, names.workload, objects.WORKLOAD, spec.namespace),
        _service_account(spec, names.server, objects.SERVER, control_plane),
        _service_account(spec, names.kubelet, objects.KUBELET, control_plane),
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
        *(_node_reader(spec) if spec.mirror_host_nodes else []),
    ]


def _node_reader(spec: VirtualClusterSpec) -> list[Manifest]:
    """The one right beyond the cluster's own namespaces: to read Nodes, asked for by `mirror_host_nodes`."""
    rules = [_rule(["nodes"], ["list", "watch"])]
    return _granted(spec, "Cluster", spec.names.node_reader, None, rules)


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
