"""Where pods run and why they do not: the host decides, by the tenant's own pods and words."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, deployment, pod
from tests.e2e.support.polling import always, eventually


def apart(**term: Any) -> dict[str, Any]:
    """Pods labelled app=apart, one on each node."""
    selector = {"matchLabels": {"app": "apart"}}
    whole = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname", **term}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [whole]}}


def unscheduled(inside: Kubectl, name: str) -> str:
    """What the pod's condition PodScheduled says if it is False, `""` else."""
    conditions = inside.get("pod", name)["status"].get("conditions", [])
    found = [each for each in conditions if each["type"] == "PodScheduled" and each["status"] == "False"]
    return found[0].get("message", "") if found else ""


@pytest.mark.usefixtures("every_node")
def test_anti_affinity_counts_pods_of_the_meant_namespaces(inside: Kubectl) -> None:
    inside.apply(deployment("apart", 2, affinity=apart()))
    pods = running(inside, "app=apart", 2)
    assert len({each["spec"]["nodeName"] for each in pods}) == 2

    # A third one finds no node, and the host's scheduler says so inside.
    inside.apply(pod("third", labels={"app": "apart"}, affinity=apart()))
    eventually(lambda: "didn't match pod anti-affinity rules" in unscheduled(inside, "third"))
    # In another namespace it is nobody's neighbour, unless it asks for all namespaces.
    other = inside.within(f"{inside.namespace}-b")
    other("create", "namespace", other.namespace)
    try:
        eventually(lambda: other("get", "serviceaccount", "default"))
        other.apply(
            pod("alone", labels={"app": "apart"}, affinity=apart()),
            pod("everywhere", labels={"app": "apart"}, affinity=apart(namespaceSelector={})),
            pod("by-name", labels={"app": "apart"}, affinity=apart(namespaces=[inside.namespace])),
        )
        eventually(lambda: other.get("pod", "alone")["status"]["phase"] == "Running")
        for name in ("everywhere", "by-name"):
            eventually(lambda name=name: "anti-affinity rules" in unscheduled(other, name))
    finally:
        other("delete", "namespace", other.namespace, "--wait=false")


@pytest.fixture
def gpu(host: Host) -> Iterator[str]:
    """An extended resource of one piece, on one node of the host."""
    name = f"example.com/gpu-{secrets.token_hex(3)}"
    node = host.kubectl.get("nodes")[0]["metadata"]["name"]
    path = name.replace("/", "~1")

    def patch(operation: dict[str, str]) -> None:
        changes = [{**operation, "path": f"/status/{kind}/{path}"} for kind in ("capacity", "allocatable")]
        host.kubectl(
            "patch", "node", node, "--subresource=status", "--type=json", f"--patch={json.dumps(changes)}"
        )

    patch({"op": "add", "value": "1"})
    yield name
    patch({"op": "remove"})


@pytest.mark.usefixtures("every_node")
def test_extended_resources_are_the_hosts(inside: Kubectl, gpu: str) -> None:
    asking = container(resources={"limits": {gpu: "1"}})
    inside.apply(pod("first", asking))
    running(inside, "app=first", 1)
    inside.apply(pod("second", asking))
    eventually(lambda: f"Insufficient {gpu}" in unscheduled(inside, "second"))
    inside("delete", "pod", "first", "--timeout=120s")
    running(inside, "app=second", 1)


def test_a_pod_with_gates_is_on_the_host_when_they_are_removed(cluster: View, inside: Kubectl) -> None:
    inside.apply(pod("gated", schedulingGates=[{"name": "example.com/a"}, {"name": "example.com/b"}]))

    def copies() -> set[str]:
        return set(cluster.host_pods(namespace=inside.namespace))

    def waits() -> None:
        assert not copies()

    always(waits, 1.0)
    for rest in ([{"name": "example.com/b"}], []):
        assert inside.get("pod", "gated")["status"]["phase"] == "Pending"
        change = [{"op": "replace", "path": "/spec/schedulingGates", "value": rest}]
        inside("patch", "pod", "gated", "--type=json", f"--patch={json.dumps(change)}")
    running(inside, "app=gated", 1)
    assert copies() == {"gated"}


def test_resources_of_the_pod_as_a_whole(cluster: View, inside: Kubectl) -> None:
    inside.apply(pod("whole", resources={"limits": {"cpu": "200m", "memory": "64Mi"}}))
    (found,) = running(inside, "app=whole", 1)
    copy = cluster.host_pods(namespace=inside.namespace)["whole"]
    assert copy["spec"]["resources"] == found["spec"]["resources"]
    assert (found["status"]["qosClass"], copy["status"]["qosClass"]) == ("Guaranteed", "Guaranteed")


def test_host_names_are_as_documented(cluster: View, inside: Kubectl) -> None:
    inside.apply(
        pod("plain"),
        pod("named", hostname="h", subdomain="sub"),
        pod("full", hostname="h", subdomain="sub", setHostnameAsFQDN=True),
    )
    running(inside, "app in (plain,named,full)", 3)

    def asked(name: str) -> list[str]:
        return inside.exec(name, ["sh", "-c", "hostname; hostname -f"]).stdout.decode().split()

    whole = f"h.sub.{cluster.workloads.namespace}.svc.cluster.local"
    assert asked("plain") == ["plain", "plain"]
    assert asked("named") == ["h", whole]
    assert asked("full") == [whole, whole]
