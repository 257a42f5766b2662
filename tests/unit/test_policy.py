"""A policy's own arguments, and the constraints by which clusters elsewhere know it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import VirtualClusterPolicySpec

RESTRICTED = "the control plane's namespace has the Pod Security level restricted"
LABEL = (
    "must be lower-case letters, digits and '-', begin and end with a letter or digit, and have at most 63 "
    "characters"
)
REGISTRY = (
    "must be a registry with its domain, or whole parts of names there, like registry.example.com/team/ or "
    "docker.io/library/"
)
QUOTA = "Extended ones are written requests.example.com/gpu, numbers of objects count/jobs.batch"
EVERYTHING: dict[str, Any] = {
    "namespaces": ["team-a", "team-b"],
    "allowed_modes": ["shared"],
    "allowed_distributions": ["kubernetes"],
    "versions": ">=1.33 <1.36",
    "quotas": {
        "compute": {"hard": {"requests.cpu": 20.0, "requests.example.com/gpu": "2", "count/jobs.batch": 5}},
        "low": {
            "hard": {"pods": "10"},
            "scope_selector": {
                "match_expressions": [{"scope_name": "PriorityClass", "operator": "In", "values": ["low"]}]
            },
        },
    },
    "limits": [{"type": "Container", "default_request": {"cpu": "100m"}, "max": {"memory": "2Gi"}}],
    "pod_security": {"enforce": "restricted", "version": "v1.34"},
    "control_plane_defaults": {"node_selector": {"pool": "planes"}, "priority_class": "platform"},
    "control_plane_required": {
        "tolerations": [{"key": "planes", "operator": "Exists", "toleration_seconds": 5.0}],
        "host_users": False,
        "security_context": {"run_as_user": 2000.0, "seccomp_profile": {"type": "RuntimeDefault"}},
    },
    "egress": "none",
    "egress_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
    "host_cidrs": ["198.51.100.0/24"],
    "source_cidrs": [],
    "expose_types": ["ClusterIP"],
    "storage_classes": ["fast"],
    "image_registries": ["registry.example.com/team/"],
    "mirror_host_nodes": True,
    "require_network_policy": True,
    "admission_policy": True,
    "pods": {"host_network": True, "volumeTypes": ["secret"]},
    "sync": {"to_host": {"ingresses": {"enabled": True, "hosts": ["*.team.example.com"]}}},
    "labels": {"team": "a"},
    "annotations": {"example.com/owner": "a"},
}


def parse(**args: Any) -> VirtualClusterPolicySpec:
    return VirtualClusterPolicySpec.parse("team", {"namespaces": ["a"], **args})


def problems(**args: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(**args)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"namespaces": None}, "namespaces: missing; it is required"),
        ({"namespaces": []}, "namespaces: [] must have one namespace or more"),
        ({"namespaces": ["a", "a"]}, "namespaces: ['a', 'a'] has a namespace twice"),
        ({"namespaces": ["a", "B"]}, f"namespaces[1]: 'B' {LABEL}"),
        ({"namespaces": "a"}, "namespaces: 'a' must be a list"),
        (
            {"allowed_modes": []},
            "allowed_modes: [] would allow no cluster at all: leave it out to allow all",
        ),
        ({"allowed_modes": ["shard"]}, "allowed_modes[0]: 'shard' must be shared, virtual or hosted"),
        ({"allowed_distributions": ["rke2"]}, "allowed_distributions[0]: 'rke2' must be k3s or kubernetes"),
        (
            {"versions": "1.33"},
            "versions: '1.33' must be conditions that all hold, like '>=1.33 <1.36' (with >=, >, <=, < or =, "
            "of 1.34 or 1.34.4)",
        ),
        ({"versions": 1.33}, "versions: 1.33 must be a string"),
        ({"quotas": {"A": {"hard": {"pods": 1}}}}, f"quotas: the quota's name 'A' {LABEL}"),
        ({"quotas": {"a": {}}}, "quotas.a.hard: missing; a quota without it limits nothing"),
        ({"quotas": {"a": {"hard": {}}}}, "quotas.a.hard: missing; a quota without it limits nothing"),
        (
            {"quotas": {"a": {"hard": {"request.cpu": 1}}}},
            f"quotas.a.hard: 'request.cpu' is no resource of quotas; did you mean 'requests.cpu'? {QUOTA}",
        ),
        (
            {"quotas": {"a": {"hard": {"nvidia": 1}}}},
            f"quotas.a.hard: 'nvidia' is no resource of quotas; {QUOTA}",
        ),
        (
            {"quotas": {"a": {"hard": {"pods": -1}}}},
            "quotas.a.hard.pods: -1 must be a quantity like 500m, 256Mi or 2Gi",
        ),
        (
            {"quotas": {"a": {"hard": {"pods": True}}}},
            "quotas.a.hard.pods: True must be a quantity like 500m, 256Mi or 2Gi",
        ),
        (
            {"quotas": {"a": {"hrd": {"pods": 1}, "hard": {"pods": 1}}}},
            "quotas.a.hrd: unknown key; did you mean 'hard'?",
        ),
        (
            {"quotas": {"a": {"hard": {"pods": 1}, "scopes": ["Best"]}}},
            "quotas.a.scopes[0]: 'Best' must be Terminating, NotTerminating, BestEffort, NotBestEffort, "
            "PriorityClass, CrossNamespacePodAffinity or VolumeAttributesClass",
        ),
        ({"limits": [{"max": {"cpu": "1"}}]}, "limits[0].type: missing; it is required"),
        (
            {"limits": [{"type": "Pod"}, {"type": "Container"}, {"type": "Pod"}]},
            "limits[2].type: 'Pod' is there twice: make one of the two",
        ),
        (
            {"limits": [{"type": "Node"}]},
            "limits[0].type: 'Node' must be Container, Pod or PersistentVolumeClaim",
        ),
        ({"limits": {"type": "Pod"}}, "limits: {'type': 'Pod'} must be a list"),
        (
            {"pod_security": {"enforce": "Baseline"}},
            "pod_security.enforce: 'Baseline' must be privileged, baseline or restricted",
        ),
        (
            {"pod_security": {"version": "1.34"}},
            "pod_security.version: '1.34' must be latest or a minor version like v1.34",
        ),
        (
            {"pod_security": "baseline"},
            "pod_security: 'baseline' must be a map with keys of enforce, warn, audit or version",
        ),
        (
            {"control_plane_required": {"security_context": {"run_as_user": 0}}},
            "control_plane_required.security_context.runAsUser: 0 must be a whole number from 1 to "
            f"2147483647: {RESTRICTED}",
        ),
        (
            {"control_plane_defaults": {"security_context": {"run_as_non_root": False}}},
            f"control_plane_defaults.security_context.runAsNonRoot: False must be true: {RESTRICTED}",
        ),
        (
            {"control_plane_required": {"security_context": {"seccompProfile": {"type": "Unconfined"}}}},
            "control_plane_required.security_context.seccompProfile.type: 'Unconfined' must be "
            f"RuntimeDefault or Localhost: {RESTRICTED}",
        ),
        (
            {"control_plane_required": {"priorityClass": "a"}},
            "control_plane_required.priorityClass: unknown argument; did you mean 'priority_class'?",
        ),
        (
            {"control_plane_defaults": {"tolerations": [{"operator": "In"}]}},
            "control_plane_defaults.tolerations[0].operator: 'In' must be Equal or Exists",
        ),
        ({"egress": "lan"}, "egress: 'lan' must be none, internet or all"),
        (
            {"egress_cidrs": ["10.0.0.1/8"]},
            "egress_cidrs[0]: '10.0.0.1/8' has bits set beyond its prefix: did you mean '10.0.0.0/8'?",
        ),
        ({"source_cidrs": ["any"]}, "source_cidrs[0]: 'any' must be a CIDR like 10.43.0.0/16"),
        (
            {"expose_types": ["Ingress"]},
            "expose_types[0]: 'Ingress' must be ClusterIP, NodePort or LoadBalancer",
        ),
        ({"image_registries": ["nginx"]}, f"image_registries[0]: 'nginx' {REGISTRY}"),
        ({"image_registries": ["example.com/*"]}, f"image_registries[0]: 'example.com/*' {REGISTRY}"),
        (
            {"image_registries": ["https://example.com"]},
            f"image_registries[0]: 'https://example.com' {REGISTRY}",
        ),
        ({"mirror_host_nodes": "yes"}, "mirror_host_nodes: 'yes' must be true or false"),
        ({"pods": {"hostNetwrk": True}}, "pods.hostNetwrk: unknown key; did you mean 'hostNetwork'?"),
        (
            {"labels": {"pod-security.kubernetes.io/enforce-version": "v1.0"}},
            "labels: {'pod-security.kubernetes.io/enforce-version': 'v1.0'} has the key "
            "'pod-security.kubernetes.io/enforce-version', which k3k_pulumi sets itself: choose another one",
        ),
        ({"allowed_mode": ["shared"]}, "allowed_mode: unknown argument; did you mean 'allowed_modes'?"),
    ],
    ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else None,
)
def test_a_wrong_argument_is_told_in_one_line(args: dict[str, Any], line: str) -> None:
    assert problems(**args) == [line]


def test_the_name_is_no_argument() -> None:
    (line,) = problems(name="x")
    assert line.startswith("name: unknown argument; known here: admission_policy, allowed_distributions, ")


def test_the_policy_is_named_in_the_error() -> None:
    with pytest.raises(InputError) as caught:
        VirtualClusterPolicySpec.parse("Team", {"namespaces": ["a"]})
    assert str(caught.value) == f"VirtualClusterPolicy 'Team': name: 'Team' {LABEL}"


def test_the_defaults_are_safe() -> None:
    spec = parse()
    assert spec.egress == "internet"
    assert spec.pod_security.model_dump() == {
        "enforce": "baseline",
        "warn": "baseline",
        "audit": "baseline",
        "version": "latest",
    }
    assert (spec.mirror_host_nodes, spec.require_network_policy, spec.admission_policy) == (
        False,
        False,
        False,
    )
    assert spec.source_cidrs is spec.storage_classes is spec.image_registries is spec.versions is None


def test_constraints_have_what_was_given_in_one_form_and_no_default() -> None:
    assert parse().constraints == {"apiVersion": "k3k-pulumi.io/v1", "name": "team"}
    assert (
        parse(egress="internet", pods={}, pod_security={"enforce": "baseline"}).constraints
        == parse().constraints
    )
    spec = parse(**EVERYTHING)
    given = {key: value for key, value in EVERYTHING.items() if key != "namespaces"}
    assert set(spec.constraints) == {"apiVersion", "name", *given}
    assert set(given) == set(VirtualClusterPolicySpec.model_fields) - {"name", "namespaces"}
    found = json.dumps(spec.constraints)
    assert json.loads(found) == spec.constraints
    assert spec.constraints["pods"] == {"hostNetwork": True, "volumeTypes": ["secret"]}
    required = spec.constraints["control_plane_required"]
    assert required == {
        "tolerations": [{"key": "planes", "operator": "Exists", "tolerationSeconds": 5}],
        "host_users": False,
        "security_context": {"runAsUser": 2000, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    assert floats(spec.constraints) == spec.constraints
    assert found != json.dumps(floats(spec.constraints))  # none is left


@pytest.mark.parametrize("args", [{}, EVERYTHING, {"control_plane_required": {"tolerations": []}}])
def test_constraints_are_read_back_as_the_same_policy(args: dict[str, Any]) -> None:
    spec = parse(**args)
    again = VirtualClusterPolicySpec.of(json.loads(json.dumps(spec.constraints)))
    assert again == spec.model_copy(update={"namespaces": ()})
    assert again.constraints == spec.constraints


def floats(value: Any) -> Any:
    """As Pulumi's plugins send values: every number is a float."""
    if isinstance(value, dict):
        return {key: floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_constraints_may_come_through_pulumis_plugins() -> None:
    constraints = parse(**EVERYTHING).constraints
    again = VirtualClusterPolicySpec.of({**floats(constraints), "egress_cidrs": None, "versions": None})
    assert again.control_plane_required == parse(**EVERYTHING).control_plane_required
    assert json.dumps(again.constraints["limits"]) == json.dumps(constraints["limits"])
    assert (again.egress_cidrs, again.versions) == ((), None)


@pytest.mark.parametrize(
    ("constraints", "line"),
    [
        (None, ": None must be the constraints of a VirtualClusterPolicy"),
        ("team", ": 'team' must be the constraints of a VirtualClusterPolicy"),
        ([], ": [] must be the constraints of a VirtualClusterPolicy"),
        (
            {},
            ".apiVersion: None must be 'k3k-pulumi.io/v1': give the constraints of a VirtualClusterPolicy",
        ),
        (
            {"apiVersion": "k3k-pulumi.io/v2", "name": "a"},
            ".apiVersion: 'k3k-pulumi.io/v2' must be 'k3k-pulumi.io/v1': give the constraints of a "
            "VirtualClusterPolicy",
        ),
        ({"apiVersion": "k3k-pulumi.io/v1"}, ".name: missing; it is required"),
        ({"apiVersion": "k3k-pulumi.io/v1", "name": "A"}, f".name: 'A' {LABEL}"),
        (
            {"apiVersion": "k3k-pulumi.io/v1", "name": "a", "namespaces": ["b"]},
            ".namespaces: is no part of constraints",
        ),
        (
            {"apiVersion": "k3k-pulumi.io/v1", "name": "a", "egres": "none"},
            ".egres: unknown argument; did you mean 'egress'?",
        ),
        (
            {"apiVersion": "k3k-pulumi.io/v1", "name": "a", "pods": {"hostNetwrk": True}},
            ".pods.hostNetwrk: unknown key; did you mean 'hostNetwork'?",
        ),
    ],
)
def test_what_are_no_constraints_is_refused(constraints: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        VirtualClusterPolicySpec.of(constraints)
    assert list(caught.value.problems) == [line]


def test_registries_of_a_policy_are_those_of_workloads_unless_pods_has_its_own() -> None:
    assert parse().workloads == {}
    assert parse(image_registries=["a.example/"]).workloads == {"imageRegistries": ["a.example/"]}
    own = {"imageRegistries": ["b.example/"]}
    assert parse(image_registries=["a.example/"], pods=own).workloads == own


JUNK: list[Any] = [
    *(True, -1, 1.5, math.nan, "", "A b", "x" * 300, "\ud800", [], ["a"], [None], [{}], {}, {"a": 1}, {1: 2}),
    *({"hard": {"a": {}}}, {"a": {"hard": {"x": math.inf}}}, {"tolerations": 1}, b"x", (1, 2), object()),
]


@pytest.mark.parametrize("field", sorted(set(VirtualClusterPolicySpec.model_fields) - {"name"}))
def test_junk_is_refused_with_its_field_or_taken_but_never_a_crash(field: str) -> None:
    found = []
    for junk in JUNK:
        try:
            json.dumps(parse(**{field: junk}).constraints)
        except InputError as error:
            found += error.problems
    assert found
    assert [line for line in found if not line.startswith(field)] == []
