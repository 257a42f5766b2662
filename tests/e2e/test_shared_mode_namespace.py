"""A namespace made for virtual clusters: its rules hold for all of them, its tenants see their part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import Host, MakeCluster, unique, watch
from tests.e2e.support.clusters import running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import pod
from tests.e2e.support.polling import eventually

RULES: dict[str, Any] = {
    "quotas": {"all": {"hard": {"pods": "2"}}},
    "limits": [{"type": "Container", "default": {"memory": "32Mi"}}],
    "labels": {"cost-center": "42"},
}


@pytest.fixture
def name(host: Host, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a namespace that does not exist yet; it goes when the test is over."""
    name = unique("t")
    watch(request.node, host.kubectl.within(name))
    yield name
    host.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def made(host: Host, name: str, **args: Any) -> dict[str, Any]:
    return direct.apply_shared_mode_namespace(name, kubeconfig=host.kubeconfig, **{**RULES, **args})


def may(host: Host, namespace: str, verb: str, resource: str) -> bool:
    """Whether the tenant `ann` may do that."""
    answer = host.kubectl.within(namespace).run("auth", "can-i", verb, resource, "--as=ann").stdout.strip()
    assert answer in (b"yes", b"no")
    return answer == b"yes"


def test_two_clusters_share_it(host: Host, name: str, make_cluster: MakeCluster) -> None:
    constraints = made(host, name, tenants=[{"kind": "User", "name": "ann"}])
    where = {"namespace": name, "create_namespace": False}
    one = make_cluster("one", **where, policy=constraints)
    two = make_cluster("two", **where, policy_from_namespace=True)
    for view in (one, two):
        view.inside.apply(pod("web"))
        running(view.inside, "app=web", 1)
        assert view.control_plane.namespace == f"{name}-{view.name}-control-plane"
    assert len(one.workloads.get("pods")) == 2

    # One quota counts both clusters' pods.
    two.inside.apply(pod("more"))

    def refused() -> bool:
        found = two.inside.get("events", "--field-selector=involvedObject.name=more")
        return any(f"exceeded quota: {name}.all" in each["message"] for each in found)

    eventually(refused)
    one.inside("delete", "pod", "web")
    running(two.inside, "app=more", 1)

    for verb, resource in (("list", "pods"), ("get", "pods/log"), ("list", "resourcequotas")):
        assert may(host, name, verb, resource), (verb, resource)
    for verb, resource in (("list", "secrets"), ("delete", "pods"), ("create", "pods/exec")):
        assert not may(host, name, verb, resource), (verb, resource)
    assert not may(host, one.control_plane.namespace, "list", "pods")

    with pytest.raises(direct.DirectError, match="would take the virtual clusters one, two with it"):
        direct.delete_shared_mode_namespace(name, kubeconfig=host.kubeconfig)
    one.destroy()
    running(two.inside, "app=more", 1)
    two.destroy()
    assert {each["metadata"]["name"] for each in two.workloads.get("resourcequotas")} == {f"{name}.all"}
    direct.delete_shared_mode_namespace(name, kubeconfig=host.kubeconfig)
    assert b"NotFound" in host.kubectl.run("get", "namespace", name).stderr


def test_it_is_brought_up_to_date(host: Host, name: str) -> None:
    made(host, name, tenants=[{"kind": "User", "name": "ann"}])
    inside = host.kubectl.within(name)
    namespace = inside.get("namespace", name)["metadata"]
    assert namespace["labels"]["cost-center"] == "42"
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    quota = inside.get("resourcequota", f"{name}.all")["metadata"]

    more = {"other": {"hard": {"services": "1"}}, **RULES["quotas"]}
    made(host, name, quotas=more, limits=None, pod_security={"enforce": "restricted"})
    again = inside.get("namespace", name)["metadata"]
    assert again["uid"] == namespace["uid"]
    assert again["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    quotas = {each["metadata"]["name"]: each["metadata"]["uid"] for each in inside.get("resourcequotas")}
    assert quotas.keys() == {f"{name}.all", f"{name}.other"}
    assert quotas[f"{name}.all"] == quota["uid"]
    assert inside.get("limitranges") == []
    assert inside.get("rolebindings") == []


def test_a_namespace_of_somebody_else_is_neither_taken_nor_deleted(host: Host, namespace: Kubectl) -> None:
    here = namespace.namespace
    before = namespace.get("namespace", here)["metadata"]["labels"]
    with pytest.raises(direct.DirectError, match="exists already and was not made for it"):
        made(host, here)
    with pytest.raises(direct.DirectError, match="was not made for it: it stays"):
        direct.delete_shared_mode_namespace(here, kubeconfig=host.kubeconfig)
    found = namespace.get("namespace", here)
    assert (found["metadata"]["labels"], found["status"]["phase"]) == (before, "Active")
