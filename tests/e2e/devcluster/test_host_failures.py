"""The host loses its API server, and a node, while a virtual cluster works: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import unique
from tests.e2e.devcluster import workloads
from tests.e2e.devcluster.command import NAME, Own, succeed
from tests.e2e.support.clusters import MADE_WITHIN, Access, View, identity, running
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
    eventually(lambda: takes_no_pods(own, "node-2"))
    with direct.ephemeral_cluster(
        name="own",
        namespace="host-failures",
        kubeconfig=own.instance.kubeconfig,
        distribution="kubernetes",
        timeout=MADE_WITHIN,
        kubelet_replicas=2,
    ) as made:
        own.kubectl("uncordon", "node-2")
        yield View.of(own.kubectl, Access.of(made), lambda: None)


def takes_no_pods(own: Own, node: str) -> bool:
    """Whether the scheduler, which hears of a node by a watch of its own, gives it no new pod."""
    name = unique("tried")
    own.kubectl.create(workloads.pod(name, ["true"], node=node, restart="Never"))

    def scheduled() -> str:
        conditions = own.kubectl.get("pod", name)["status"].get("conditions", [])
        return next((str(each["status"]) for each in conditions if each["type"] == "PodScheduled"), "")

    try:
        return eventually(scheduled) == "False"
    finally:
        own.kubectl("delete", "pod", name, "--wait=false")


def api_server(own: Own) -> int:
    """The host's kube-apiserver, a child of any of the threads of its node's first process."""
    init = own.parts.nodes[0].init_pid()
    assert init is not None
    threads = Path(f"/proc/{init}/task").glob("*/children")
    children = [int(pid) for thread in threads for pid in _read(thread).split()]
    (found,) = (pid for pid in children if _program(pid).endswith("kube-apiserver"))
    return found


def _program(pid: int) -> str:
    """What a process was started as; `""` for one that has ended meanwhile."""
    return _read(Path(f"/proc/{pid}/cmdline")).partition("\0")[0]


def _read(file: Path) -> str:
    """What a file of /proc says; `""` of a process or thread that has ended meanwhile."""
    try:
        return file.read_text()
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
    command = web[0]["metadata"]["name"], ["echo", "here"]
    eventually(lambda: view.inside.exec(*command).stdout == b"here\n")
    view.inside("delete", "deployment", "web", "during")
    eventually(lambda: not view.host_pods(namespace="default"))


def kubelets(view: View) -> dict[str, str]:
    """The names of the kubelet's two pods, by the nodes they are on."""
    found = running(view.control_plane, KUBELET, 2)
    return {each["spec"]["nodeName"]: each["metadata"]["name"] for each in found}


def leads_from(view: View, node: str) -> bool:
    """Whether the one that acts is on that node and the other one elsewhere; else one goes, for another try.

    Where its successor gets to is the scheduler's choice, who takes the Lease is theirs.
    """
    found = running(view.control_plane, KUBELET, 2)
    at = {each["metadata"]["name"]: each["spec"]["nodeName"] for each in found}
    first = leader(view)
    if first not in at:
        return False
    apart = len(set(at.values())) == len(at)
    if apart and at[first] == node:
        return True
    view.control_plane("delete", "pod", *({first} if apart else at.keys() - {first}))
    return False


def test_node_of_the_leader_gone(own: Own, view: View) -> None:
    eventually(lambda: leads_from(view, "node-2"))
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
