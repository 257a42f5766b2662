"""What a cluster takes from its policy."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.model import VirtualClusterSpec
from tests.unit.support import under

POOL_A, POOL_B = {"pool": "a"}, {"pool": "b"}
ANY, NARROW = {"operator": "Exists"}, {"key": "planes", "value": "x", "effect": "NoSchedule"}
WIDE = {"key": "planes", "operator": "Exists"}
OPEN = {"type": "LoadBalancer", "source_cidrs": ["192.0.2.0/24"]}
IMAGES = {
    "server": "example.com/team/k3s:v1",
    "kubelet": "example.com/team/kubelet:v1",
    "dns": "example.com/team/coredns:v1",
}

TAKEN: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # the policy's rules, the cluster's arguments, what holds
    ({}, {}, {"egress": "internet", "pods": {}, "sync": {}, "mirror_host_nodes": False, "host_users": None}),
    ({"egress": "none"}, {}, {"egress": "none"}),
    ({"egress": "all"}, {}, {"egress": "all"}),
    ({"egress": "all"}, {"egress": "internet"}, {"egress": "internet"}),
    ({"egress": "internet"}, {"egress": "none"}, {"egress": "none"}),
    ({"egress": "none"}, {"egress": None}, {"egress": "none"}),
    ({"egress_cidrs": ["10.0.0.0/8"]}, {}, {"egress_cidrs": ["10.0.0.0/8"]}),
    ({"egress_cidrs": ["10.0.0.0/8"]}, {"egress_cidrs": []}, {"egress_cidrs": []}),
    # Who chooses his own egress gets no more than that.
    ({"egress_cidrs": ["10.0.0.0/8"]}, {"egress": "none"}, {"egress": "none", "egress_cidrs": []}),
    (
        {"egress_cidrs": ["10.0.0.0/9", "10.128.0.0/9"]},
        {"egress_cidrs": ["10.0.0.0/8"]},
        {"egress_cidrs": ["10.0.0.0/8"]},
    ),
    # What is internet anyway may be named.
    (
        {},
        {"egress": "none", "egress_cidrs": ["198.51.100.0/24", "2001:db8::/32"]},
        {"egress": "none", "egress_cidrs": ["198.51.100.0/24", "2001:db8::/32"]},
    ),
    ({"egress": "all"}, {"egress_cidrs": ["169.254.169.254/32"]}, {"egress_cidrs": ["169.254.169.254/32"]}),
    (
        {"egress_cidrs": ["169.254.169.254/32"]},
        {"egress_cidrs": ["169.254.169.254/32"]},
        {"egress_cidrs": ["169.254.169.254/32"]},
    ),
    (
        {"host_cidrs": ["198.51.100.0/24"]},
        {"host_cidrs": ["203.0.113.0/24", "198.51.100.0/24"]},
        {"host_cidrs": ["203.0.113.0/24", "198.51.100.0/24"]},
    ),
    ({"host_cidrs": ["198.51.100.0/24"]}, {"host_cidrs": []}, {"host_cidrs": ["198.51.100.0/24"]}),
    ({}, {"host_cidrs": ["203.0.113.0/24"]}, {"host_cidrs": ["203.0.113.0/24"]}),
    ({"require_network_policy": True}, {}, {"require_network_policy": True}),
    ({}, {"require_network_policy": True}, {"require_network_policy": True}),
    ({"mirror_host_nodes": True}, {}, {"mirror_host_nodes": False}),
    ({"mirror_host_nodes": True}, {"mirror_host_nodes": True}, {"mirror_host_nodes": True}),
    ({"control_plane_defaults": {"node_selector": POOL_A}}, {}, {"node_selector": POOL_A}),
    (
        {"control_plane_defaults": {"node_selector": POOL_A}},
        {"node_selector": POOL_B},
        {"node_selector": POOL_B},
    ),
    ({"control_plane_defaults": {"node_selector": POOL_A}}, {"node_selector": {}}, {"node_selector": {}}),
    (
        {"control_plane_required": {"node_selector": POOL_A}},
        {"node_selector": {"disk": "ssd", "pool": "a"}},
        {"node_selector": {"disk": "ssd", "pool": "a"}},
    ),
    (
        {
            "control_plane_required": {"node_selector": POOL_A},
            "control_plane_defaults": {"node_selector": {"disk": "ssd", "pool": "b"}},
        },
        {},
        {"node_selector": {"disk": "ssd", "pool": "a"}},
    ),
    ({"control_plane_defaults": {"tolerations": [WIDE]}}, {}, {"tolerations": [WIDE]}),
    ({"control_plane_defaults": {"tolerations": [WIDE]}}, {"tolerations": []}, {"tolerations": []}),
    ({}, {"tolerations": [ANY]}, {"tolerations": [ANY]}),
    ({"control_plane_required": {"tolerations": [WIDE]}}, {"tolerations": []}, {"tolerations": [WIDE]}),
    (
        {"control_plane_required": {"tolerations": [WIDE]}},
        {"tolerations": [NARROW]},
        {"tolerations": [NARROW, WIDE]},
    ),
    (
        {
            "control_plane_required": {"tolerations": [WIDE]},
            "control_plane_defaults": {"tolerations": [NARROW, WIDE]},
        },
        {},
        {"tolerations": [WIDE, NARROW]},
    ),
    *(
        case
        for field, one, other in (
            ("priority_class", "low", "high"),
            ("runtime_class", "kata", "runc"),
            ("host_users", False, True),
        )
        for case in (
            ({"control_plane_defaults": {field: one}}, {}, {field: one}),
            ({"control_plane_defaults": {field: one}}, {field: other}, {field: other}),
            ({"control_plane_required": {field: one}}, {}, {field: one}),
            ({"control_plane_required": {field: one}}, {field: one}, {field: one}),
            (
                {"control_plane_required": {field: one}, "control_plane_defaults": {field: other}},
                {},
                {field: one},
            ),
            ({}, {field: one}, {field: one}),
        )
    ),
    (
        {
            "control_plane_defaults": {"security_context": {"run_as_user": 2000, "fs_group": 1}},
            "control_plane_required": {"security_context": {"run_as_group": 3000}},
        },
        {"security_context": {"fsGroup": 5.0, "run_as_group": 3000.0}},
        {"security_context": {"runAsUser": 2000, "fsGroup": 5, "runAsGroup": 3000}},
    ),
    (
        {"pods": {"hostNetwork": True, "volumeTypes": ["secret"]}},
        {"pods": {"host_network": False}},
        {"pods": {"hostNetwork": False, "volumeTypes": ["secret"]}},
    ),
    (
        {"image_registries": ["example.com/team"]},
        {"images": IMAGES},
        {"pods": {"imageRegistries": ["example.com/team"]}},
    ),
    (
        {"image_registries": ["example.com/team"], "pods": {"imageRegistries": ["docker.io"]}},
        {"images": IMAGES},
        {"pods": {"imageRegistries": ["docker.io"]}},
    ),
    (
        {"sync": {"toHost": {"ingresses": {"enabled": True, "hosts": ["*.example.com"]}}}},
        {"sync": {"to_host": {"ingresses": {"hosts": ["a.example.com"]}}}},
        {"sync": {"toHost": {"ingresses": {"enabled": True, "hosts": ["a.example.com"]}}}},
    ),
    # Fields of which nothing is taken, and that are within the policy.
    (
        {"versions": ">=1.34.4 <1.35", "allowed_distributions": ["k3s"], "allowed_modes": ["shared"]},
        {},
        {"distribution": "k3s", "mode": "shared"},
    ),
    (
        {"source_cidrs": ["192.0.2.0/24"], "expose_types": ["LoadBalancer"]},
        {"expose": OPEN},
        {"egress": "internet"},
    ),
    ({"storage_classes": ["fast"]}, {"persistence": {"type": "ephemeral"}}, {}),
    ({"storage_classes": ["fast", "slow"]}, {"persistence": {"storage_class": "slow"}}, {}),
]


@pytest.mark.parametrize(("rules", "args", "expected"), TAKEN)
def test_what_a_cluster_leaves_out_it_takes_from_its_policy(
    rules: dict[str, Any], args: dict[str, Any], expected: dict[str, Any]
) -> None:
    spec = under(rules, **args)
    found = spec.model_dump(mode="json", include=set(expected))
    assert found == expected
    assert repr(found) == repr({key: expected[key] for key in found})  # 5 is not 5.0, and True is not 1


def test_the_specification_knows_its_policy() -> None:
    spec = under({"egress": "none"})
    assert spec.policy is not None
    assert (spec.policy.name, spec.policy.namespaces, spec.policy.egress) == ("team", (), "none")
    assert VirtualClusterSpec.parse("c", {"namespace": "team", "policy": None}).policy is None


def test_required_and_own_affinity_hold_together() -> None:
    def affinity(key: str) -> dict[str, Any]:
        return {
            "pod_anti_affinity": {
                "required_during_scheduling_ignored_during_execution": [{"topologyKey": key}]
            }
        }

    rules = {"control_plane_required": {"affinity": affinity("a")}}
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    found = under(rules, affinity=affinity("b")).affinity["podAntiAffinity"][name]
    assert [each["topologyKey"] for each in found] == ["b", "a"]
    assert under(rules).affinity["podAntiAffinity"][name] == [{"topologyKey": "a"}]
    default = {"control_plane_defaults": {"affinity": affinity("a")}}
    assert under(default, affinity={}).affinity == {}
    assert under(default).affinity["podAntiAffinity"][name] == [{"topologyKey": "a"}]
