"""What a policy sets and makes in a namespace, and what stands in its way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k3k_pulumi.manifests.policy import (
    constraints_of,
    namespace_fields,
    namespace_objects,
    obstacles,
    own_managers,
    shared_mode_namespace,
)
from k3k_pulumi.model import SharedModeNamespaceSpec, VirtualClusterPolicySpec
from tests.unit.support import find, manifests

SECURITY = "pod-security.kubernetes.io/"
POLICY = "k3k-pulumi.io/policy"


def policy(name: str = "p", /, **args: Any) -> VirtualClusterPolicySpec:
    return VirtualClusterPolicySpec.parse(name, {"namespaces": ["team"], **args})


def managed(manager: str, **parts: list[str]) -> dict[str, Any]:
    """An entry of managedFields: the keys of labels and annotations that a manager owns."""
    fields = {f"f:{part}": {f"f:{key}": {} for key in keys} for part, keys in parts.items()}
    return {"manager": manager, "operation": "Apply", "fieldsV1": {"f:metadata": fields}}


def bound(name: str = "p", manager: str = "ours", **args: Any) -> dict[str, Any]:
    """Metadata of a Namespace as a deployed policy leaves it."""
    fields = namespace_fields(policy(name, **args), "team")["metadata"]
    owned = managed(manager, labels=list(fields["labels"]), annotations=list(fields["annotations"]))
    return {**fields, "managedFields": [owned]}


def test_the_fields_of_a_namespace_are_identity_levels_and_constraints() -> None:
    spec = policy(pod_security={"enforce": "restricted", "version": "v1.34"}, labels={"mine": "1"})
    manifest = namespace_fields(spec, "team")
    assert manifest["metadata"] == {
        "name": "team",
        "labels": {
            POLICY: "p",
            f"{SECURITY}enforce": "restricted",
            f"{SECURITY}warn": "baseline",
            f"{SECURITY}audit": "baseline",
            **{f"{SECURITY}{mode}-version": "v1.34" for mode in ("enforce", "warn", "audit")},
        },
        "annotations": {POLICY: json.dumps(spec.constraints, sort_keys=True, separators=(",", ":"))},
    }
    assert constraints_of(manifest["metadata"], "x") == spec.constraints


def test_all_pods_of_the_namespace_are_denied_both_directions() -> None:
    (made,) = namespace_objects(policy(), "team")
    assert (made["kind"], made["apiVersion"]) == ("NetworkPolicy", "networking.k8s.io/v1")
    assert made["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_quotas_and_limits_are_those_of_the_policy() -> None:
    quotas = {
        "compute": {"hard": {"requests.cpu": "4", "requests.example.com/gpu": 2}},
        "burst": {"hard": {"pods": "10"}, "scopes": ["BestEffort"]},
    }
    limits = [{"type": "Container", "default": {"memory": "256Mi"}, "default_request": {"cpu": "10m"}}]
    made = namespace_objects(policy(quotas=quotas, limits=limits, annotations={"a": "b"}), "team")
    assert find(made, "ResourceQuota", "p.compute", "team")["spec"] == quotas["compute"]
    # `scopes` themselves could not be changed in place.
    selector = {"matchExpressions": [{"scopeName": "BestEffort", "operator": "Exists"}]}
    burst = find(made, "ResourceQuota", "p.burst", "team")
    assert burst["spec"] == {"hard": {"pods": "10"}, "scopeSelector": selector}
    assert find(made, "LimitRange", "p", "team")["spec"] == {
        "limits": [{"type": "Container", "default": {"memory": "256Mi"}, "defaultRequest": {"cpu": "10m"}}]
    }
    for each in made:
        labels = {"app.kubernetes.io/managed-by": "k3k-pulumi", POLICY: "p"}
        assert each["metadata"]["labels"] == labels
        assert each["metadata"]["annotations"] == {"a": "b"}


def test_scopes_of_a_quota_hold_beside_its_selector() -> None:
    chosen = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    quota = {"scopes": ["NotBestEffort"], "scope_selector": {"match_expressions": [chosen]}}
    made = namespace_objects(policy(quotas={"a": {"hard": {"pods": "1"}, **quota}}), "team")
    assert find(made, "ResourceQuota", "p.a", "team")["spec"]["scopeSelector"]["matchExpressions"] == [
        {"scopeName": "NotBestEffort", "operator": "Exists"},
        chosen,
    ]


def test_a_policy_and_a_cluster_of_one_name_own_different_objects() -> None:
    def titles(made: list[Any]) -> set[tuple[str, str]]:
        return {
            (each["kind"], each["metadata"]["name"])
            for each in made
            if each["metadata"].get("namespace") == "team"
        }

    quotas = {"server": {"hard": {"pods": "1"}}}
    of_policy = namespace_objects(policy("c", quotas=quotas, limits=[{"type": "Pod"}]), "team")
    assert not titles(of_policy) & titles(manifests("c"))


def test_what_is_given_out_may_be_changed() -> None:
    spec = policy(quotas={"a": {"hard": {"pods": "1"}}}, limits=[{"type": "Pod"}])
    for each in namespace_objects(spec, "team"):
        each["spec"].clear()
        each["metadata"]["labels"].clear()
    again = namespace_objects(spec, "team")
    assert find(again, "ResourceQuota", "p.a")["spec"] == {"hard": {"pods": "1"}}
    assert find(again, "LimitRange", "p")["metadata"]["labels"][POLICY] == "p"


FREE: dict[str, Any] = {"name": "team", "labels": {"kubernetes.io/metadata.name": "team"}}
PRIVILEGED = {f"{SECURITY}enforce": "privileged"}
BASELINE = {f"{SECURITY}enforce": "baseline"}


@pytest.mark.parametrize(
    "found",
    [
        FREE,
        {"name": "team"},
        {**FREE, "labels": None, "annotations": None},
        # The same value of another owner.
        {**FREE, "labels": BASELINE, "managedFields": [managed("kubectl", labels=[*BASELINE])]},
        # An older state of this policy.
        bound(),
        bound(pod_security={"enforce": "privileged"}, egress="all"),
        # A level that this policy does not set any other way.
        {**FREE, "labels": {f"{SECURITY}enforce-version": "latest"}},
    ],
)
def test_a_policy_can_be_bound(found: dict[str, Any]) -> None:
    assert obstacles(policy(), "team", found) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, ["'team' does not exist on the host: create it first"]),
        ({**FREE, "deletionTimestamp": "2026-01-01T00:00:00Z"}, ["'team' is being deleted"]),
        (
            {**FREE, "labels": PRIVILEGED, "managedFields": [managed("kubectl-label", labels=[*PRIVILEGED])]},
            [f"label {SECURITY}enforce=privileged, set by kubectl-label", "'p' needs baseline"],
        ),
        # Nobody is said to own it: it is not ours.
        ({**FREE, "labels": PRIVILEGED}, ["set by somebody unknown", "or change pod_security.enforce"]),
        (
            {**FREE, "labels": {f"{SECURITY}warn-version": "v1.30"}},
            [f"label {SECURITY}warn-version=v1.30", "or change pod_security.version"],
        ),
        # Somebody has changed a label of ours since.
        (
            {
                **bound(),
                "labels": {**bound()["labels"], **PRIVILEGED},
                "managedFields": [
                    managed("ours", labels=[POLICY]),
                    managed("kubectl", labels=[f"{SECURITY}enforce"]),
                ],
            },
            [f"label {SECURITY}enforce=privileged, set by kubectl"],
        ),
        # Somebody owns the value of now as well: ours alone cannot be changed.
        (
            {
                **bound(pod_security={"enforce": "privileged"}),
                "managedFields": [
                    *bound()["managedFields"],
                    managed("terraform", labels=[f"{SECURITY}enforce"]),
                ],
            },
            ["set by terraform"],
        ),
        (bound("other"), ["has the policy 'other' already, and a namespace has one"]),
        ({**FREE, "annotations": {POLICY: '{"name": "other"}'}}, ["has the policy 'other' already"]),
        ({**FREE, "annotations": {POLICY: "mine"}}, [f"annotation {POLICY}, set by somebody unknown"]),
        (
            {**FREE, "labels": {"k3k-pulumi.io/component": "server", "k3k-pulumi.io/cluster": "c"}},
            ["control plane of virtual cluster 'c'", "bind the namespace of its workloads"],
        ),
    ],
)
def test_a_policy_cannot_be_bound(found: dict[str, Any] | None, words: list[str]) -> None:
    (problem,) = obstacles(policy(), "team", found)
    assert problem.startswith("namespaces: 'team' ")
    for word in words:
        assert word in problem


def test_every_foreign_label_has_a_line() -> None:
    labels = {f"{SECURITY}{mode}": "privileged" for mode in ("enforce", "warn", "audit")}
    assert len(obstacles(policy(), "team", {**FREE, "labels": labels})) == 3


def test_a_namespace_is_bound_by_whom_its_label_belongs_to() -> None:
    assert own_managers("p", bound(manager="m")) == {"m"}
    assert own_managers("q", bound(manager="m")) == set()
    assert own_managers("p", {"labels": {POLICY: "p"}}) == set()


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        (None, "Namespace 'team' has no policy (annotation k3k-pulumi.io/policy)"),
        ({}, "has no policy"),
        ({POLICY: "["}, "is not what a VirtualClusterPolicy writes there"),
        ({POLICY: "[]"}, "is not what a VirtualClusterPolicy writes there"),
    ],
)
def test_a_namespace_without_a_policy_gives_no_constraints(
    annotations: dict[str, str] | None, problem: str
) -> None:
    with pytest.raises(ValueError, match=r"^policy_from_namespace: ") as caught:
        constraints_of({"name": "team", "annotations": annotations}, "policy_from_namespace")
    assert problem in str(caught.value)


def shared(name: str = "team", /, **args: Any) -> list[Any]:
    return shared_mode_namespace(SharedModeNamespaceSpec.parse(name, args))


def test_a_shared_mode_namespace_has_all_that_a_policy_gives_one() -> None:
    rules = {"quotas": {"a": {"hard": {"pods": "1"}}}, "limits": [{"type": "Pod"}], "egress": "none"}
    namespace, *rest = shared(labels={"mine": "1"}, annotations={"mine": "2"}, **rules)
    spec = VirtualClusterPolicySpec.parse(
        "team", {"namespaces": ["team"], "labels": {"mine": "1"}, "annotations": {"mine": "2"}, **rules}
    )
    fields = namespace_fields(spec, "team")["metadata"]
    assert namespace["kind"] == "Namespace"
    assert namespace["metadata"] == {
        "name": "team",
        "labels": {"mine": "1", "app.kubernetes.io/managed-by": "k3k-pulumi", **fields["labels"]},
        "annotations": {"mine": "2", **fields["annotations"]},
    }
    assert rest == namespace_objects(spec, "team")


def test_its_namespace_may_be_called_otherwise() -> None:
    namespace, deny = shared("rules", namespace="team")
    assert namespace["metadata"]["name"] == deny["metadata"]["namespace"] == "team"
    assert namespace["metadata"]["labels"][POLICY] == "rules"


def test_tenants_may_view_their_host_objects() -> None:
    tenants = [
        {"kind": "User", "name": "ann"},
        {"kind": "Group", "name": "team:a"},
        {"kind": "ServiceAccount", "name": "ci", "namespace": "build"},
    ]
    binding = find(shared(tenants=tenants), "RoleBinding", "team.tenants", "team")
    group = "rbac.authorization.k8s.io"
    assert binding["roleRef"] == {"apiGroup": group, "kind": "ClusterRole", "name": "view"}
    assert binding["subjects"] == [
        {"apiGroup": group, "kind": "User", "name": "ann"},
        {"apiGroup": group, "kind": "Group", "name": "team:a"},
        {"kind": "ServiceAccount", "name": "ci", "namespace": "build"},
    ]
