"""A host node fails and comes back: what the virtual cluster's own controllers make of it.

Nobody reads the host's Nodes here. The tests write what the host's node lifecycle controller writes into the
pods of a node that is silent; inside, the real controllers act on it.
"""

from __future__ import annotations

import datetime
from typing import Any

from k3k_kubelet.api import LEASES, PODS, NotFoundError, Resource
from k3k_kubelet.node import manifest

from kubelet.tests.clusters import Clusters
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, condition, in_world, running_status

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
SOON = [
    {"key": f"node.kubernetes.io/{kind}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for kind in ("not-ready", "unreachable")
]
UNREACHABLE = "node.kubernetes.io/unreachable"
SILENT_SECONDS = 16.0
"""Without a renewal of a Node's Lease, which comes each 10 s: it is silent."""


async def node_is(world: World, name: str, status: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        node = await world.node(name)
        return node if node and condition(node, "Ready").get("status") == status else None

    node = await eventually(found)
    assert node is not None
    return node


async def renewals(world: World, name: str) -> str:
    lease = await world.virtual.get(LEASES, manifest.LEASE_NAMESPACE, name)
    return str(lease["spec"]["renewTime"])


async def is_silent(world: World, name: str) -> bool:
    """Whether nobody keeps a Node alive; a renewal may still be under way when its status says Unknown."""
    last = datetime.datetime.fromisoformat(await renewals(world, name))
    return (datetime.datetime.now(datetime.UTC) - last).total_seconds() > SILENT_SECONDS


async def pods_of(world: World) -> list[dict[str, Any]]:
    return await world.virtual.list_all(PODS, world.namespace)


def test_a_deployment_is_replaced_and_its_lost_pod_stays_until_the_node_is_back(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        template = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": "busybox"}],
                "tolerations": SOON,
            },
        }
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        await world.create(DEPLOYMENTS, "web", spec=spec)
        first = (await eventually(lambda: pods_of(world)))[0]["metadata"]["name"]
        await world.running(first, "failing")
        await world.pod("steady", tolerations=SOON)
        await world.running("steady", "well")
        await node_is(world, "failing", "True")

        await world.given_up(first)
        failed = await node_is(world, "failing", "Unknown")
        assert condition(failed, "Ready")["reason"] == "NodeStatusUnknown"
        await world.until(first, lambda pod: pod["metadata"].get("deletionTimestamp"))

        async def replacement() -> str:
            names = {pod["metadata"]["name"] for pod in await pods_of(world)} - {first, "steady"}
            return next(iter(names), "")

        second = await eventually(replacement)
        await world.running(second, "well")
        # The copy was asked to end, and nobody there can: both stay as on any cluster.
        await world.until_host(PODS, first, lambda pod: pod["metadata"].get("deletionTimestamp"))
        await never(lambda: gone(world, first), 2.0)
        steady = await world.get(PODS, "steady")
        assert steady is not None
        assert condition(steady, "Ready")["status"] == "True"
        assert "deletionTimestamp" not in steady["metadata"]

        await world.killed(first)
        await world.gone(PODS, first)
        await world.pod("later", tolerations=SOON)
        await world.running("later", "failing")
        await node_is(world, "failing", "True")

    in_world(clusters, test)


async def gone(world: World, name: str) -> bool:
    return await world.get(PODS, name) is None


def test_a_failed_node_is_silent_and_comes_back_with_its_pods(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("patient")
        await world.running("patient", "rebooting")
        await node_is(world, "rebooting", "True")
        await eventually(lambda: has_lease(world, "rebooting"))
        await world.given_up("patient")
        await node_is(world, "rebooting", "Unknown")
        await world.until("patient", lambda pod: condition(pod, "Ready")["status"] == "False")

        async def tainted() -> bool:
            node = await world.node("rebooting")
            return any(each["key"] == UNREACHABLE for each in (node or {})["spec"].get("taints") or ())

        await eventually(tainted)
        await eventually(lambda: is_silent(world, "rebooting"))
        before = await renewals(world, "rebooting")

        async def renewed() -> bool:
            return await renewals(world, "rebooting") != before

        await world.report("patient", running_status())
        await node_is(world, "rebooting", "True")
        await eventually(renewed)
        await world.until("patient", lambda pod: condition(pod, "Ready")["status"] == "True")
        await never(lambda: is_deleted(world, "patient"), 1.0)

    in_world(clusters, test)


async def has_lease(world: World, name: str) -> bool:
    try:
        return bool(await renewals(world, name))
    except NotFoundError:
        return False


async def is_deleted(world: World, name: str) -> bool:
    pod = await world.get(PODS, name)
    return pod is None or "deletionTimestamp" in pod["metadata"]


def test_who_deletes_by_force_gets_the_name_back(clusters: Clusters) -> None:
    """As on any cluster: a StatefulSet has its pod again when somebody vouches for the end of the old one."""

    async def test(world: World) -> None:
        await world.pod("web-0")
        await world.running("web-0", "burnt")
        await world.given_up("web-0")
        await node_is(world, "burnt", "Unknown")
        old = await world.host_pod("web-0")
        await world.virtual.delete(PODS, world.namespace, "web-0")
        await world.until_host(PODS, "web-0", lambda pod: pod["metadata"].get("deletionTimestamp"))
        await never(lambda: gone(world, "web-0"), 1.0)
        await world.virtual.delete(PODS, world.namespace, "web-0", grace_period=0)
        await world.gone(PODS, "web-0")
        await world.host_gone(PODS, "web-0")
        await world.pod("web-0")
        assert (await world.host_pod("web-0"))["metadata"]["uid"] != old["metadata"]["uid"]
        await world.running("web-0", "well-again")

    in_world(clusters, test)


def test_a_restarted_kubelet_still_knows(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("pod")
        await world.running("pod", "unseen")
        await node_is(world, "unseen", "True")
        clusters.stop_kubelet()
        try:
            await world.given_up("pod")
        finally:
            clusters.start_kubelet()
        await node_is(world, "unseen", "Unknown")

    in_world(clusters, test)
