"""Clusters under a policy: which fields it limits, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.limits import FREE, LIMITED
from tests.unit.support import constraints, under

POOL_A, POOL_B = {"pool": "a"}, {"pool": "b"}
ANY, NARROW = {"operator": "Exists"}, {"key": "planes", "value": "x", "effect": "NoSchedule"}
WIDE = {"key": "planes", "operator": "Exists"}
LEAVE, SET = (
    "leave it out, or have the policy changed",
    "set it to what is allowed, or have the policy changed",
)
OPEN = {"type": "LoadBalancer", "source_cidrs": ["192.0.2.0/24"]}
IMAGES = {
    "server": "example.com/team/k3s:v1",
    "kubelet": "example.com/team/kubelet:v1",
    "dns": "example.com/team/coredns:v1",
}


def problems(rules: dict[str, Any], **args: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        under(rules, **args)
    assert str(caught.value).startswith("VirtualCluster 'c': ")
    return list(caught.value.problems)


def fields(model: type[BaseModel], path: str = "") -> list[str]:
    """Every field of a specification, those of its groups by their paths."""
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += fields(kind, f"{path}{name}.")
        else:
            found.append(f"{path}{name}")
    return found


def test_every_field_of_a_cluster_is_limited_or_free_on_purpose() -> None:
    def is_known(field: str) -> bool:
        places = [field[:at] for at, letter in enumerate(field) if letter == "."] + [field]
        return len([place for place in places if place in LIMITED or place in FREE]) == 1

    known = fields(VirtualClusterSpec)
    assert [field for field in known if not is_known(field)] == []
    assert [
        each
        for each in (*LIMITED, *FREE)
        if not any(field == each or field.startswith(f"{each}.") for field in known)
    ] == []


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"allowed_modes": ["virtual"]},
        {},
        "mode: 'shared' (the default) is not what VirtualClusterPolicy 'team' allows (allowed_modes: "
        f"['virtual']): {SET}",
    ),
    (
        {"allowed_modes": ["virtual"]},
        {"mode": "shared"},
        f"mode: 'shared' is not what VirtualClusterPolicy 'team' allows (allowed_modes: ['virtual']): {SET}",
    ),
    (
        {"allowed_distributions": ["kubernetes"]},
        {},
        "distribution: 'k3s' (the default) is not what VirtualClusterPolicy 'team' allows "
        f"(allowed_distributions: ['kubernetes']): {SET}",
    ),
    (
        {"versions": ">=1.35"},
        {},
        "version: 'v1.34.4+k3s1' (the default) is not what VirtualClusterPolicy 'team' allows (versions: "
        f"'>=1.35'): {SET}",
    ),
    (
        {"versions": ">=1.33 <1.34"},
        {"version": "v1.34.0-k3s1"},
        "version: 'v1.34.0+k3s1' is not what VirtualClusterPolicy 'team' allows (versions: '>=1.33 "
        f"<1.34'): {SET}",
    ),
    (
        {"versions": "<1.34.4"},
        {"distribution": "kubernetes", "version": "v1.34.4"},
        f"version: 'v1.34.4' is not what VirtualClusterPolicy 'team' allows (versions: '<1.34.4'): {SET}",
    ),
    (
        {"expose_types": ["ClusterIP"]},
        {"expose": OPEN},
        "expose.type: 'LoadBalancer' is not what VirtualClusterPolicy 'team' allows (expose_types: "
        f"['ClusterIP']): {SET}",
    ),
    (
        {"expose_types": ["LoadBalancer"]},
        {"expose": {"host": "a.example"}},
        "expose.type: 'ClusterIP' (the default) is not what VirtualClusterPolicy 'team' allows "
        f"(expose_types: ['LoadBalancer']): {SET}",
    ),
    (
        {"source_cidrs": ["192.0.2.0/25", "10.0.0.0/8"]},
        {"expose": OPEN},
        "expose.source_cidrs[0]: '192.0.2.0/24' is more than VirtualClusterPolicy 'team' allows "
        f"(source_cidrs: ['192.0.2.0/25', '10.0.0.0/8']): {LEAVE}",
    ),
    (
        {"source_cidrs": []},
        {"expose": {"source_cidrs": ["10.0.0.1/32"]}},
        "expose.source_cidrs[0]: '10.0.0.1/32' is more than VirtualClusterPolicy 'team' allows "
        f"(source_cidrs: []): {LEAVE}",
    ),
    (
        {"source_cidrs": ["0.0.0.0/0"]},
        {"dns": {"source_cidrs": ["10.0.0.0/8", "::/0"]}},
        "dns.source_cidrs[1]: '::/0' is more than VirtualClusterPolicy 'team' allows (source_cidrs: "
        f"['0.0.0.0/0']): {LEAVE}",
    ),
    (
        {"storage_classes": ["fast"]},
        {},
        "persistence.storage_class: None (the default) is not what VirtualClusterPolicy 'team' allows "
        f"(storage_classes: ['fast']): {SET}",
    ),
    (
        {"storage_classes": []},
        {"persistence": {"storage_class": "fast"}},
        "persistence.storage_class: 'fast' is not what VirtualClusterPolicy 'team' allows (storage_classes: "
        f"[]): {SET}",
    ),
    (
        {"image_registries": ["example.com/team"]},
        {"images": {**IMAGES, "server": "example.com/team-b/k3s:v1"}},
        "images.server: 'example.com/team-b/k3s:v1' is not what VirtualClusterPolicy 'team' allows "
        f"(image_registries: ['example.com/team']): {SET}",
    ),
    (
        {"image_registries": ["example.com/team/"]},
        {"images": {**IMAGES, "dns": None}},
        "images.dns: 'docker.io/coredns/coredns:1.15.0' (the default) is not what VirtualClusterPolicy "
        f"'team' allows (image_registries: ['example.com/team/']): {SET}",
    ),
    (
        {},
        {"egress": "all"},
        f"egress: 'all' is more than VirtualClusterPolicy 'team' allows (egress: 'internet'): {LEAVE}",
    ),
    (
        {"egress": "none"},
        {"egress": "internet"},
        f"egress: 'internet' is more than VirtualClusterPolicy 'team' allows (egress: 'none'): {LEAVE}",
    ),
    (
        {},
        {"egress_cidrs": ["10.0.0.0/8"]},
        "egress_cidrs[0]: '10.0.0.0/8' is more than VirtualClusterPolicy 'team' allows (egress_cidrs: []): "
        f"{LEAVE}",
    ),
    (
        {"egress": "none"},
        {"egress_cidrs": ["198.51.100.0/24"]},
        "egress_cidrs[0]: '198.51.100.0/24' is more than VirtualClusterPolicy 'team' allows (egress_cidrs: "
        f"[]): {LEAVE}",
    ),
    (
        {"host_cidrs": ["198.51.100.0/24"]},
        {"egress_cidrs": ["198.51.100.8/32"]},
        "egress_cidrs[0]: '198.51.100.8/32' is more than VirtualClusterPolicy 'team' allows (egress_cidrs: "
        f"[]): {LEAVE}",
    ),
    # Behind NAT64 is the host, too.
    (
        {"host_cidrs": ["198.51.100.0/24"]},
        {"egress_cidrs": ["64:ff9b::c633:6408/128"]},
        "egress_cidrs[0]: '64:ff9b::c633:6408/128' is more than VirtualClusterPolicy 'team' allows "
        f"(egress_cidrs: []): {LEAVE}",
    ),
    # A range does not open the metadata addresses in it, unless it is of them alone.
    (
        {"egress_cidrs": ["169.0.0.0/8"]},
        {"egress_cidrs": ["169.254.169.254/32"]},
        "egress_cidrs[0]: '169.254.169.254/32' is more than VirtualClusterPolicy 'team' allows "
        f"(egress_cidrs: ['169.0.0.0/8']): {LEAVE}",
    ),
    (
        {"egress_cidrs": ["64:ff9b::/96"]},
        {"egress_cidrs": ["64:ff9b::a9fe:a9fe/128"]},
        "egress_cidrs[0]: '64:ff9b::a9fe:a9fe/128' is more than VirtualClusterPolicy 'team' allows "
        f"(egress_cidrs: ['64:ff9b::/96']): {LEAVE}",
    ),
    (
        {"egress_cidrs": ["fc00::/7"]},
        {"egress_cidrs": ["fd00:ec2::254/128"]},
        "egress_cidrs[0]: 'fd00:ec2::254/128' is more than VirtualClusterPolicy 'team' allows (egress_cidrs: "
        f"['fc00::/7']): {LEAVE}",
    ),
    (
        {"require_network_policy": True},
        {"require_network_policy": False},
        "require_network_policy: False is not what VirtualClusterPolicy 'team' requires "
        f"(require_network_policy: True): {LEAVE}",
    ),
    (
        {},
        {"mirror_host_nodes": True},
        "mirror_host_nodes: True is more than VirtualClusterPolicy 'team' allows (mirror_host_nodes: False): "
        f"{LEAVE}",
    ),
    (
        {"control_plane_required": {"node_selector": POOL_A}},
        {"node_selector": POOL_B},
        "node_selector['pool']: 'b' is not what VirtualClusterPolicy 'team' requires "
        f"(control_plane_required.node_selector: 'a'): {LEAVE}",
    ),
    (
        {"control_plane_required": {"tolerations": [WIDE]}},
        {"tolerations": [NARROW, ANY]},
        "tolerations[1]: {'operator': 'Exists'} is more than VirtualClusterPolicy 'team' allows "
        f"(control_plane_required.tolerations: [{WIDE}]): {LEAVE}",
    ),
    (
        {"control_plane_required": {"tolerations": []}},
        {"tolerations": [NARROW]},
        f"tolerations[0]: {NARROW} is more than VirtualClusterPolicy 'team' allows "
        f"(control_plane_required.tolerations: []): {LEAVE}",
    ),
    *(
        (
            {"control_plane_required": {field: required}},
            {field: given},
            f"{field}: {given!r} is not what VirtualClusterPolicy 'team' requires "
            f"(control_plane_required.{field}: {required!r}): {LEAVE}",
        )
        for field, required, given in (
            ("priority_class", "low", "high"),
            ("runtime_class", "kata", "runc"),
            ("host_users", False, True),
            ("host_users", True, False),
        )
    ),
    (
        {"control_plane_required": {"security_context": {"run_as_user": 2000}}},
        {"security_context": {"runAsUser": 3000, "fsGroup": 5}},
        "security_context.runAsUser: 3000 is not what VirtualClusterPolicy 'team' requires "
        f"(control_plane_required.security_context.runAsUser: 2000): {LEAVE}",
    ),
    (
        {},
        {"pods": {"host_network": True}},
        "pods.hostNetwork: True is more than VirtualClusterPolicy 'team' allows (pods.hostNetwork: False): "
        f"{LEAVE}",
    ),
    (
        {"image_registries": ["example.com/team"]},
        {"images": IMAGES, "pods": {"imageRegistries": ["docker.io"]}},
        "pods.imageRegistries[0]: 'docker.io' is more than VirtualClusterPolicy 'team' allows "
        f"(pods.imageRegistries: ['example.com/team']): {LEAVE}",
    ),
    (
        {},
        {"sync": {"to_host": {"ingresses": {"enabled": True}}}},
        "sync.toHost.ingresses.enabled: True is more than VirtualClusterPolicy 'team' allows "
        f"(sync.toHost.ingresses.enabled: False): {LEAVE}",
    ),
]


@pytest.mark.parametrize(("rules", "args", "line"), REFUSED)
def test_what_a_policy_does_not_allow_is_told_in_one_line(
    rules: dict[str, Any], args: dict[str, Any], line: str
) -> None:
    assert problems(rules, **args) == [line]


def test_everything_against_the_policy_is_told_at_once() -> None:
    lines = problems(
        {"egress": "none", "versions": "<1.34"}, egress="all", pods={"hostPID": True, "hostIPC": True}
    )
    assert [line.partition(":")[0] for line in lines] == ["version", "egress", "pods.hostPID", "pods.hostIPC"]


def test_arguments_that_are_wrong_by_themselves_are_told_first() -> None:
    with pytest.raises(InputError) as caught:
        VirtualClusterSpec.parse(
            "c", {"namespace": "team", "servers": 3, "policy": constraints(egress="none"), "egress": "all"}
        )
    assert [line.partition(":")[0] for line in caught.value.problems] == ["servers"]


def test_what_the_policy_gives_is_held_against_the_rest_of_the_cluster() -> None:
    (line,) = problems({"egress": "none"}, dns={"upstreams": ["192.0.2.53"]})
    assert line.startswith("dns.upstreams: has no use with egress 'none' of VirtualClusterPolicy 'team',")


def test_constraints_that_are_none_are_told_with_their_place() -> None:
    with pytest.raises(InputError) as caught:
        VirtualClusterSpec.parse("c", {"namespace": "team", "policy": {**constraints(), "egress": "lan"}})
    assert caught.value.problems == ("policy.egress: 'lan' must be none, internet or all",)
    with pytest.raises(InputError) as caught:
        VirtualClusterSpec.parse("c", {"namespace": "team", "policy": "team"})
    assert caught.value.problems == ("policy: 'team' must be the constraints of a VirtualClusterPolicy",)
