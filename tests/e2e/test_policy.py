"""A policy and the namespaces it is bound to: what it takes, what it leaves alone, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import Host, unique
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

SECURITY = "pod-security.kubernetes.io/"
POLICY = "k3k-pulumi.io/policy"
KINDS = "resourcequotas,limitranges,networkpolicies,rolebindings"
RULES: dict[str, Any] = {
    "quotas": {"compute": {"hard": {"pods": "10"}}, "storage": {"hard": {"requests.storage": "1Gi"}}},
    "limits": [{"type": "Container", "default": {"memory": "64Mi"}}],
}


@pytest.fixture
def other(host: Host) -> Iterator[Kubectl]:
    """Another fresh namespace of the host."""
    kubectl = host.kubectl.within(unique("t"))
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def bind(host: Host, name: str, *namespaces: Kubectl, **args: Any) -> dict[str, Any]:
    where = [each.namespace for each in namespaces]
    return direct.apply_policy(name, kubeconfig=host.kubeconfig, namespaces=where, **args)


def delete(host: Host, name: str, *namespaces: Kubectl) -> None:
    direct.delete_policy(name, [each.namespace for each in namespaces], kubeconfig=host.kubeconfig)


def metadata(namespace: Kubectl) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of a Namespace."""
    found = namespace.get("namespace", namespace.namespace)["metadata"]
    return found.get("labels", {}), found.get("annotations", {})


def objects(namespace: Kubectl) -> dict[tuple[str, str], str]:
    """Kind and name of what a policy may have made in a namespace, and its uid."""
    return {
        (each["kind"], each["metadata"]["name"]): each["metadata"]["uid"] for each in namespace.get(KINDS)
    }


def levels(namespace: Kubectl) -> dict[str, str]:
    found, _ = metadata(namespace)
    return {key.removeprefix(SECURITY): found[key] for key in found if key.startswith(SECURITY)}


def test_a_policy_is_bound_changed_and_deleted(host: Host, namespace: Kubectl) -> None:
    """Deleting it leaves the namespace as it was: labels, annotations and objects of others included."""
    name, here = unique("p"), namespace.namespace
    namespace("label", "namespace", here, "team=them", f"{SECURITY}audit=baseline")
    namespace("annotate", "namespace", here, "owner=ann")
    namespace("create", "quota", "theirs", "--hard=services=5")
    before = (metadata(namespace), objects(namespace))

    constraints = bind(host, name, namespace, **RULES, pod_security={"enforce": "restricted"})
    labels, annotations = metadata(namespace)
    assert labels.items() >= {"team": "them", POLICY: name, **before[0][0]}.items()
    assert annotations["owner"] == "ann"
    versions = {f"{mode}-version": "latest" for mode in ("enforce", "warn", "audit")}
    security = {"enforce": "restricted", "warn": "baseline", "audit": "baseline", **versions}
    assert levels(namespace) == security
    made = objects(namespace)
    assert made.keys() - before[1].keys() == {
        ("ResourceQuota", f"{name}.compute"),
        ("ResourceQuota", f"{name}.storage"),
        ("LimitRange", name),
        ("NetworkPolicy", f"{name}.default-deny"),
    }

    assert bind(host, name, namespace, **RULES, pod_security={"enforce": "restricted"}) == constraints
    assert objects(namespace) == made
    changed = {"quotas": {"compute": {"hard": {"pods": "20"}}}, "egress": "none"}
    assert bind(host, name, namespace, **changed)["egress"] == "none"
    assert levels(namespace)["enforce"] == "baseline"
    kept = {("ResourceQuota", f"{name}.compute"), ("NetworkPolicy", f"{name}.default-deny")}
    # The same objects as before, those that the policy no longer has are gone.
    assert objects(namespace) == {key: made[key] for key in kept | before[1].keys()}
    assert namespace.get("resourcequota", f"{name}.compute")["spec"]["hard"] == {"pods": "20"}

    delete(host, name, namespace)
    assert (metadata(namespace), objects(namespace)) == before
    delete(host, name, namespace)  # again: nothing to do, no error


def test_what_others_have_set_since_stays(host: Host, namespace: Kubectl) -> None:
    """A label that somebody else also wants has two owners; one that he has changed is his."""
    name, here = unique("p"), namespace.namespace
    bind(host, name, namespace)
    both = {"kind": "Namespace", "apiVersion": "v1"}
    namespace.apply({**both, "metadata": {"name": here, "labels": {f"{SECURITY}enforce": "baseline"}}})
    namespace("label", "--overwrite", "namespace", here, f"{SECURITY}warn=privileged")
    delete(host, name, namespace)
    assert levels(namespace) == {"enforce": "baseline", "warn": "privileged"}
    assert POLICY not in metadata(namespace)[0]


def test_namespaces_that_are_not_free_are_refused_and_none_is_changed(
    host: Host, namespace: Kubectl, other: Kubectl
) -> None:
    name, missing, foreign = unique("p"), unique("t"), unique("p")
    bind(host, foreign, other)
    namespace("label", "namespace", namespace.namespace, f"{SECURITY}enforce=privileged")
    before = [(metadata(each), objects(each)) for each in (namespace, other)]
    with pytest.raises(direct.DirectError) as caught:
        bind(host, name, namespace, other, host.kubectl.within(missing), **RULES)
    assert [(metadata(each), objects(each)) for each in (namespace, other)] == before
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        f"VirtualClusterPolicy {name!r}: namespaces: {namespace.namespace!r} has the label "
        f"{SECURITY}enforce=privileged, set by kubectl-label, and VirtualClusterPolicy {name!r} needs "
        "baseline: remove it there, or change pod_security.enforce"
    )
    assert f"{other.namespace!r} has the policy {foreign!r} already" in lines[1]
    assert f"{missing!r} does not exist on the host" in lines[2]
    assert len(lines) == 3

    # What the others ask for can be done, and then it is free.
    delete(host, foreign, other)
    bind(host, name, namespace, other, pod_security={"enforce": "privileged"})
    delete(host, name, namespace, other)
    assert levels(namespace) == {"enforce": "privileged"}
    assert levels(other) == {}


def test_a_namespace_that_a_policy_no_longer_names_is_free_again(
    host: Host, namespace: Kubectl, other: Kubectl
) -> None:
    name = unique("p")
    before = (metadata(other), objects(other))
    bind(host, name, namespace, other, **RULES)
    bind(host, name, namespace, **RULES)
    assert (metadata(other), objects(other)) == before
    assert metadata(namespace)[0][POLICY] == name
    bind(host, unique("p"), other)


def test_what_a_policy_has_once_on_the_host_comes_and_goes_with_it(host: Host, namespace: Kubectl) -> None:
    name = unique("p")

    def admission() -> set[tuple[str, str]]:
        kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
        found = namespace.get(kinds, "-l", f"{POLICY}={name}")
        return {(each["kind"], each["metadata"]["name"]) for each in found}

    both = {
        (kind, f"{name}.k3k-pulumi.io")
        for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    }
    bind(host, name, namespace, admission_policy=True)
    assert admission() == both
    bind(host, name, namespace)
    assert admission() == set()
    bind(host, name, namespace, admission_policy=True)
    delete(host, name, namespace)
    assert admission() == set()


def test_a_policy_leaves_alone_what_has_its_name_but_not_its_mark(
    host: Host, namespace: Kubectl, other: Kubectl
) -> None:
    """Neither is a namespace bound that somebody has labelled so, nor is an object ours by its name."""
    name = unique("p")
    other("label", "namespace", other.namespace, f"{POLICY}={name}")
    other("create", "quota", f"{name}.compute", "--hard=pods=1")
    namespace("create", "quota", f"{name}.old", "--hard=pods=1")
    bind(host, name, namespace, **RULES)
    delete(host, name, namespace, other)
    assert list(objects(namespace)) == [("ResourceQuota", f"{name}.old")]
    assert list(objects(other)) == [("ResourceQuota", f"{name}.compute")]
    assert metadata(other)[0][POLICY] == name


def test_no_control_plane_lives_under_a_policy(host: Host, namespace: Kubectl, other: Kubectl) -> None:
    """Its quota would stop the servers."""
    name = unique("p")
    bind(host, name, other)
    where = {"namespace": namespace.namespace, "control_plane_namespace": other.namespace}
    existing = {"create_namespace": False, "create_control_plane_namespace": False}
    with pytest.raises(direct.DirectError, match=f"{other.namespace}' has the policy '{name}'"):
        direct.apply("it", kubeconfig=host.kubeconfig, distribution="kubernetes", **where, **existing)


def test_a_namespace_that_is_gone_is_not_made_again(host: Host, other: Kubectl) -> None:
    name = unique("p")
    bind(host, name, other)
    other("delete", "namespace", other.namespace)
    delete(host, name, other)
    found = host.kubectl.run("get", "namespace", other.namespace)
    assert b"NotFound" in found.stderr
    other("create", "namespace", other.namespace)  # which the fixture deletes
    eventually(lambda: other("get", "serviceaccount", "default"))
