"""Nodes of the host, shown inside as they are there: with the right to read them.

The tests are the host's kubelets and its node lifecycle controller; inside, the real controllers act.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from k3k_kubelet.api import NODES, PODS, NotFoundError
from k3k_kubelet.events import timestamp
from k3k_kubelet.node import facts, manifest
from k3k_kubelet.translate import identity

from kubelet.tests.clusters import NAMESPACE, Clusters, started
from kubelet.tests.node.test_failure import has_lease, is_silent, renewals
from kubelet.tests.node.test_tenant import DAEMON_SETS, absent, until_node
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, condition, in_world, running_status

Object = dict[str, Any]
ZONE = "topology.kubernetes.io/zone"


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """A host whose Nodes the kubelet may read."""
    with started(tmp_path_factory.mktemp("mirrored"), mirror_host_nodes=True) as both:
        yield both


def ready(status: str) -> Object:
    return {
        "type": "Ready",
        "status": status,
        "reason": "KubeletReady" if status == "True" else "NodeStatusUnknown",
        "message": "said by the host",
        "lastHeartbeatTime": timestamp(),
        "lastTransitionTime": timestamp(),
    }


@contextlib.asynccontextmanager
async def host_node(
    world: World, name: str, *, labels: dict[str, str] | None = None, taints: list[Object] | None = None
) -> AsyncIterator[None]:
    """A node of the host, as long as the context lasts."""
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, ZONE: "z1", "customer": "other", **(labels or {})},
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"taints": taints or []},
        "status": {
            "capacity": {"cpu": "6", "memory": "24Gi", "pods": "110", "example.com/gpu": "2"},
            "allocatable": {"cpu": "5", "memory": "20Gi", "pods": "110", "example.com/gpu": "2"},
            "addresses": [{"type": "InternalIP", "address": "192.0.2.50"}],
            "images": [{"names": ["registry.example/secret:1"], "sizeBytes": 1}],
            "volumesInUse": ["kubernetes.io/csi/x"],
            "conditions": [ready("True")],
        },
    }
    await world.host.create(NODES, None, body)
    try:
        yield
    finally:
        with contextlib.suppress(NotFoundError):
            await world.host.delete(NODES, None, name)


async def say(world: World, node: str, status: str) -> None:
    """Does what the host's node lifecycle controller, or the node's kubelet, does."""
    change = {"status": {"conditions": [ready(status)]}}
    await world.host.patch(NODES, None, node, change, subresource="status")


def test_all_nodes_that_the_policy_admits_appear_as_they_are(mirrored: Clusters) -> None:
    async def test(world: World) -> None:
        mirrored.set_policy(required={"nodeSelector": {"pool": "blue"}})
        try:
            async with contextlib.AsyncExitStack() as nodes:
                await nodes.enter_async_context(host_node(world, "blue", labels={"pool": "blue"}))
                shown = {"kubernetes.io/hostname": "blue", ZONE: "z1", "pool": "blue", identity.CLUSTER: "vc"}
                # The policy is read each 2 s: the other one comes when it is in force.
                node = await until_node(world, "blue", lambda node: node["metadata"]["labels"] == shown)
                await nodes.enter_async_context(host_node(world, "red", labels={"pool": "red"}))
                # The second is of the virtual cluster's own ttl controller.
                assert node["metadata"]["annotations"].keys() <= {
                    manifest.OURS,
                    "node.alpha.kubernetes.io/ttl",
                }
                status = node["status"]
                assert (status["capacity"]["cpu"], status["allocatable"]["cpu"]) == ("6", "5")
                assert status["allocatable"]["example.com/gpu"] == "2"
                assert "192.0.2.50" not in str(status["addresses"])
                assert not {"images", "volumesInUse", "declaredFeatures"} & status.keys()
                await never(lambda: present(world, "red"), 1.0)
                change = {"metadata": {"labels": {"pool": "blue", ZONE: "z2"}}}
                await world.host.patch(NODES, None, "red", change)
                found = await until_node(world, "red", lambda node: True)  # noqa: ARG005
                assert found["metadata"]["labels"][ZONE] == "z2"
                change = {"metadata": {"labels": {ZONE: None, "topology.example/rack": "7"}}}
                await world.host.patch(NODES, None, "red", change)
                await until_node(
                    world,
                    "red",
                    lambda node: (
                        ZONE not in node["metadata"]["labels"]
                        and node["metadata"]["labels"]["topology.example/rack"] == "7"
                    ),
                )
            for name in ("blue", "red"):
                await eventually(lambda name=name: absent(world, name))
        finally:
            mirrored.set_policy()

    in_world(mirrored, test)


async def present(world: World, name: str) -> bool:
    return await world.node(name) is not None


def test_no_taint_of_the_host_deletes_a_pod(mirrored: Clusters) -> None:
    """Inside, the real controller evicts pods that do not tolerate a Node's NoExecute taints."""
    dedicated = {"key": "dedicated", "value": "vc", "effect": "NoExecute"}
    closed = {"key": "customer", "value": "other", "effect": "NoExecute"}

    async def test(world: World) -> None:
        mirrored.set_policy(required={"tolerations": [{"key": "dedicated", "operator": "Exists"}]})
        try:
            async with host_node(world, "dedicated", taints=[dedicated]), host_node(world, "open"):
                for node in ("dedicated", "open"):
                    await until_node(world, node, lambda node: condition(node, "Ready"))
                    await world.pod(f"on-{node}")
                    await world.running(f"on-{node}", node)
                await until_taints(world, "dedicated", [])
                change = {"spec": {"taints": [closed]}}
                await world.host.patch(NODES, None, "open", change)
                ours = [{"key": facts.HOST_TAINT, "effect": "NoSchedule"}]
                await until_taints(world, "open", ours)
                mirrored.set_policy()  # now neither is tolerated
                await until_taints(world, "dedicated", ours)
                await never(lambda: any_deleted(world), 3.0)
                await world.host.patch(NODES, None, "open", {"spec": {"taints": []}})
                await until_taints(world, "open", [])
                for node in ("dedicated", "open"):
                    await world.virtual.delete(PODS, world.namespace, f"on-{node}")
                    await world.until_host(PODS, f"on-{node}", lambda pod: deleted(pod))
                    await world.killed(f"on-{node}")
        finally:
            mirrored.set_policy()

    in_world(mirrored, test)


def deleted(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


async def any_deleted(world: World) -> bool:
    pods = await world.virtual.list_all(PODS, world.namespace)
    return len(pods) < 2 or any(deleted(pod) for pod in pods)


async def taints(world: World, name: str) -> list[Object]:
    """The Node's taints but those of the virtual cluster's own controllers."""
    node = await world.node(name)
    found = (node or {"spec": {}})["spec"].get("taints") or []
    return [each for each in found if not each["key"].startswith("node.kubernetes.io/")]


async def until_taints(world: World, name: str, wanted: list[Object]) -> None:
    async def check() -> bool:
        return await taints(world, name) == wanted

    await eventually(check)


def test_a_daemon_set_covers_all_nodes_where_its_pods_can_run(mirrored: Clusters) -> None:
    async def test(world: World) -> None:
        closed = [{"key": "customer", "effect": "NoSchedule"}]
        async with (
            host_node(world, "first"),
            host_node(world, "second"),
            host_node(world, "closed", taints=closed),
        ):
            for name in ("first", "second", "closed"):
                await until_node(world, name, lambda node: condition(node, "Ready"))
            await until_taints(world, "closed", [{"key": facts.HOST_TAINT, "effect": "NoSchedule"}])
            template = {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "c", "image": "busybox"}],
                },
            }
            spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template}
            await eventually(lambda: only(world, "first", "second", "closed"))  # not those of other tests
            await world.create(DAEMON_SETS, "agent", spec=spec)

            async def made() -> list[Object]:
                pods = await world.virtual.list_all(PODS, world.namespace)
                return pods if {node_of(pod) for pod in pods} == {"first", "second"} else []

            for pod in await eventually(made):
                name = pod["metadata"]["name"]
                (term,) = node_terms(await world.host_pod(name))
                assert term["matchFields"][0]["key"] == "metadata.name"
                await world.running(name, node_of(pod))
            wanted = {"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberReady": 2}

            async def covers() -> bool:
                found = await world.get(DAEMON_SETS, "agent")
                return found is not None and found["status"].items() >= wanted.items()

            await eventually(covers)
            await world.virtual.delete(DAEMON_SETS, world.namespace, "agent")

            async def ended() -> bool:
                pods = await world.virtual.list_all(PODS, world.namespace)
                for pod in pods:
                    copy = await world.host_get(PODS, pod["metadata"]["name"])
                    if copy is not None and deleted(copy):
                        await world.killed(pod["metadata"]["name"])
                return not pods

            await eventually(ended)

    in_world(mirrored, test)


def node_terms(pod: Object) -> list[Object]:
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    found: list[Object] = required["nodeSelectorTerms"]
    return found


def node_of(pod: Object) -> str:
    """The Node that a DaemonSet has made a pod for."""
    return str(node_terms(pod)[0]["matchFields"][0]["values"][0])


async def only(world: World, *names: str) -> bool:
    """Whether there are these Nodes inside and no other ones."""
    return {node["metadata"]["name"] for node in await world.virtual.list_all(NODES)} == set(names)


def test_a_node_is_as_ready_as_the_hosts(mirrored: Clusters) -> None:
    async def test(world: World) -> None:
        async with host_node(world, "moody"):
            await until_node(world, "moody", lambda node: is_ready(node, "True"))
            await world.pod("pod")
            await world.running("pod", "moody")
            await eventually(lambda: has_lease(world, "moody"))
            await say(world, "moody", "False")  # its kubelet lives, and has a problem
            node = await until_node(world, "moody", lambda node: is_ready(node, "False"))
            assert condition(node, "Ready")["message"] == "said by the host"
            await say(world, "moody", "Unknown")
            await until_node(world, "moody", lambda node: is_ready(node, "Unknown"))
            await eventually(lambda: is_silent(world, "moody"))
            before = await renewals(world, "moody")

            async def renewed() -> bool:
                return await renewals(world, "moody") != before

            await say(world, "moody", "True")
            await world.report("pod", running_status())
            await until_node(world, "moody", lambda node: is_ready(node, "True"))
            await eventually(renewed)
            await world.virtual.delete(PODS, world.namespace, "pod")
            await world.until_host(PODS, "pod", deleted)
            await world.killed("pod")

    in_world(mirrored, test)


def is_ready(node: Object, status: str) -> bool:
    return bool(condition(node, "Ready").get("status") == status)


def test_what_the_tenant_adds_to_a_mirrored_node_stays(mirrored: Clusters) -> None:
    async def test(world: World) -> None:
        async with host_node(world, "owned"):
            await until_node(world, "owned", lambda node: condition(node, "Ready"))
            kubectl = mirrored.virtual.kubectl
            kubectl("label", "node", "owned", "mine=yes", f"{ZONE}=forged", "--overwrite")
            kubectl("taint", "node", "owned", "mine=yes:NoSchedule")
            kubectl("cordon", "owned")
            change = {"metadata": {"labels": {"topology.example/row": "3"}}}
            await world.host.patch(NODES, None, "owned", change)
            shown = {"topology.example/row": "3", ZONE: "z1"}.items()
            node = await until_node(world, "owned", lambda node: node["metadata"]["labels"].items() >= shown)
            assert node["metadata"]["labels"]["mine"] == "yes"
            assert node["spec"]["unschedulable"] is True
            assert {"key": "mine", "value": "yes", "effect": "NoSchedule"} in node["spec"]["taints"]

    in_world(mirrored, test)


def test_a_host_node_that_is_deleted_goes_inside_when_no_pod_names_it(mirrored: Clusters) -> None:
    async def test(world: World) -> None:
        async with host_node(world, "passing"):
            await until_node(world, "passing", lambda node: is_ready(node, "True"))
            await world.pod("pod")
            await world.running("pod", "passing")
        await until_node(world, "passing", lambda node: is_ready(node, "Unknown"))
        await never(lambda: absent(world, "passing"), 6.0)  # unused ones go after 5 s here
        # What the host's pod garbage collector does.
        await world.ended("pod", "Failed")
        await world.until("pod", lambda pod: pod["status"]["phase"] == "Failed")
        await world.host.delete(PODS, NAMESPACE, world.host_name("pod"), grace_period=0)
        await eventually(lambda: absent(world, "passing"))

    in_world(mirrored, test)
