"""Policies without an engine, before a real API server: the rights that they need, and what they remove."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi import direct
from tests.unit.direct.conftest import Host

pytestmark = pytest.mark.xdist_group("direct")  # one API server for all of them

RULES: dict[str, Any] = {
    "quotas": {"compute": {"hard": {"pods": "10"}}},
    "limits": [{"type": "Container", "default": {"memory": "64Mi"}}],
}
VERBS = ["get", "list", "create", "patch", "delete"]
NAMESPACES = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]}
INSIDE = [
    {"apiGroups": [""], "resources": ["resourcequotas", "limitranges"], "verbs": VERBS},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": VERBS},
]


def objects(host: Host, namespace: str) -> set[tuple[str, str]]:
    """What a policy may have made in a namespace."""
    kinds = "resourcequotas,limitranges,networkpolicies.networking.k8s.io"
    found = host.plane.kubectl("get", kinds, "-n", namespace, "-o", "name")
    return {
        (kind.partition(".")[0], name) for kind, _, name in (line.partition("/") for line in found.split())
    }


def test_the_rights_in_the_docs_suffice_to_bind_and_to_delete(host: Host) -> None:
    kubeconfig = host.deployer("binder", [NAMESPACES, *INSIDE])
    here = host.namespace("rights")
    direct.apply_policy("p", kubeconfig=kubeconfig, namespaces=[here], **RULES)
    assert {kind for kind, _ in objects(host, here)} == {"resourcequota", "limitrange", "networkpolicy"}
    direct.apply_policy("p", kubeconfig=kubeconfig, namespaces=[here], quotas=RULES["quotas"])
    assert {kind for kind, _ in objects(host, here)} == {"resourcequota", "networkpolicy"}
    direct.delete_policy("p", [here], kubeconfig=kubeconfig)
    assert objects(host, here) == set()
    metadata = host.api("GET", f"/api/v1/namespaces/{here}")["metadata"]
    assert "k3k-pulumi.io/policy" not in {**metadata["labels"], **metadata.get("annotations", {})}


def test_tenants_that_a_shared_mode_namespace_no_longer_has_lose_their_view(host: Host) -> None:
    def views() -> str:
        return host.plane.kubectl("get", "rolebindings", "-n", "shared", "-o", "name")

    tenants = [{"kind": "Group", "name": "team"}]
    direct.apply_shared_mode_namespace("shared", kubeconfig=host.admin, tenants=tenants)
    assert "shared.tenants" in views()
    direct.apply_shared_mode_namespace("shared", kubeconfig=host.admin)
    assert views() == ""


def admission(host: Host, name: str) -> set[str]:
    """The objects that a policy has once on the host."""
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    found = host.plane.kubectl("get", kinds, "-l", f"k3k-pulumi.io/policy={name}", "-o", "name")
    return {line.partition(".")[0] for line in found.split()}


WALL = {"validatingadmissionpolicy", "validatingadmissionpolicybinding"}


def test_the_admission_policy_goes_with_the_last_namespace(host: Host) -> None:
    first, last = host.namespace("wall-a"), host.namespace("wall-b")
    direct.apply_policy("wall", kubeconfig=host.admin, namespaces=[first, last], admission_policy=True)
    direct.delete_policy("wall", [first], kubeconfig=host.admin)
    assert admission(host, "wall") == WALL
    direct.delete_policy("wall", [last], kubeconfig=host.admin)
    assert admission(host, "wall") == set()


def test_the_admission_policy_stays_where_it_cannot_be_known_who_needs_it(host: Host) -> None:
    everything = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}
    kubeconfig = host.deployer("blind", [everything, NAMESPACES, *INSIDE])
    here = host.namespace("blind")
    args: dict[str, Any] = {"namespaces": [here], "admission_policy": True}
    direct.apply_policy("blind", kubeconfig=kubeconfig, **args)
    direct.delete_policy("blind", [here], kubeconfig=kubeconfig)
    assert admission(host, "blind") == WALL
    assert objects(host, here) == set()
    # Who may list namespaces removes it, though the policy is bound to none.
    direct.delete_policy("blind", [], kubeconfig=host.admin)
    assert admission(host, "blind") == set()


def test_the_admission_policy_of_two_shared_mode_namespaces_stays_with_one(host: Host) -> None:
    for namespace in ("half-a", "half-b"):
        args: dict[str, Any] = {"namespace": namespace, "admission_policy": True}
        direct.apply_shared_mode_namespace("half", kubeconfig=host.admin, **args)
    direct.delete_shared_mode_namespace("half", "half-a", kubeconfig=host.admin)
    assert admission(host, "half") == WALL
    direct.delete_shared_mode_namespace("half", "half-b", kubeconfig=host.admin)
    assert admission(host, "half") == set()


def test_a_cluster_that_this_machine_may_not_reach_is_refused_before_anything_is_made(host: Host) -> None:
    here = host.namespace("far-away")
    constraints = direct.apply_policy(
        "far", kubeconfig=host.admin, namespaces=[here], source_cidrs=["203.0.113.0/29"]
    )
    before = host.namespaces()
    with pytest.raises(
        direct.DirectError,
        match=r"this machine connects from \S+/32, which VirtualClusterPolicy 'far' does not allow "
        r"\(source_cidrs: 203\.0\.113\.0/29\)",
    ):
        direct.apply(
            "c", namespace="near", kubeconfig=host.admin, distribution="kubernetes", policy=constraints
        )
    assert host.namespaces() == before
