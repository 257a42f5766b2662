"""What a cluster may be under a VirtualClusterPolicy, and what it takes from it.

What a cluster leaves out it takes from its policy, but for what would make another cluster of one that runs
or give the component other objects: the mode, the distribution, the version, the storage class, images, how
its API is exposed. Where the default of such a field is not what the policy allows, the user has to set it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from k3k_pulumi.model import coverage, images, networks
from k3k_pulumi.model.affinity import both
from k3k_pulumi.model.narrowing import narrow
from k3k_pulumi.model.policy import EGRESS, VirtualClusterPolicySpec
from k3k_pulumi.model.rules import Scope
from k3k_pulumi.model.versions import parse_range

if TYPE_CHECKING:
    from k3k_pulumi.model.spec import VirtualClusterSpec


class Case:
    """One cluster under its policy."""

    def __init__(self, spec: VirtualClusterSpec, policy: VirtualClusterPolicySpec) -> None:
        self.spec = spec
        self.policy = policy
        self.problems: list[str] = []

    def given(self, path: str) -> bool:
        """Whether the user has set a field; None counts as absent."""
        found: Any = self.spec
        for name in path.split("."):
            if name not in found.model_fields_set:
                return False
            found = getattr(found, name)
        return True

    def scope(self, path: str, key: str) -> Scope:
        """Where a rule of the cluster's field works with one of the policy's."""
        return Scope(self.policy.name, path, key, self.problems)


Rule = Callable[[Case], Any]
"""Checks a field, and gives back the argument that holds in place of the user's, None for no change."""


def resolve(spec: VirtualClusterSpec, policy: VirtualClusterPolicySpec) -> tuple[dict[str, Any], list[str]]:
    """Holds a cluster against its policy.

    Args:
        spec: The cluster as the user's arguments alone describe it.
        policy: The policy.

    Returns:
        The arguments that hold in place of the user's, and a line for each that the policy does not allow.
    """
    case = Case(spec, policy)
    taken = {path: rule(case) for path, rule in LIMITED.items()}
    return {path: value for path, value in taken.items() if value is not None}, case.problems


def _mode(case: Case) -> None:
    _is_one_of(case, "mode", case.spec.mode, "allowed_modes")


def _distribution(case: Case) -> None:
    _is_one_of(case, "distribution", case.spec.distribution, "allowed_distributions")


def _expose_type(case: Case) -> None:
    _is_one_of(case, "expose.type", case.spec.expose.type, "expose_types")


def _is_one_of(case: Case, path: str, found: str, key: str) -> None:
    allowed = getattr(case.policy, key)
    if found not in allowed:
        case.scope(path, key).none_of(found, allowed, key=key, default=not case.given(path))


def _version(case: Case) -> None:
    allowed = case.policy.versions
    if allowed is not None and not parse_range(allowed).admits(case.spec.version):
        found, default = str(case.spec.version), not case.given("version")
        case.scope("version", "versions").none_of(found, allowed, key="versions", default=default)


def _storage_class(case: Case) -> None:
    allowed, storage = case.policy.storage_classes, case.spec.persistence
    if allowed is not None and storage.type == "dynamic" and storage.storage_class not in allowed:
        path, key = "persistence.storage_class", "storage_classes"
        case.scope(path, key).none_of(storage.storage_class, allowed, key=key, default=not case.given(path))


def _images(case: Case) -> None:
    allowed, spec = case.policy.image_registries, case.spec
    if allowed is None:
        return
    used = {"server": spec.server_image, "kubelet": spec.kubelet_image, "dns": spec.dns_image}
    if spec.distribution == "kubernetes":
        used |= {"controller_manager": spec.controller_manager_image, "etcd": spec.etcd_image}
    for name, image in used.items():
        if not images.is_from(image, allowed):
            path, key = f"images.{name}", "image_registries"
            case.scope(path, key).none_of(image, allowed, key=key, default=not case.given(path))


def _expose_sources(case: Case) -> None:
    _are_sources(case, "expose.source_cidrs", case.spec.expose.source_cidrs)


def _dns_sources(case: Case) -> None:
    _are_sources(case, "dns.source_cidrs", case.spec.dns.source_cidrs)


def _are_sources(case: Case, path: str, found: tuple[networks.Network, ...]) -> None:
    allowed = case.policy.source_cidrs
    for index, cidr in enumerate(found):
        if allowed is not None and not coverage.ranges(allowed, cidr):
            case.scope(path, "source_cidrs").item(index).more(str(cidr), _texts(allowed))


def _egress(case: Case) -> Any:
    widest = case.policy.egress
    if not case.given("egress"):
        return widest
    if EGRESS.index(case.spec.egress) > EGRESS.index(widest):
        case.scope("egress", "egress").more(case.spec.egress, widest)
    return None


def _egress_cidrs(case: Case) -> Any:
    allowed = case.policy.egress_cidrs
    if not case.given("egress_cidrs"):
        # Who names his own egress and no ranges beside it wants none.
        return None if case.given("egress") else _texts(allowed)
    for index, cidr in enumerate(case.spec.egress_cidrs):
        if not _may_reach(case, cidr):
            case.scope("egress_cidrs", "egress_cidrs").item(index).more(str(cidr), _texts(allowed))
    return None


def _may_reach(case: Case, cidr: networks.Network) -> bool:
    """Whether the policy's egress has a whole range."""
    policy = case.policy
    if policy.egress == "all":
        return True
    if policy.egress == "internet":
        denied = networks.denied((*policy.host_cidrs, *case.spec.host_cidrs), cidr.version)
        if not any(networks.overlap(networks.parse(each), cidr) for each in denied):
            return True
    # A range opens the metadata addresses within it only if it has nothing else.
    secrets = [each for each in networks.METADATA if networks.contains(each, cidr)]
    named = [each for each in policy.egress_cidrs if any(networks.contains(one, each) for one in secrets)]
    return coverage.ranges(named if secrets else policy.egress_cidrs, cidr)


def _host_cidrs(case: Case) -> Any:
    found = (*case.spec.host_cidrs, *case.policy.host_cidrs)
    return _texts(dict.fromkeys(found)) if case.policy.host_cidrs else None


def _require_network_policy(case: Case) -> Any:
    required = case.policy.require_network_policy
    if required and case.given("require_network_policy") and not case.spec.require_network_policy:
        scope = case.scope("require_network_policy", "require_network_policy")
        scope.other(case.spec.require_network_policy, required)
    return required or None


def _mirror_host_nodes(case: Case) -> None:
    if case.spec.mirror_host_nodes and not case.policy.mirror_host_nodes:
        case.scope("mirror_host_nodes", "mirror_host_nodes").more(True, False)


def _node_selector(case: Case) -> Any:
    default, required = _settings(case, "node_selector")
    own = case.spec.node_selector if case.given("node_selector") else None
    for key, value in (required or {}).items():
        found = (own or {}).get(key, value)
        if found != value:
            _setting(case, "node_selector").item(key).other(found, value)
    return {**((default or {}) if own is None else own), **(required or {})}


def _tolerations(case: Case) -> Any:
    default, required = _settings(case, "tolerations")
    if not case.given("tolerations"):
        return [*(required or ()), *(each for each in default or () if each not in (required or ()))]
    own = case.spec.tolerations
    if required is None:
        return None
    for index, each in enumerate(own):
        if not any(coverage.tolerations(entry, each) for entry in (*required, *(default or ()))):
            _setting(case, "tolerations").item(index).more(each, required)
    return [*own, *(each for each in required if each not in own)]


def _affinity(case: Case) -> Any:
    default, required = _settings(case, "affinity")
    found = case.spec.affinity if case.given("affinity") else default or {}
    return both(found, required or {})


def _security_context(case: Case) -> Any:
    default, required = _settings(case, "security_context")
    own = case.spec.security_context
    for key, value in (required or {}).items():
        if own.get(key, value) != value:
            _setting(case, "security_context").at(key).other(own[key], value)
    return {**(default or {}), **own, **(required or {})}


def _scalar(name: str) -> Rule:
    """A field with one value."""

    def rule(case: Case) -> Any:
        default, required = _settings(case, name)
        own = getattr(case.spec, name)
        if required is not None and own not in (None, required):
            _setting(case, name).other(own, required)
        return next((value for value in (required, own, default) if value is not None), None)

    return rule


def _settings(case: Case, name: str) -> tuple[Any, Any]:
    """What the policy has for control planes' pods, by default and in any case."""
    policy = case.policy
    return getattr(policy.control_plane_defaults, name), getattr(policy.control_plane_required, name)


def _setting(case: Case, name: str) -> Scope:
    return case.scope(name, f"control_plane_required.{name}")


def _pods(case: Case) -> Any:
    return _narrow(case, "pods", case.policy.workloads)


def _sync(case: Case) -> Any:
    return _narrow(case, "sync", case.policy.sync)


def _narrow(case: Case, part: str, allowed: Mapping[str, Any]) -> Any:
    return narrow(part, getattr(case.spec, part), case.policy.name, allowed, case.problems)


def _texts(found: Any) -> list[str]:
    return [str(each) for each in found]


LIMITED: Mapping[str, Rule] = {
    "mode": _mode,
    "distribution": _distribution,
    "version": _version,
    "images": _images,
    "dns.source_cidrs": _dns_sources,
    "expose.type": _expose_type,
    "expose.source_cidrs": _expose_sources,
    "persistence.storage_class": _storage_class,
    "egress": _egress,
    "egress_cidrs": _egress_cidrs,
    "host_cidrs": _host_cidrs,
    "require_network_policy": _require_network_policy,
    "node_selector": _node_selector,
    "tolerations": _tolerations,
    "affinity": _affinity,
    "priority_class": _scalar("priority_class"),
    "runtime_class": _scalar("runtime_class"),
    "host_users": _scalar("host_users"),
    "security_context": _security_context,
    "mirror_host_nodes": _mirror_host_nodes,
    "pods": _pods,
    "sync": _sync,
}
"""Fields of a cluster that a policy limits, and how."""

FREE = frozenset(
    [
        "name",
        "namespace",
        "create_namespace",
        "control_plane_namespace",
        "create_control_plane_namespace",
        "policy",
        "policy_from_namespace",
        "admission_policy",
        "servers",
        "kubelet_replicas",
        "image_pull_secrets",
        "pki",
        "service_cidr",
        "cluster_domain",
        "ready_timeout",
        "labels",
        "annotations",
        "dns.replicas",
        "dns.upstreams",
        "dns.stub_zones",
        "dns.host_names",
        "dns.host_domain",
        "expose.host",
        "expose.node_port",
        "expose.annotations",
        "expose.external_traffic_policy",
        "persistence.type",
        "persistence.size",
        "resources",
        "node_capacity",
    ]
)
"""Fields of a cluster that no policy limits."""
