"""Nodes inside: one for each node of the host that runs a pod, or all of them; DaemonSets, drain, kubectl."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Host, MakeCluster, unique
from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.device_plugin import PER_NODE
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import deployment, pod, template
from tests.e2e.support.polling import eventually


def daemon_set(name: str) -> dict[str, Any]:
    """A DaemonSet of idle pods, labelled app=name."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name)},
    }


def names(kubectl: Kubectl, *selector: str) -> set[str]:
    """Names of a cluster's Nodes."""
    return {node["metadata"]["name"] for node in kubectl.get("nodes", *selector)}


def hostname(host: Host, node: str) -> str:
    """The label by which a pod is bound to a node."""
    labels: dict[str, str] = host.kubectl.get("node", node)["metadata"]["labels"]
    return labels["kubernetes.io/hostname"]


@both
@pytest.mark.usefixtures("every_node")
def test_a_daemon_set_runs_one_pod_on_each_node_that_is_used(
    host: Host, cluster: View, inside: Kubectl
) -> None:
    for n, node in enumerate(sorted(names(host.kubectl))):
        inside.apply(pod(f"user-{n}", nodeSelector={"kubernetes.io/hostname": hostname(host, node)}))
    eventually(lambda: names(inside) == names(host.kubectl))
    inside.apply(daemon_set("agent"))
    inside("rollout", "status", "daemonset/agent", "--timeout=180s")
    pods = running(inside, "app=agent", len(names(host.kubectl)))
    assert {each["spec"]["nodeName"] for each in pods} == names(host.kubectl)
    copies = cluster.host_pods(namespace=inside.namespace)
    for each in pods:
        assert copies[each["metadata"]["name"]]["spec"]["nodeName"] == each["spec"]["nodeName"]


@both
def test_drain_inside_replaces_the_pods_of_a_node(cluster: View, inside: Kubectl) -> None:
    app = unique("drained")  # kubectl drain goes by labels through all namespaces: `web` is others' as well
    inside.apply(deployment(app, 2))
    before = running(inside, f"app={app}", 2)
    drained = before[0]["spec"]["nodeName"]
    leaving = {pod["metadata"]["uid"] for pod in before if pod["spec"]["nodeName"] == drained}
    described = inside("describe", "node", drained)
    assert before[0]["metadata"]["name"] in described
    wide = inside("get", "node", drained, "-o", "wide", "--no-headers").split()
    assert wide[:2] == [drained, "Ready"]
    try:
        # Only this test's pods: the tests beside this one use the Node as well.
        inside("drain", drained, f"--pod-selector=app={app}", "--timeout=120s")
        assert inside.get("node", drained)["spec"]["unschedulable"] is True
        after = running(inside, f"app={app}", 2)
    finally:
        inside("uncordon", drained)
    assert not leaving & {pod["metadata"]["uid"] for pod in after}
    assert set(cluster.host_pods(namespace=inside.namespace)) == {pod["metadata"]["name"] for pod in after}


@pytest.mark.usefixtures("every_node")
def test_mirrored_nodes_are_those_of_the_host_and_leave_no_right_behind(
    host: Host, make_cluster: MakeCluster, gpus: str
) -> None:
    view = make_cluster(mirror_host_nodes=True)
    inside = view.inside
    eventually(lambda: names(inside) == names(host.kubectl))

    def figures(kubectl: Kubectl) -> dict[str, Any]:
        kinds = ("capacity", "allocatable")
        return {
            node["metadata"]["name"]: {kind: node["status"][kind] for kind in kinds}
            for node in kubectl.get("nodes")
        }

    eventually(lambda: figures(inside) == figures(host.kubectl))  # other tests add to them meanwhile
    for node in inside.get("nodes"):
        original = host.kubectl.get("node", node["metadata"]["name"])
        assert node["status"]["allocatable"][gpus] == str(PER_NODE)
        assert node["status"]["addresses"] != original["status"]["addresses"]
        assert "providerID" not in node["spec"]
    inside.apply(daemon_set("agent"))
    inside("rollout", "status", "daemonset/agent", "--timeout=180s")
    pods = running(inside, "app=agent", len(names(host.kubectl)))
    assert {each["spec"]["nodeName"] for each in pods} == names(host.kubectl)
    assert inside("logs", f"pod/{pods[0]['metadata']['name']}") == ""

    account = f"system:serviceaccount:{view.control_plane.namespace}:{view.name}-kubelet"
    assert host.kubectl("auth", "can-i", "list", "nodes", f"--as={account}").strip() == "yes"
    for denied in (("get", "nodes", "--subresource=proxy"), ("patch", "nodes")):
        assert host.kubectl.run("auth", "can-i", *denied, f"--as={account}").returncode == 1, denied
    role = f"k3k-pulumi.io:{view.control_plane.namespace}:{view.name}"
    assert host.kubectl.get("clusterrole", role)
    view.destroy()
    for kind in ("clusterrole", "clusterrolebinding"):
        assert "NotFound" in host.kubectl.run("get", kind, role).stderr.decode()
