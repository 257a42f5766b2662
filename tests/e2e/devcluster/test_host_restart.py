"""The host's API server ends and comes back while a virtual cluster works: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from k3k_pulumi import direct
from tests.e2e.devcluster.command import NAME, Own
from tests.e2e.support.clusters import Access, View, identity, running
from tests.e2e.support.objects import deployment
from tests.e2e.support.polling import eventually
from tests.run import tool

pytestmark = pytest.mark.xdist_group("own-devcluster")


def api_server(own: Own) -> int:
    """The host's kube-apiserver; the node starts it anew when it ends."""
    init = own.parts.nodes[0].init_pid()
    assert init is not None
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    names = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] for pid in children}
    (found,) = (pid for pid, name in names.items() if name.endswith(b"kube-apiserver"))
    return found


def test_api_server_killed_while_a_deployment_scales(own: Own) -> None:
    tool("devcluster", "load", tool("kubelet.image"), "--name", NAME)
    with direct.ephemeral_cluster(
        name="own", namespace="host-restart", kubeconfig=own.instance.kubeconfig, distribution="kubernetes"
    ) as made:
        view = View.of(own.kubectl, Access.of(made), lambda: None)
        view.inside.apply(deployment("web", 3))
        before = {each["metadata"]["name"]: identity(each) for each in running(view.inside, "app=web", 3)}

        view.inside("scale", "deployment/web", "--replicas=8")
        os.kill(api_server(own), signal.SIGKILL)
        view.inside.apply(deployment("during", 2))
        eventually(lambda: view.control_plane.get("pods"))

        web = running(view.inside, "app=web", 8)
        running(view.inside, "app=during", 2)
        now = {each["metadata"]["name"]: identity(each) for each in web}
        assert {name: now[name] for name in before} == before
        copies = view.host_pods(namespace="default")
        assert copies.keys() == {each["metadata"]["name"] for each in view.inside.get("pods")}
        assert len(copies) == 10
        assert view.inside.exec(web[0]["metadata"]["name"], ["echo", "here"]).stdout == b"here\n"
