"""What a tenant does to his Nodes: what is his stays, what is ours comes back, nothing else follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from k3k_kubelet import quantity
from k3k_kubelet.api import LEASES, NODES, PODS, NotFoundError, PatchType, Resource
from k3k_kubelet.node import manifest
from k3k_kubelet.translate import identity

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, condition, in_world

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")


async def until_node(world: World, name: str, check: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        node = await world.node(name)
        return node if node is not None and check(node) else None

    node = await eventually(found)
    assert node is not None
    return node


def test_labels_taints_and_cordon_of_the_tenant_stay(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("pod")
        await world.running("pod", "labelled")
        kubectl = clusters.virtual.kubectl
        kubectl("label", "node", "labelled", "tier=gold", "kubernetes.io/os=plan9", "--overwrite")
        kubectl("taint", "node", "labelled", "maintenance=soon:NoSchedule")
        kubectl("cordon", "labelled")
        kubectl("annotate", "node", "labelled", "note=mine")
        mended = await until_node(
            world, "labelled", lambda node: node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
        )
        assert mended["metadata"]["labels"]["tier"] == "gold"
        assert mended["metadata"]["annotations"]["note"] == "mine"
        assert mended["spec"]["unschedulable"] is True
        assert "maintenance" in {taint["key"] for taint in mended["spec"]["taints"]}
        kubectl("uncordon", "labelled")
        kubectl("taint", "node", "labelled", "maintenance-")
        pod = await world.get(PODS, "pod")
        assert pod is not None
        assert condition(pod, "Ready")["status"] == "True"

    in_world(clusters, test)


def test_whatever_a_tenant_makes_of_a_node_is_put_right(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("pod")
        await world.running("pod", "abused")
        # The kubelet may not know yet that the quota of an earlier test is gone.
        before = await until_node(
            world, "abused", lambda node: quantity.parse(node["status"]["capacity"]["pods"]) == 1000
        )
        status = {
            "capacity": {"cpu": "1", "example.com/fpga": "9"},
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 6443}},
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Forged"}],
            "nodeInfo": {**before["status"]["nodeInfo"], "kubeletVersion": "v9.9.9"},
        }
        change = {"status": status}
        await world.virtual.patch(
            *(NODES, None, "abused", change), kind=PatchType.STRATEGIC, subresource="status"
        )
        stripped = {"metadata": {"labels": {identity.CLUSTER: None}, "annotations": {manifest.OURS: "{"}}}
        await world.virtual.patch(NODES, None, "abused", stripped)
        await eventually(lambda: is_leased(world, "abused"))
        lease = {"spec": {"leaseDurationSeconds": 1, "holderIdentity": "tenant", "renewTime": None}}
        await world.virtual.patch(LEASES, manifest.LEASE_NAMESPACE, "abused", lease)

        def is_right(node: dict[str, Any]) -> bool:
            found, wanted = node["status"], before["status"]
            keys = ("capacity", "allocatable", "daemonEndpoints", "nodeInfo", "addresses")
            labels = node["metadata"]["labels"]
            return (
                all(found[key] == wanted[key] for key in keys)
                and labels.items() >= before["metadata"]["labels"].items()
                and condition(node, "Ready")["status"] == "True"
            )

        await until_node(world, "abused", is_right)

        async def renewed() -> bool:
            found = await world.virtual.get(LEASES, manifest.LEASE_NAMESPACE, "abused")
            return found["spec"]["holderIdentity"] == "abused" and found["spec"]["leaseDurationSeconds"] == 40

        await eventually(renewed)

    in_world(clusters, test)


async def is_leased(world: World, name: str) -> bool:
    """Whether the Node has its Lease: the kubelet makes that after it."""
    try:
        return bool(await world.virtual.get(LEASES, manifest.LEASE_NAMESPACE, name))
    except NotFoundError:
        return False


def test_a_deleted_node_comes_back_before_its_pods_are_collected(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("pod")
        await world.running("pod", "deleted")
        node = await eventually(lambda: world.node("deleted"))
        assert node is not None
        uid = (await world.get(PODS, "pod") or {})["metadata"]["uid"]
        await world.virtual.delete(NODES, None, "deleted")
        again = await until_node(
            world, "deleted", lambda found: found["metadata"]["uid"] != node["metadata"]["uid"]
        )
        assert condition(again, "Ready")["status"] == "True"
        pod = await world.get(PODS, "pod")
        assert pod is not None
        assert pod["metadata"]["uid"] == uid

    in_world(clusters, test)


def test_a_node_with_a_host_nodes_name_that_the_tenant_made_first_is_left_to_him(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "squatted"}}
        squatter = await world.virtual.create(NODES, None, body)
        await world.pod("pod")
        host = await world.host_pod("pod")
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": host["metadata"]["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "squatted"},
        }
        name = host["metadata"]["name"]
        await world.host.create(PODS, NAMESPACE, binding, name=name, subresource="binding")
        event = await world.event("pod", "NodeNameTaken")
        assert "delete the Node" in event["message"]
        found = await world.node("squatted")
        assert found is not None
        assert identity.CLUSTER not in found["metadata"].get("labels", {})
        assert found["metadata"]["uid"] == squatter["metadata"]["uid"]
        await world.virtual.delete(NODES, None, "squatted")
        await world.until("pod", lambda pod: pod["spec"].get("nodeName") == "squatted")
        await until_node(world, "squatted", lambda node: condition(node, "Ready").get("status") == "True")

    in_world(clusters, test)


def test_capacity_follows_the_quota_of_the_workload_namespace(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("pod")
        await world.running("pod", "measured")
        await until_node(world, "measured", lambda node: node["status"]["capacity"]["cpu"] == "64")
        hard = {"requests.cpu": "40", "pods": "900"}
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": hard},
        }
        await world.host.create(QUOTAS, NAMESPACE, quota)
        try:
            node = await until_node(
                world, "measured", lambda node: node["status"]["allocatable"]["cpu"] == "40"
            )
            assert node["status"]["capacity"]["pods"] == "900"
            assert node["status"]["capacity"]["memory"] == "256Gi"
        finally:
            await world.host.delete(QUOTAS, NAMESPACE, "q")
        await until_node(world, "measured", lambda node: node["status"]["capacity"]["cpu"] == "64")

    in_world(clusters, test)


def test_a_node_outlives_its_ended_pods_and_not_its_daemons(clusters: Clusters) -> None:
    """The pod garbage collector inside is the real one: it would take the ended pod with its Node."""

    async def test(world: World) -> None:
        await world.pod("job", restartPolicy="Never")
        await world.running("job", "kept")
        await world.ended("job")
        await world.until("job", lambda pod: pod["status"]["phase"] == "Succeeded")
        await daemon_set(world, "agent", "kept")
        daemon = await eventually(lambda: pod_of(world, "agent", "kept"))
        await world.running(daemon, "kept")
        await never(lambda: absent(world, "kept"), 8.0)  # unused Nodes go after 5 s here
        await world.virtual.delete(PODS, world.namespace, "job", grace_period=0)
        await eventually(lambda: absent(world, "kept"))
        # Until the garbage collector takes it, the daemon's pod does not bring the Node back.
        change = {"metadata": {"labels": {"seen": "again"}}}
        await world.virtual.patch(PODS, world.namespace, daemon, change)
        await world.until_host(PODS, daemon, lambda pod: "again" in pod["metadata"]["labels"].values())
        await never(lambda: present(world, "kept"), 2.0)

    in_world(clusters, test)


async def daemon_set(world: World, name: str, node: str) -> None:
    """A DaemonSet for one Node: the other tests have theirs."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "busybox"}],
            "nodeSelector": {"kubernetes.io/hostname": node},
        },
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    await world.create(DAEMON_SETS, name, spec=spec)


async def pod_of(world: World, app: str, node: str) -> str:
    """The pod that a DaemonSet has made for a Node."""
    query = {"labelSelector": f"app={app}"}
    for pod in await world.virtual.list_all(PODS, world.namespace, query=query):
        affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        if affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"] == [node]:
            return str(pod["metadata"]["name"])
    return ""


async def absent(world: World, name: str) -> bool:
    return await world.node(name) is None


async def present(world: World, name: str) -> bool:
    return await world.node(name) is not None


def test_drain_inside_evicts_all_pods(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        for name in ("a", "b"):
            await world.pod(name)
            await world.running(name, "drained")
        kubectl = clusters.virtual.kubectl
        kubectl("drain", "drained", "--force", "--timeout=0s", "--dry-run=server")
        draining = asyncio.to_thread(kubectl, "drain", "drained", "--force", "--timeout=120s")

        async def end() -> None:
            for name in ("a", "b"):
                await world.until_host(PODS, name, lambda pod: pod["metadata"].get("deletionTimestamp"))
                await world.killed(name)
                await world.gone(PODS, name)

        await asyncio.gather(draining, end())
        await eventually(lambda: absent(world, "drained"))

    in_world(clusters, test)


def test_kubectl_shows_a_node_as_a_node(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("shown")
        await world.running("shown", "described")
        await until_node(world, "described", lambda node: not node["spec"].get("taints"))
        kubectl = clusters.virtual.kubectl
        wide = kubectl("get", "node", "described", "-o", "wide", "--no-headers").split()
        assert wide[:2] == ["described", "Ready"]
        assert wide[4] == "v1.34.4"
        described = kubectl("describe", "node", "described")
        assert "shown" in described
        assert "Unknown" not in described
        assert "Non-terminated Pods:          (1 in total)" in described

    in_world(clusters, test)


def test_a_node_that_only_the_tenant_names_is_not_made(clusters: Clusters) -> None:
    """A pod that the tenant has bound himself has no word of the host yet."""

    async def test(world: World) -> None:
        await world.pod("bound", nodeName="imaginary")
        await world.host_pod("bound")
        await never(lambda: present(world, "imaginary"), 1.0)

    in_world(clusters, test)
