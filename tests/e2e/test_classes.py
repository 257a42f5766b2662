"""Classes of the host, shown inside because the policy says so."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.support.clusters import running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import deployment
from tests.e2e.support.polling import eventually


def named(kubectl: Kubectl, resource: str, name: str) -> Any:
    """The object of that name, None if there is none."""
    return next((each for each in kubectl.get(resource) if each["metadata"]["name"] == name), None)


def test_classes_are_read_with_a_right_to_them_alone(
    host: Host, make_cluster: MakeCluster, priority: str
) -> None:
    shown = {
        "storage_classes": {"enabled": True},
        "ingress_classes": {"enabled": True},
        "priority_classes": {"enabled": True, "names": [priority]},
    }
    view = make_cluster(sync={"from_host": shown}, pods={"priority_classes": [priority]})
    there = named(host.kubectl, "storageclasses", "local-path")
    inside = eventually(lambda: named(view.inside, "storageclasses", "local-path"))
    for key in ("provisioner", "volumeBindingMode", "reclaimPolicy"):
        assert inside[key] == there[key]
    eventually(lambda: named(view.inside, "priorityclasses", priority))
    view.inside.apply(deployment("batch", 1, priorityClassName=priority))
    running(view.inside, "app=batch", 1)
    [copy] = view.host_pods(namespace="default").values()
    assert (copy["spec"]["priorityClassName"], copy["spec"]["priority"]) == (priority, -100)

    reader = f"k3k-pulumi.io:{view.control_plane.namespace}:{view.name}"
    role = named(host.kubectl, "clusterroles", reader)
    assert role["rules"] == [
        {"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]}
        for group, resource in (
            ("storage.k8s.io", "storageclasses"),
            ("networking.k8s.io", "ingressclasses"),
            ("scheduling.k8s.io", "priorityclasses"),
        )
    ]
    view.destroy()
    assert named(host.kubectl, "clusterroles", reader) is None
