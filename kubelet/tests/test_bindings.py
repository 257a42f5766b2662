"""What a tenant binds a pod to, which is not the kubelet's own doing."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.api import PODS, SERVICES

from kubelet.tests.clusters import CLUSTER, CONTROL_PLANE, Clusters
from kubelet.tests.world import World, condition, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def ports(service: dict[str, Any]) -> set[int]:
    return {each["port"] for each in service["spec"]["ports"]}


def test_only_a_node_that_the_host_names_is_made(clusters: Clusters) -> None:
    """Kubernetes checks no name in a Binding; each would take a port and change the host's Service."""

    async def test(world: World) -> None:
        await world.pod("somewhere")
        await world.running("somewhere", "node-a")  # the Service has the kubelet's ports from then on
        await world.pod("nowhere")
        await world.host_pod("nowhere")
        service = f"{CLUSTER}-kubelet"
        before = ports(await world.host.get(SERVICES, CONTROL_PLANE, service))
        binding: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "nowhere"},
            "target": {"kind": "Node", "name": "../x"},
        }
        await world.virtual.create(PODS, world.namespace, binding, name="nowhere", subresource="binding")
        said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
        await world.report("nowhere", {"conditions": [said]})

        def reported(pod: dict[str, Any]) -> bool:
            bound = pod["spec"].get("nodeName") == "../x"
            return bound and condition(pod, "PodScheduled").get("message") == "no room"

        await world.until("nowhere", reported)
        after = ports(await world.host.get(SERVICES, CONTROL_PLANE, service))
        assert after <= before  # Nodes of other tests may go meanwhile
        assert "../x" not in clusters.log()

    in_world(clusters, test)


def test_an_annotation_brought_along_from_another_pod_makes_no_lost_one(clusters: Clusters) -> None:
    """Backups, `kubectl replace --force` and `kubectl debug --copy-to` make a pod with the old one's."""

    async def test(world: World) -> None:
        await world.pod("first")
        first = await world.running("first", "node-a")
        await world.pod("second", metadata={"annotations": first["metadata"]["annotations"]})
        second = await world.running("second", "node-a")
        assert second["metadata"]["annotations"] != first["metadata"]["annotations"]

    in_world(clusters, test)
