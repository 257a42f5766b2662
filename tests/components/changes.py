"""What a change of each argument does, as docs/changes.md says it.

    python -m tests.components.changes

writes the tables there anew. Each row is computed: by what two runs of a program register under mocks, and by
the rules of `plan`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from tests.components.host import Deployment, run
from tests.components.plan import Step, plan, resources

PAGE = Path(__file__).parents[2] / "docs/changes.md"
Args = dict[str, Any]

ANYBODY = {"source_cidrs": ["0.0.0.0/0"]}
CLUSTER: Args = {
    "namespace": "team",
    "distribution": "kubernetes",
    "expose": ANYBODY,
    "require_network_policy": True,
}
POLICY: Args = {"namespaces": ["team"], "quotas": {"a": {"hard": {"pods": "5"}}}}
SHARED: Args = {"quotas": {"a": {"hard": {"pods": "5"}}}}
CONSTRAINTS = {
    "apiVersion": "k3k-pulumi.io/v1",
    "name": "p",
    "pods": {"hostPorts": True},
    "control_plane_required": {"node_selector": {"pool": "planes"}},
}
BOUND: Any = {"k3k-pulumi.io/policy": json.dumps(CONSTRAINTS)}
"""What a policy leaves on a Namespace."""
RESOURCES = {"requests": {"cpu": "100m", "memory": "300Mi"}, "limits": {"memory": "900Mi"}}
TOLERATION = {"key": "planes", "operator": "Exists"}
NODES = {"key": "pool", "operator": "In", "values": ["planes"]}
AFFINITY = {
    "node_affinity": {
        "preferred_during_scheduling_ignored_during_execution": [
            {"weight": 1, "preference": {"match_expressions": [NODES]}}
        ]
    }
}
HOST_NAMES = {"host_names": ["*.shared"]}
BALANCER = {**CLUSTER, "expose": {**ANYBODY, "type": "LoadBalancer"}}


@dataclass(frozen=True)
class Change:
    """A change of one argument.

    Attributes:
        argument: its path.
        value: the value that it gets; None takes it away.
        base: the component's arguments before; the component's usual ones by default.
        says: what the row is about where the argument alone does not say it.
    """

    argument: str
    value: Any
    base: Args | None = None
    says: str = ""

    def after(self, base: Args) -> Args:
        """The arguments with the change."""
        return _with(base, self.argument.split("."), self.value)


def _with(args: Args, path: list[str], value: Any) -> Args:
    key, *rest = path
    return {**args, key: _with(args.get(key) or {}, rest, value) if rest else value}


CHANGES: tuple[Change, ...] = (
    Change("namespace", "other"),
    Change("cluster_name", "other"),
    Change("create_namespace", False),
    Change("control_plane_namespace", "planes"),
    Change("create_control_plane_namespace", False),
    Change("mode", "virtual"),
    Change("distribution", "k3s"),
    Change("policy", CONSTRAINTS, says="here `pods` and `control_plane_required`"),
    Change("policy_from_namespace", True, {**CLUSTER, "create_namespace": False}),
    Change("version", "v1.34.5"),
    Change("servers", 3),
    Change("kubelet_replicas", 2),
    Change("images.server", "registry.example.com/kube-apiserver:v1.34.4"),
    Change("images.controller_manager", "registry.example.com/kube-controller-manager:v1.34.4"),
    Change("images.etcd", "registry.example.com/etcd:3.6.4-0"),
    Change("images.kubelet", "registry.example.com/kubelet:0.1.0"),
    Change("images.dns", "registry.example.com/coredns:1.15.0"),
    Change("image_pull_secrets", ["registry"]),
    Change("service_cidr", "10.0.0.0/12"),
    Change("cluster_domain", "cluster.example"),
    Change("dns.replicas", 2),
    Change("dns.upstreams", ["9.9.9.9"]),
    Change("dns.stub_zones", {"corp.example": ["9.9.9.9"]}),
    Change("dns.host_names", ["*.shared"]),
    Change("dns.host_domain", "host.example", {**CLUSTER, "dns": HOST_NAMES}),
    Change("dns.source_cidrs", ["10.1.0.0/16"]),
    Change("expose.type", "LoadBalancer"),
    Change("expose.host", "api.example.com"),
    Change("expose.node_port", 30443, BALANCER),
    Change("expose.source_cidrs", ["192.0.2.0/24"]),
    Change("expose.external_traffic_policy", "Local", BALANCER),
    Change("expose.annotations", {"example.com/a": "b"}),
    Change("persistence.type", "ephemeral"),
    Change("persistence.size", "6Gi"),
    Change("persistence.storage_class", "fast"),
    Change("egress", "none"),
    Change("host_cidrs", ["198.51.100.0/24"]),
    Change("egress_cidrs", ["10.9.0.0/16"]),
    Change("require_network_policy", False),
    Change("resources.server", RESOURCES),
    Change("resources.kubelet", RESOURCES),
    Change("resources.dns", RESOURCES),
    Change("node_selector", {"pool": "planes"}),
    Change("tolerations", [TOLERATION]),
    Change("affinity", AFFINITY),
    Change("priority_class", "planes"),
    Change("runtime_class", "sandboxed"),
    Change("host_users", False),
    Change("security_context", {"fs_group_change_policy": "Always"}),
    Change("mirror_host_nodes", True),
    Change("admission_policy", True),
    Change("node_capacity.cpu", "8"),
    Change("node_capacity.memory", "32Gi"),
    Change("node_capacity.ephemeral_storage", "100Gi"),
    Change("node_capacity.pods", 50),
    Change("node_capacity.extended_resources", {"example.com/gpu": 4}),
    Change("pods", {"hostPorts": True}),
    Change("sync", {"to_host": {"ingresses": {"enabled": True}}}),
    Change("sync", {"from_host": {"storage_classes": {"enabled": True}}}, says="`from_host`"),
    Change("pki", {}),
    Change("ready_timeout", "5m"),
    Change("labels", {"cost-center": "42"}),
    Change("annotations", {"example.com/owner": "team"}),
)
"""A change of each argument of a VirtualCluster."""

RULES: tuple[Change, ...] = (
    Change("policy_name", "other"),
    Change("allowed_modes", ["shared"]),
    Change("allowed_distributions", ["k3s"]),
    Change("versions", ">=1.33"),
    Change("quotas", {"a": {"hard": {"pods": "6"}}}, says="`hard`"),
    Change("quotas", {"a": {"hard": {"pods": "5"}, "scopes": ["Terminating"]}}, says="`scopes`"),
    Change("quotas", {**SHARED["quotas"], "b": {"hard": {"pods": "5"}}}, says="one more or less"),
    Change("limits", [{"type": "Container", "default": {"memory": "64Mi"}}]),
    Change("pod_security.enforce", "restricted"),
    Change("pod_security.warn", "restricted"),
    Change("pod_security.audit", "restricted"),
    Change("pod_security.version", "v1.34"),
    *(
        Change(f"control_plane_{which}.{field}", value)
        for which in ("defaults", "required")
        for field, value in {
            "node_selector": {"pool": "planes"},
            "tolerations": [TOLERATION],
            "affinity": AFFINITY,
            "priority_class": "planes",
            "runtime_class": "sandboxed",
            "host_users": False,
            "security_context": {"fs_group_change_policy": "Always"},
        }.items()
    ),
    Change("egress", "none"),
    Change("egress_cidrs", ["10.9.0.0/16"]),
    Change("host_cidrs", ["198.51.100.0/24"]),
    Change("source_cidrs", ["192.0.2.0/24"]),
    Change("expose_types", ["ClusterIP"]),
    Change("storage_classes", ["fast"]),
    Change("image_registries", ["registry.example.com"]),
    Change("mirror_host_nodes", True),
    Change("require_network_policy", True),
    Change("admission_policy", True),
    Change("pods", {"hostPorts": True}),
    Change("sync", {"to_host": {"ingresses": {"enabled": True}}}),
    Change("labels", {"cost-center": "42"}),
    Change("annotations", {"example.com/owner": "team"}),
)
"""The same of the rules that policies and SharedModeNamespaces have in common."""

OF_POLICIES = (Change("namespaces", ["team", "other"], says="one more or less"), *RULES)
OF_NAMESPACES = (
    Change("namespace", "other"),
    Change("tenants", [{"kind": "User", "name": "ann"}], says="the first or the last one"),
    Change(
        "tenants",
        [{"kind": "User", "name": "bob"}],
        {**SHARED, "tenants": [{"kind": "User", "name": "ann"}]},
    ),
    *RULES,
)


@dataclass(frozen=True)
class Component:
    """A component, and the changes of its arguments."""

    make: Callable[[str, Args], object]
    base: Args
    changes: tuple[Change, ...]
    refused: Mapping[str, str]


REFUSED = {
    "mode": "refused: there is one mode",
    "servers": "refused: there is one server",
    "cluster_name": "refused: another cluster",
    "namespace": "refused: another cluster",
    "create_namespace": "refused: settled when it was made",
    "control_plane_namespace": "refused: another cluster",
    "create_control_plane_namespace": "refused: settled when it was made",
    "distribution": "refused: another cluster",
    "service_cidr": "refused: API servers keep their range",
    "persistence.type": "refused: another cluster",
    "persistence.storage_class": "refused: another cluster",
}
ELSEWHERE = {"pki": "the keys are those then: [takeover.md](takeover.md)"}
COMPONENTS: Mapping[str, Component] = {
    "VirtualCluster": Component(
        lambda name, args: VirtualCluster(name, args).inside,  # type: ignore[arg-type]
        CLUSTER,
        CHANGES,
        {**REFUSED, **ELSEWHERE},
    ),
    "VirtualClusterPolicy": Component(
        lambda name, args: VirtualClusterPolicy(name, args),  # type: ignore[arg-type]
        POLICY,
        OF_POLICIES,
        {"policy_name": "refused: the namespaces have the policy of the other name"},
    ),
    "SharedModeNamespace": Component(
        lambda name, args: SharedModeNamespace(name, args),  # type: ignore[arg-type]
        SHARED,
        OF_NAMESPACES,
        dict.fromkeys(("policy_name", "namespace"), "refused: another namespace"),
    ),
}


def steps(component: Component, before: Args, after: Args, name: str = "c") -> list[Step]:
    """What a deployment does with a change of the arguments, but for what it leaves alone."""
    stashes: dict[str, Any] = {}

    def registered(args: Args) -> Deployment:
        def main() -> dict[str, Any]:
            component.make(name, args)
            return {}

        names = {
            each: {"name": each}
            for each in ("team", *before.get("namespaces", ()), *after.get("namespaces", ()))
        }
        if args.get("policy_from_namespace"):
            names["team"] |= {"annotations": BOUND}
        return run(main, preview=False, stashes=stashes, namespaces=names)

    found = plan(resources(registered(before)), resources(registered(after)))
    return [
        step for step in found if step.op != "same" and not step.resource.type.startswith("k3k-pulumi:index:")
    ]


_PODS = {"server": "servers", "kubelet": "virtual kubelet", "dns": "DNS"}


def effect(component: Component, change: Change) -> str:
    """The cells of a row after the argument's."""
    if change.argument in component.refused:
        return f" {component.refused[change.argument]} | | | |"
    base = change.base or component.base
    found = steps(component, base, change.after(base))
    restarted = {
        _PODS[step.resource.name.partition("-")[2]]
        for step in found
        if step.resource.kind in ("StatefulSet", "Deployment") and "spec.template" in " ".join(step.paths)
    }
    cells = (
        ", ".join(pods for pods in _PODS.values() if pods in restarted),
        _kinds(step for step in found if step.op == "replace"),
        _kinds(step for step in found if step.op in ("create", "delete")),
        _kinds(step for step in found if step.op == "update"),
    )
    return "".join(f" {cell} |" if cell else " |" for cell in cells)


def _kinds(found: Iterable[Step]) -> str:
    names = {"NamespacePatch": "its fields of the Namespace", "ConfigMapPatch": "ConfigMap"}
    return ", ".join(sorted({names.get(step.resource.kind, step.resource.kind) for step in found}))


def table(name: str) -> str:
    """The table of a component; a row has all arguments of the same effect."""
    component = COMPONENTS[name]
    rows: dict[str, list[str]] = {}
    for change in component.changes:
        label = f"`{change.argument}`" + (f" ({change.says})" if change.says else "")
        labels = rows.setdefault(effect(component, change), [])
        labels += [label] if label not in labels else []
    head = "| argument | pods that are made anew | replaced | made or removed | changed in place |\n"
    lines = [f"| {', '.join(labels)} |{cells}\n" for cells, labels in rows.items()]
    return f"{head}|---|---|---|---|---|\n{''.join(lines)}"


def written(page: str) -> str:
    """The page with its tables as they are computed."""
    for name in COMPONENTS:
        start, end = (f"<!-- {word} of {name} -->\n" for word in ("begin", "end"))
        before, _, rest = page.partition(start)
        page = before + start + table(name) + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.exit(0)
