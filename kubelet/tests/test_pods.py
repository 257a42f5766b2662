"""The way of a pod, from creation to its end, on both sides."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from k3k_kubelet.api import NODES, PODS, PatchType
from k3k_kubelet.translate import identity

from kubelet.tests.clusters import CLUSTER, NAMESPACE, Clusters
from kubelet.tests.refusals import full
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, condition, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def test_a_pod_runs_where_the_host_scheduler_puts_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        made = await world.pod("web", metadata={"labels": {"app": "web"}})
        copy = await world.host_pod("web")
        owner = identity.owner_of(copy)
        assert owner == identity.Identity(CLUSTER, world.namespace, "web", made["metadata"]["uid"])
        assert copy["metadata"]["ownerReferences"][0]["name"] == f"{CLUSTER}-anchor"
        assert copy["spec"]["serviceAccountName"] == f"{CLUSTER}-workload"
        assert copy["metadata"].get("finalizers") is None
        pod = await world.running("web", "node-a")
        mark = f"{copy['metadata']['uid']}/{made['metadata']['uid']}"
        assert pod["metadata"]["annotations"][identity.HOST_POD_UID] == mark
        assert pod["status"]["podIP"] == "198.51.100.7"
        assert pod["status"]["hostIP"] == "192.0.2.1"
        assert condition(pod, "Ready")["status"] == "True"
        assert pod["status"]["containerStatuses"][0]["containerID"] == "containerd://1"

    in_world(clusters, test)


def test_unschedulable_shows_as_the_host_says_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("big")
        await world.host_pod("big")
        message = "0/2 nodes are available: 2 Insufficient cpu."
        said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        await world.report("big", {"conditions": [said]})
        pod = await world.until("big", lambda pod: condition(pod, "PodScheduled").get("message") == message)
        assert pod["status"]["phase"] == "Pending"
        await world.schedule("big", "node-a")
        await world.until("big", lambda pod: condition(pod, "PodScheduled")["status"] == "True")

    in_world(clusters, test)


def test_gated_pods_and_those_of_other_schedulers_get_no_copy(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
        await world.pod("other", schedulerName="mine")
        await world.pod("plain")
        await world.host_pod("plain")
        assert await world.host_get(PODS, "gated") is None
        assert await world.host_get(PODS, "other") is None
        change = [{"op": "remove", "path": "/spec/schedulingGates"}]
        world.clusters.virtual.kubectl(
            *(
                "-n",
                world.namespace,
                "patch",
                "pod",
                "gated",
                "--type=json",
                "-p",
                str(change).replace("'", '"'),
            )
        )
        await world.host_pod("gated")

    in_world(clusters, test)


def test_deletion_takes_its_grace_period_on_the_host(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("slow", terminationGracePeriodSeconds=100)
        await world.running("slow", "node-a")
        await world.virtual.delete(PODS, world.namespace, "slow", grace_period=70)
        copy = await world.until_host(PODS, "slow", lambda pod: pod["metadata"].get("deletionTimestamp"))
        assert copy["metadata"]["deletionGracePeriodSeconds"] == 70
        await world.virtual.delete(PODS, world.namespace, "slow", grace_period=20)
        shorter = lambda pod: pod["metadata"]["deletionGracePeriodSeconds"] == 20  # noqa: E731
        await world.until_host(PODS, "slow", shorter)
        await world.report("slow", {"message": "on its way"})
        await world.until("slow", lambda pod: pod["status"].get("message") == "on its way")
        await world.killed("slow")
        await world.gone(PODS, "slow")

    in_world(clusters, test)


def test_a_finalizer_keeps_the_pod_with_its_final_status(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("held", metadata={"finalizers": ["example.com/held"]})
        await world.running("held", "node-a")
        await world.virtual.delete(PODS, world.namespace, "held")
        await world.until_host(PODS, "held", lambda pod: pod["metadata"].get("deletionTimestamp"))
        await world.killed("held")
        pod = await world.until("held", lambda pod: pod["metadata"]["deletionGracePeriodSeconds"] == 0)
        assert pod["status"]["phase"] == "Succeeded"
        assert "terminated" in pod["status"]["containerStatuses"][0]["state"]
        await world.virtual.patch(PODS, world.namespace, "held", {"metadata": {"finalizers": None}})
        await world.gone(PODS, "held")

    in_world(clusters, test)


def test_a_force_deleted_pod_leaves_no_copy_and_its_name_is_free_for_the_next(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        first = await world.pod("same")
        await world.running("same", "node-a")
        await world.virtual.delete(PODS, world.namespace, "same", grace_period=0)
        await world.gone(PODS, "same")
        second = await world.pod("same")
        copy = await world.until_host(PODS, "same", lambda pod: pod["metadata"].get("deletionTimestamp"))
        owner = identity.owner_of(copy)
        assert owner is not None
        assert owner.uid == first["metadata"]["uid"]
        await world.killed("same")

        def of_second(pod: dict[str, object]) -> bool:
            owner = identity.owner_of(pod)
            return owner is not None and owner.uid == second["metadata"]["uid"]

        await world.until_host(PODS, "same", of_second)

    in_world(clusters, test)


def test_a_pod_that_the_host_evicts_is_deleted_inside(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        made = await world.pod("drained", metadata={"finalizers": ["example.com/held"]})
        await world.running("drained", "node-a")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction"}
        eviction["metadata"] = {"name": world.host_name("drained")}  # type: ignore[assignment]
        await world.host.create(
            PODS, NAMESPACE, eviction, name=world.host_name("drained"), subresource="eviction"
        )
        pod = await world.until("drained", lambda pod: pod["metadata"].get("deletionTimestamp"))
        assert pod["metadata"]["uid"] == made["metadata"]["uid"]
        assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
        assert condition(pod, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
        await world.killed("drained")
        await world.until("drained", lambda pod: pod["metadata"]["deletionGracePeriodSeconds"] == 0)
        await world.virtual.patch(PODS, world.namespace, "drained", {"metadata": {"finalizers": None}})

    in_world(clusters, test)


def test_a_pod_that_is_force_deleted_on_the_host_is_deleted_inside(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("forced")
        await world.running("forced", "node-a")
        await world.host.delete(PODS, NAMESPACE, world.host_name("forced"), grace_period=0)
        await world.gone(PODS, "forced")

    in_world(clusters, test)


def test_a_lost_copy_is_a_failed_pod_and_never_made_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("lost")
        await world.running("lost", "node-a")
        clusters.stop_kubelet(signal.SIGKILL)
        await world.host.delete(PODS, NAMESPACE, world.host_name("lost"), grace_period=0)
        clusters.start_kubelet()
        pod = await world.until("lost", lambda pod: pod["status"]["phase"] == "Failed")
        assert pod["status"]["reason"] == "HostPodLost"
        state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (state["exitCode"], state["reason"]) == (137, "ContainerStatusUnknown")
        assert condition(pod, "Ready")["status"] == "False"
        await world.event("lost", "HostPodLost")
        await never(lambda: world.host_get(PODS, "lost"), 1.0)

    in_world(clusters, test)


def test_a_pod_that_failed_inside_is_stopped_on_the_host(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("failed")
        await world.running("failed", "node-a")
        await world.virtual.patch(
            *(PODS, world.namespace, "failed", {"status": {"phase": "Failed", "reason": "Given up"}}),
            subresource="status",
        )
        await world.until_host(PODS, "failed", lambda pod: pod["metadata"].get("deletionTimestamp"))
        await world.killed("failed")
        await world.host_gone(PODS, "failed")
        pod = await world.get(PODS, "failed")
        assert pod is not None
        assert pod["status"]["reason"] == "Given up"

    in_world(clusters, test)


def test_a_refused_pod_says_why_and_runs_when_the_policy_allows_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        volume = {"name": "etc", "hostPath": {"path": "/etc/ssl"}}
        mounts = [{"name": "etc", "mountPath": "/etc/ssl", "readOnly": True}]
        await world.pod("nosy", volumes=[volume], container={"volumeMounts": mounts})
        event = await world.event("nosy", "HostPodRefused")
        assert event["type"] == "Warning"
        assert "spec.volumes[0].hostPath" in event["message"]
        pod = await world.until("nosy", lambda pod: pod["status"].get("reason"))
        assert pod["status"]["reason"] == "HostPodRefused"
        assert pod["status"]["phase"] == "Pending"
        assert "spec.volumes[0].hostPath" in condition(pod, "PodScheduled")["message"]
        assert await world.host_get(PODS, "nosy") is None
        world.clusters.set_policy(
            hostPaths=[{"path": "/etc/ssl"}],
            volumeTypes=["configMap", "downwardAPI", "emptyDir", "projected", "secret"],
        )
        try:
            pod = await world.schedule("nosy", "node-a")
            await world.until("nosy", lambda pod: not pod["status"].get("reason"))
        finally:
            world.clusters.set_policy()

    in_world(clusters, test)


def test_a_copy_that_the_host_refuses_is_tried_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}}
        name = f"full-{world.namespace}"
        quota["metadata"] = {"name": name}
        host = world.clusters.host
        host.kubectl("-n", NAMESPACE, "create", "quota", name, "--hard=pods=0")
        try:
            await full(world, name)
            await world.pod("waits")
            words = f'pods "waits" is forbidden: exceeded quota: {name}'
            await world.event("waits", "HostPodFailedCreate", words)
            pod = await world.until("waits", lambda pod: pod["status"].get("reason"))
            assert pod["status"]["reason"] == "HostPodFailedCreate"
        finally:
            host.kubectl("-n", NAMESPACE, "delete", "quota", name)
        await world.schedule("waits", "node-a")

    in_world(clusters, test)


def test_a_pod_of_somebody_else_is_never_touched(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        name = world.host_name("taken")
        foreign = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {identity.CLUSTER: CLUSTER}},
            "spec": {
                "serviceAccountName": f"{CLUSTER}-workload",
                "containers": [{"name": "c", "image": "x"}],
            },
        }
        made = await world.host.create(PODS, NAMESPACE, foreign)
        await world.pod("taken")
        event = await world.event("taken", "HostPodFailedCreate")
        assert event["message"].startswith("a Pod of somebody else has the name on the host")
        await world.virtual.delete(PODS, world.namespace, "taken")
        await world.gone(PODS, "taken")
        found = await world.host.get(PODS, NAMESPACE, name)
        assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        await world.host.delete(PODS, NAMESPACE, name, grace_period=0)

    in_world(clusters, test)


def test_changes_of_a_pod_reach_its_copy(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("moving", metadata={"labels": {"app": "one", "old": "yes"}})
        await world.running("moving", "node-a")
        patch = {
            "metadata": {"labels": {"app": "two", "old": None}},
            "spec": {"containers": [{"name": "c", "image": "busybox:2"}], "activeDeadlineSeconds": 600},
        }
        await world.virtual.patch(PODS, world.namespace, "moving", patch, kind=PatchType.STRATEGIC)
        changed = lambda pod: pod["spec"]["containers"][0]["image"] == "busybox:2"  # noqa: E731
        copy = await world.until_host(PODS, "moving", changed)
        assert copy["spec"]["activeDeadlineSeconds"] == 600
        assert "two" in copy["metadata"]["labels"].values()
        assert "yes" not in copy["metadata"]["labels"].values()

    in_world(clusters, test)


def test_readiness_gates_are_written_down(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        gate = "example.com/ready"
        await world.pod("gate", readinessGates=[{"conditionType": gate}])
        await world.running("gate", "node-a")
        ready = {"type": gate, "status": "True"}
        await world.virtual.patch(
            *(PODS, world.namespace, "gate", {"status": {"conditions": [ready]}}),
            kind=PatchType.STRATEGIC,
            subresource="status",
        )
        await world.until_host(PODS, "gate", lambda pod: condition(pod, gate).get("status") == "True")
        pod = await world.get(PODS, "gate")
        assert pod is not None
        assert condition(pod, gate)["status"] == "True"

    in_world(clusters, test)


def test_a_killed_kubelet_goes_on_without_touching_pods(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        for name in ("stays", "goes"):
            await world.pod(name, automountServiceAccountToken=True)
            await world.running(name, "node-a")
        before = await world.host_get(PODS, "stays")
        secrets = await world.token_secrets("stays")
        assert before is not None
        clusters.stop_kubelet(signal.SIGKILL)
        await world.virtual.delete(PODS, world.namespace, "goes", grace_period=0)
        await world.pod("comes")
        clusters.start_kubelet()
        await world.until_host(PODS, "goes", lambda pod: pod["metadata"].get("deletionTimestamp"))
        await world.host_pod("comes")
        after = await world.host_get(PODS, "stays")
        assert after is not None
        assert after["metadata"] == before["metadata"]
        assert await world.token_secrets("stays") == secrets
        await world.report("stays", {"message": "still here"})
        await world.until("stays", lambda pod: pod["status"].get("message") == "still here")

    in_world(clusters, test)


def test_nodes_have_ports_of_their_own_and_go_with_their_last_pod(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        for number in (1, 2):
            await world.pod(f"p{number}")
            await world.running(f"p{number}", f"{world.namespace}-{number}")
        nodes = [await world.node(f"{world.namespace}-{number}") for number in (1, 2)]
        services = clusters.host.kubectl("get", "svc", "-A", "-o", "jsonpath={.items[*].spec.clusterIP}")
        ports = set()
        for node in nodes:
            assert node is not None
            status = node["status"]
            ports.add(status["daemonEndpoints"]["kubeletEndpoint"]["Port"])
            address = next(each["address"] for each in status["addresses"] if each["type"] == "InternalIP")
            assert address in services.split()
            assert node["metadata"]["labels"][identity.CLUSTER] == CLUSTER
            assert condition(node, "Ready")["status"] == "True"
        assert len(ports) == 2
        published = clusters.host.kubectl(
            *("get", "svc", "-A", "-o", "jsonpath={.items[*].spec.ports[*].port}")
        )
        assert ports <= {int(port) for port in published.split()}

    in_world(clusters, test)


def test_a_deleted_node_is_made_again_while_pods_name_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        node = f"{world.namespace}-node"
        await world.pod("on-it")
        await world.running("on-it", node)
        first = await world.node(node)
        assert first is not None
        await world.virtual.delete(NODES, None, node)

        async def replaced() -> bool:
            found = await world.node(node)
            return found is not None and found["metadata"]["uid"] != first["metadata"]["uid"]

        await eventually(replaced)

    in_world(clusters, test)


def test_a_pod_bound_elsewhere_by_the_tenant_fails(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("astray")
        await world.host_pod("astray")
        binding: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "astray"},
            "target": {"kind": "Node", "name": "node-b"},
        }
        await world.virtual.create(PODS, world.namespace, binding, name="astray", subresource="binding")
        binding["metadata"] = {"name": world.host_name("astray")}
        binding["target"] = {"kind": "Node", "name": "node-a"}
        name = world.host_name("astray")
        await world.host.create(PODS, NAMESPACE, binding, name=name, subresource="binding")
        await world.until("astray", lambda pod: pod["status"].get("reason") == "NodeMismatch")
        await world.until_host(PODS, "astray", lambda pod: pod["metadata"].get("deletionTimestamp"))

    in_world(clusters, test)
