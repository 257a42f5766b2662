"""A node of the host dies and comes back: what a virtual cluster's tenant sees of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from k3k_pulumi import direct
from tests import run
from tests.e2e.conftest import unique, watch
from tests.e2e.devcluster.command import NAME, Own, succeed
from tests.e2e.support.clusters import MADE_WITHIN, Access, View, running, state
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import deployment, template
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.xdist_group("own-devcluster")

WITHIN = 60.0  # seconds from when the host knows until the tenant does
SOON = [
    {"key": f"node.kubernetes.io/{kind}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    for kind in ("not-ready", "unreachable")
]


@pytest.fixture
def clusters(own: Own, request: pytest.FixtureRequest) -> Iterator[dict[str, View]]:
    """A cluster that may not read the host's Nodes and one that may, their control planes on the first."""
    run.load_kubelet_image(request.config.stash[run.FOLDER], NAME)
    views = {}
    with ExitStack() as stack:
        for name in ("used", "mirrored"):
            made = stack.enter_context(
                direct.ephemeral_cluster(
                    name=name,
                    namespace=unique("t"),
                    kubeconfig=own.instance.kubeconfig,
                    distribution="kubernetes",
                    timeout=MADE_WITHIN,
                    mirror_host_nodes=name == "mirrored",
                    node_selector={"kubernetes.io/hostname": own.parts.nodes[0].name},
                )
            )
            views[name] = View.of(own.kubectl, Access.of(made), lambda: None)
            watch(request.node, views[name].control_plane, views[name].workloads, views[name].inside)
        yield views


def stateful_set(name: str) -> dict[str, Any]:
    """One replica, on the node that dies as long as that lives."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, tolerations=SOON),
        },
    }


def ready(kubectl: Kubectl, node: str) -> str:
    """Status of a Node's condition Ready."""
    conditions = kubectl.get("node", node)["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == "Ready"))


def test_pods_of_a_dead_node_are_replaced_and_the_node_comes_back(
    own: Own, clusters: dict[str, View]
) -> None:
    dying = own.parts.nodes[1]
    prefer = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "preference": {
                        "matchExpressions": [
                            {"key": "kubernetes.io/hostname", "operator": "In", "values": [dying.name]}
                        ]
                    },
                }
            ]
        }
    }
    lost = {}
    for view in clusters.values():
        one = stateful_set("db")
        one["spec"]["template"]["spec"]["affinity"] = prefer
        view.inside.apply(deployment("web", 1, affinity=prefer, tolerations=SOON), one)
    for name, view in clusters.items():
        (lost[name],) = running(view.inside, "app=web", 1)
        (db,) = running(view.inside, "app=db", 1)
        assert {lost[name]["spec"]["nodeName"], db["spec"]["nodeName"]} == {dying.name}

    init = dying.init_pid()
    assert init
    os.kill(init, signal.SIGKILL)
    try:
        eventually(lambda: ready(own.kubectl, dying.name) == "Unknown")
        known = time.monotonic()
        for view in clusters.values():
            left = WITHIN - (time.monotonic() - known)
            eventually(lambda view=view: ready(view.inside, dying.name) != "True", timeout=left)
        for name, view in clusters.items():
            gone = lost[name]["metadata"]["name"]

            def replaced(view: View = view, gone: str = gone) -> bool:
                pods = {each["metadata"]["name"]: each for each in view.inside.get("pods", "-l", "app=web")}
                assert state(pods.pop(gone)) == "Terminating"
                return [state(each) for each in pods.values()] == ["Ready"]

            eventually(replaced)
            # On the host, too, nobody can say that it has ended: no second pod has its identity.
            eventually(lambda view=view: state(view.inside.get("pod", "db-0")) == "Terminating")
            copies = view.host_pods(namespace="default")
            assert copies["db-0"]["spec"]["nodeName"] == dying.name
    finally:
        succeed("up", "--name", NAME)

    for name, view in clusters.items():
        eventually(lambda view=view: ready(view.inside, dying.name) == "True")
        (after,) = running(view.inside, "app=web", 1)
        assert after["metadata"]["uid"] != lost[name]["metadata"]["uid"]
        running(view.inside, "app=db", 1)
