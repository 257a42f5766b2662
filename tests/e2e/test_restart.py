"""What a virtual cluster lives through: its kubelet or its control plane gone and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.e2e.conftest import MakeCluster
from tests.e2e.support.clusters import View, both, identity, running
from tests.e2e.support.objects import config_map, container, deployment, pod
from tests.e2e.support.polling import eventually
from tests.e2e.support.processes import crash, kubelet_pod


def snapshot(view: View) -> dict[str, dict[str, object]]:
    """What must be the same after a restart: the pods inside and their copies, each with its containers."""
    inside = {pod["metadata"]["name"]: identity(pod) for pod in running(view.inside, "app=web", 3)}
    copies = {name: identity(pod) for name, pod in view.host_pods(namespace="default").items()}
    return {"inside": inside, "copies": copies}


def test_kubelet_killed(make_cluster: MakeCluster) -> None:
    view = make_cluster()
    view.inside.apply(config_map("settings", {"a": "1"}), deployment("web", 3, container(envFrom=SETTINGS)))
    before = snapshot(view)

    crash(view.control_plane, kubelet_pod(view), "kubelet")
    view.inside.apply(pod("later"))
    running(view.inside, "app=later", 1)
    view.inside("delete", "pod", "later")
    assert snapshot(view) == before
    name = running(view.inside, "app=web", 3)[0]["metadata"]["name"]
    eventually(lambda: view.inside.exec(name, ["echo", "still", "here"]).stdout == b"still here\n")


SETTINGS = [{"configMapRef": {"name": "settings"}}]


def test_changes_while_the_kubelet_is_away(make_cluster: MakeCluster) -> None:
    """What is made and deleted on either side meanwhile is put right afterwards, the rest left alone."""
    view = make_cluster()
    view.inside.apply(deployment("web", 3), pod("deleted-inside"), pod("deleted-on-host"))
    running(view.inside, "app=deleted-inside", 1)
    running(view.inside, "app=deleted-on-host", 1)
    running(view.inside, "app=web", 3)
    copies = view.host_pods(namespace="default")

    view.control_plane("scale", "deployment", f"{view.name}-kubelet", "--replicas=0")
    eventually(lambda: not view.control_plane.get("pods", "-l", "k3k-pulumi.io/component=kubelet"))
    view.inside("delete", "pod", "deleted-inside", "--wait=false")
    lost = copies["deleted-on-host"]
    view.workloads("delete", "pod", lost["metadata"]["name"], "--timeout=120s")
    view.inside.apply(pod("made"))
    web = {name: identity(copy) for name, copy in copies.items() if name.startswith("web-")}

    view.control_plane("scale", "deployment", f"{view.name}-kubelet", "--replicas=1")
    running(view.inside, "app=made", 1)
    eventually(lambda: not view.inside.get("pods", "-l", "app=deleted-inside"))

    def lost_shows() -> bool:
        found = view.inside.get("pods", "-l", "app=deleted-on-host")
        return not found or found[0]["status"]["phase"] == "Failed"

    eventually(lost_shows)
    now = eventually(
        lambda: (pods := view.host_pods(namespace="default")) and set(pods) == {"made", *web} and pods
    )
    assert {name: identity(now[name]) for name in web} == web


@both
def test_control_plane_deleted_while_a_deployment_scales(make_cluster: MakeCluster) -> None:
    view = make_cluster(persistence={"type": "dynamic"})
    view.inside.apply(config_map("kept", {"a": "1"}), deployment("web", 3))
    before = snapshot(view)
    made = eventually(lambda: objects(view))  # a controller of its own makes the ConfigMap with the CA
    (server,) = running(view.control_plane, SERVER, 1)

    view.inside.apply(deployment("scaled", 6))
    view.control_plane("delete", "pod", server["metadata"]["name"], "--wait=false")
    eventually(lambda: server["metadata"]["uid"] not in uids(view.control_plane.get("pods", "-l", SERVER)))
    running(view.control_plane, SERVER, 1)
    # kubectl trusts nothing but the CA of the kubeconfig from before, and is known by its old certificate.
    eventually(lambda: view.inside("get", "--raw=/readyz") == "ok")
    assert objects(view) == made
    scaled = running(view.inside, "app=scaled", 6)
    after = snapshot(view)
    assert after["inside"] == before["inside"]
    assert after["copies"].items() >= before["copies"].items()
    assert after["copies"].keys() - before["copies"].keys() == {pod["metadata"]["name"] for pod in scaled}

    view.inside("scale", "deployment/web", "--replicas=4")
    running(view.inside, "app=web", 4)


SERVER = "k3k-pulumi.io/component=server"


def objects(view: View) -> set[str]:
    """Uids of what was made, and of the ConfigMap with the CA that the control plane itself keeps."""
    found = view.inside.get("configmaps", "kept", "kube-root-ca.crt") + view.inside.get("deployments")
    assert {"kept", "kube-root-ca.crt", "web"} <= {item["metadata"]["name"] for item in found}
    return uids(item for item in found if item["metadata"]["name"] != "scaled")


def uids(found: Iterable[Any]) -> set[str]:
    return {item["metadata"]["uid"] for item in found}
