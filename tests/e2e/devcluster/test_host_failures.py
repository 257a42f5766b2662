"""The host loses its API server, and a node, while a virtual cluster works: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from k3k_pulumi import direct
from tests.e2e.devcluster.command import NAME, Own, succeed
from tests.e2e.support.clusters import Access, View, identity, running
from tests.e2e.support.lease import TAKEOVER_SECONDS, leader, leads_since
from tests.e2e.support.objects import deployment, pod
from tests.e2e.support.polling import eventually
from tests.run import tool

pytestmark = pytest.mark.xdist_group("own-devcluster")

KUBELET = "k3k-pulumi.io/component=kubelet"


@pytest.fixture(scope="module")
def view(own: Own) -> Iterator[View]:
    """A virtual cluster with two kubelets; its control plane is on node-1, which the host's is on too."""
    tool("devcluster", "load", tool("kubelet.image"), "--name", NAME)
    own.kubectl("cordon", "node-2")
    with direct.ephemeral_cluster(
        name="own",
        namespace="host-failures",
        kubeconfig=own.instance.kubeconfig,
        distribution="kubernetes",
        kubelet_replicas=2,
    ) as made:
        own.kubectl("uncordon", "node-2")
        yield View.of(own.kubectl, Access.of(made), lambda: None)


def api_server(own: Own) -> int:
    """The host's kube-apiserver, a child of any of the threads of its node's first process."""
    init = own.parts.nodes[0].init_pid()
    assert init is not None
    threads = Path(f"/proc/{init}/task").glob("*/children")
    children = [int(pid) for thread in threads for pid in thread.read_text().split()]
    (found,) = (pid for pid in children if _program(pid).endswith("kube-apiserver"))
    return found


def _program(pid: int) -> str:
    """What a process was started as; `""` for one that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def assert_each_has_one_copy(view: View, count: int) -> None:
    copies = view.host_pods(namespace="default")
    assert copies.keys() == {each["metadata"]["name"] for each in view.inside.get("pods")}
    assert len(copies) == count


def test_api_server_killed_while_a_deployment_scales(own: Own, view: View) -> None:
    view.inside.apply(deployment("web", 3))
    before = {each["metadata"]["name"]: identity(each) for each in running(view.inside, "app=web", 3)}

    view.inside("scale", "deployment/web", "--replicas=8")
    os.kill(api_server(own), signal.SIGKILL)
    view.inside.apply(deployment("during", 2))

    web = running(view.inside, "app=web", 8)
    running(view.inside, "app=during", 2)
    now = {each["metadata"]["name"]: identity(each) for each in web}
    assert {name: now[name] for name in before} == before
    assert_each_has_one_copy(view, 10)
    assert view.inside.exec(web[0]["metadata"]["name"], ["echo", "here"]).stdout == b"here\n"
    view.inside("delete", "deployment", "web", "during")
    eventually(lambda: not view.host_pods(namespace="default"))


def kubelets(view: View) -> dict[str, str]:
    """The names of the kubelet's two pods, by the nodes they are on."""
    found = running(view.control_plane, KUBELET, 2)
    return {each["spec"]["nodeName"]: each["metadata"]["name"] for each in found}


def test_node_of_the_leader_gone(own: Own, view: View) -> None:
    names = {each["metadata"]["name"] for each in running(view.control_plane, KUBELET, 2)}
    view.control_plane("delete", "pod", *(names - {leader(view)}))
    eventually(lambda: kubelets(view).keys() == {"node-1", "node-2"})
    view.control_plane("delete", "pod", kubelets(view)["node-1"])
    eventually(lambda: leader(view) == kubelets(view).get("node-2"))
    view.inside.apply(pod("before"))
    running(view.inside, "app=before", 1)

    init = own.parts.nodes[1].init_pid()
    assert init is not None
    killed = time.time()
    os.kill(init, signal.SIGKILL)
    try:
        view.inside.apply(deployment("web", 4))
        eventually(lambda: len(view.host_pods(namespace="default")) == 5)
        assert leads_since(view) - killed < TAKEOVER_SECONDS
    finally:
        succeed("up", "--name", NAME)
    running(view.inside, "app=web", 4)
    eventually(lambda: kubelets(view).keys() == {"node-1", "node-2"})
    assert_each_has_one_copy(view, 5)
