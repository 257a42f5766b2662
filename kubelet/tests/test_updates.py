"""Changes of a running pod: its spec, ephemeral containers, and what the host says to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, PODS, PatchType
from k3k_kubelet.api.errors import TooManyRequestsError

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.refusals import forbidden
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, condition, in_world, running_status

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

Object = dict[str, Any]


async def change(world: World, name: str, spec: Object, subresource: str = "", **metadata: Any) -> None:
    """Changes a pod inside, as its tenant does."""
    patch: Object = {"metadata": metadata} if metadata else {"spec": spec}
    await world.virtual.patch(
        *(PODS, world.namespace, name, patch), kind=PatchType.STRATEGIC, subresource=subresource
    )


async def sized(world: World, name: str, cpu: str = "100m") -> None:
    """A running pod with a request, whose node can resize it."""
    resources = {"requests": {"cpu": cpu}}
    await world.pod(name, container={"resources": resources})
    await world.schedule(name, "node-a")
    status = running_status()
    status["containerStatuses"][0] |= {"resources": resources, "allocatedResources": resources["requests"]}
    await world.report(name, status)
    await world.until(name, lambda pod: pod["status"]["phase"] == "Running")


async def resize(world: World, name: str, cpu: str) -> None:
    """Resizes the pod inside."""
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    await change(world, name, {"containers": [container]}, "resize")


def cpu_of(pod: Object) -> str:
    """What the spec asks for."""
    found: str = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    return found


async def refused(world: World, name: str, image: str) -> bool:
    """Whether a new pod with an image is refused: the policy is read each 2 s."""
    await world.pod(name, container={"image": image})

    async def decided() -> str:
        pod, copy = await world.get(PODS, name), await world.host_get(PODS, name)
        return "made" if copy else ((pod or {}).get("status") or {}).get("reason", "")

    return await eventually(decided) == "HostPodRefused"


def waiting(pod: Object, name: str) -> Object:
    """Why an ephemeral container waits, `{}` if it does not."""
    found = pod["status"].get("ephemeralContainerStatuses") or ()
    each = next((each for each in found if each["name"] == name), {"state": {}})
    state: Object = each["state"].get("waiting", {})
    return state


def test_a_new_toleration_reaches_the_copy(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        clusters.set_policy(allowedTolerations=[{"key": "gpu", "operator": "Exists"}])
        try:
            await world.pod("tolerant")
            await world.running("tolerant", "node-a")
            gpu = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
            pod = await world.get(PODS, "tolerant")
            assert pod is not None
            await change(world, "tolerant", {"tolerations": [*pod["spec"]["tolerations"], gpu]})
            copy = await world.until_host(PODS, "tolerant", lambda pod: gpu in pod["spec"]["tolerations"])
            assert len(copy["spec"]["tolerations"]) == 3
        finally:
            clusters.set_policy()

    in_world(clusters, test)


def test_a_new_toleration_that_is_not_allowed_is_told(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("tolerant")
        await world.running("tolerant", "node-a")
        pod = await world.get(PODS, "tolerant")
        assert pod is not None
        disk = {"key": "disk", "operator": "Exists", "effect": "NoSchedule"}
        await change(world, "tolerant", {"tolerations": [*pod["spec"]["tolerations"], disk]})
        event = await world.event("tolerant", "FieldDropped")
        assert event["message"].startswith(
            "spec.tolerations[2]: the pod does not tolerate the host's taint disk: "
        )
        copy = await world.host_get(PODS, "tolerant")
        assert copy is not None
        assert disk not in copy["spec"]["tolerations"]

    in_world(clusters, test)


def test_an_image_of_another_registry_stays_inside_until_the_policy_has_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        own, other = "docker.io/library/", "registry.example.com"
        clusters.set_policy(imageRegistries=[own])
        try:
            await world.pod("web", metadata={"labels": {"a": "1"}})
            await world.running("web", "node-a")
            numbers = itertools.count()
            await eventually(lambda: refused(world, f"probe-{next(numbers)}", f"{other}/probe"))
            image = f"{other}/web:2"
            await change(world, "web", {"containers": [{"name": "c", "image": image}]})
            event = await world.event("web", "HostPodNotUpdated")
            assert event["message"] == (
                f"spec.containers[0].image: '{image}' is of {other}/web, which is not allowed in this "
                f"cluster; allowed by pods.imageRegistries of the cluster's policy: {own}"
            )
            await change(world, "web", {}, labels={"a": "2"})  # all else follows
            copy = await world.until_host(
                PODS, "web", lambda pod: pod["metadata"]["labels"]["labels.k3k-pulumi.io/a"] == "2"
            )
            assert copy["spec"]["containers"][0]["image"] == "busybox"
            debugger = {"name": "debugger", "image": f"{other}/debug"}
            await change(world, "web", {"ephemeralContainers": [debugger]}, "ephemeralcontainers")
            pod = await world.until("web", lambda pod: waiting(pod, "debugger"))
            assert waiting(pod, "debugger")["reason"] == "EphemeralContainerRefused"
            assert "spec.ephemeralContainers[0].image" in waiting(pod, "debugger")["message"]

            clusters.set_policy(imageRegistries=[own, other])
            await world.until_host(PODS, "web", lambda pod: pod["spec"]["containers"][0]["image"] == image)
            await world.until_host(PODS, "web", lambda pod: pod["spec"].get("ephemeralContainers"))
        finally:
            clusters.set_policy()

    in_world(clusters, test)


def test_a_deadline_is_added_and_shortened(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("late")
        await world.running("late", "node-a")
        for seconds in (600, 300):
            await change(world, "late", {"activeDeadlineSeconds": seconds})
            wanted: Callable[[Object], bool] = lambda pod, seconds=seconds: (  # noqa: E731
                pod["spec"].get("activeDeadlineSeconds") == seconds
            )
            await world.until_host(PODS, "late", wanted)

    in_world(clusters, test)


def test_an_ephemeral_container_joins_the_copy_with_virtual_values(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("debugged", metadata={"annotations": {"note": "mine"}})
        await world.create(CONFIG_MAPS, "settings", data={"KEY": "value"})
        await world.running("debugged", "node-a")
        debugger = {
            "name": "debugger",
            "image": "busybox",
            "targetContainerName": "c",
            "env": [
                {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}}
            ],
            "envFrom": [{"configMapRef": {"name": "settings"}}],
        }
        await change(world, "debugged", {"ephemeralContainers": [debugger]}, "ephemeralcontainers")
        copy = await world.until_host(PODS, "debugged", lambda pod: pod["spec"].get("ephemeralContainers"))
        (made,) = copy["spec"]["ephemeralContainers"]
        assert made["targetContainerName"] == "c"
        sources = {each["configMapRef"]["name"] for each in made["envFrom"]}
        assert world.host_name("settings") in sources
        path = next(
            each["valueFrom"]["fieldRef"]["fieldPath"] for each in made["env"] if each["name"] == "NOTE"
        )
        key = path.partition("'")[2].rstrip("']")
        assert copy["metadata"]["annotations"][key] == "mine"
        status = {"name": "debugger", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0}
        state = {"state": {"running": {"startedAt": "2026-11-21T05:00:00Z"}}}
        await world.report("debugged", {"ephemeralContainerStatuses": [status | state]})
        pod = await world.until("debugged", lambda pod: pod["status"].get("ephemeralContainerStatuses"))
        assert pod["status"]["ephemeralContainerStatuses"][0]["state"] == state["state"]

    in_world(clusters, test)


def test_a_refused_ephemeral_container_says_why_and_does_not_keep_another_away(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("debugged")
        await world.running("debugged", "node-a")
        bad = {"name": "bad", "image": "x", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}
        good = {"name": "good", "image": "x"}
        await change(world, "debugged", {"ephemeralContainers": [bad, good]}, "ephemeralcontainers")
        event = await world.event("debugged", "EphemeralContainerRefused")
        assert "spec.ephemeralContainers[0].securityContext.capabilities.add[0]" in event["message"]
        pod = await world.until("debugged", lambda pod: waiting(pod, "bad"))
        assert "securityContext.capabilities" in waiting(pod, "bad")["message"]
        copy = await world.until_host(PODS, "debugged", lambda pod: pod["spec"].get("ephemeralContainers"))
        assert [each["name"] for each in copy["spec"]["ephemeralContainers"]] == ["good"]

    in_world(clusters, test)


def test_an_ephemeral_container_that_the_host_refuses_says_why(clusters: Clusters) -> None:
    """What our policy allows, the Pod Security level of the host's namespace need not."""

    async def test(world: World) -> None:
        clusters.set_policy(capabilities=["SYS_ADMIN"])
        powers = {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}
        try:
            await world.pod("debugged", container=powers)  # has a copy once the policy is in force
            await world.running("debugged", "node-a")
            level = "pod-security.kubernetes.io/enforce"
            clusters.host.kubectl("label", "namespace", NAMESPACE, f"{level}=baseline")
            await eventually(lambda: forbidden(world.dry_run(**powers), "violates PodSecurity"))
            bad = {"name": "bad", "image": "x", **powers}
            await change(world, "debugged", {"ephemeralContainers": [bad]}, "ephemeralcontainers")
            pod = await world.until("debugged", lambda pod: waiting(pod, "bad"))
            assert 'violates PodSecurity "baseline' in waiting(pod, "bad")["message"]
            assert world.host_name("debugged") not in waiting(pod, "bad")["message"]
            clusters.host.kubectl("label", "namespace", NAMESPACE, f"{level}-")
            await world.until_host(PODS, "debugged", lambda pod: pod["spec"].get("ephemeralContainers"))
        finally:
            clusters.host.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce-")
            clusters.set_policy()

    in_world(clusters, test)


def test_a_copy_whose_name_is_taken_holds_back_its_own_container_alone(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": world.host_name("taken")}}
        await world.host.create(CONFIG_MAPS, NAMESPACE, foreign)
        await world.create(CONFIG_MAPS, "taken", data={"KEY": "value"})
        # Meanwhile the kubelet hears of the ConfigMap, by another watch than of pods.
        await sized(world, "web")
        bad = {"name": "bad", "image": "x", "envFrom": [{"configMapRef": {"name": "taken"}}]}
        good = {"name": "good", "image": "x"}
        await change(world, "web", {"ephemeralContainers": [bad, good]}, "ephemeralcontainers")
        await resize(world, "web", "300m")
        await world.until_host(PODS, "web", lambda pod: cpu_of(pod) == "300m")
        pod = await world.until("web", lambda pod: waiting(pod, "bad"))
        assert waiting(pod, "bad")["message"].startswith("a ConfigMap of somebody else has the name")
        copy = await world.host_get(PODS, "web")
        assert copy is not None
        assert [each["name"] for each in copy["spec"]["ephemeralContainers"]] == ["good"]

    in_world(clusters, test)


def test_the_generation_is_observed_when_the_hosts_kubelet_has_seen_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("web")
        await world.running("web", "node-a")
        copy = await world.host_get(PODS, "web")
        assert copy is not None
        await world.report("web", {"observedGeneration": copy["metadata"]["generation"]})
        first = await world.until("web", lambda pod: pod["status"].get("observedGeneration"))
        assert first["status"]["observedGeneration"] == first["metadata"]["generation"]
        await change(world, "web", {"containers": [{"name": "c", "image": "busybox:2"}]})
        newer = lambda pod: pod["metadata"]["generation"] > copy["metadata"]["generation"]  # noqa: E731
        changed = await world.until_host(PODS, "web", newer)
        await world.report("web", {"message": "not yet seen"})
        pod = await world.until("web", lambda pod: pod["status"].get("message") == "not yet seen")
        assert pod["status"]["observedGeneration"] == first["metadata"]["generation"]
        assert pod["metadata"]["generation"] > first["metadata"]["generation"]
        await world.report("web", {"observedGeneration": changed["metadata"]["generation"]})
        seen = lambda pod: pod["status"]["observedGeneration"] == pod["metadata"]["generation"]  # noqa: E731
        await world.until("web", seen)

    in_world(clusters, test)


def test_a_status_that_is_not_taken_whole_is_taken_in_part(clusters: Clusters) -> None:
    """Here the tenant has ended the container of a pod that is not restarted: it cannot run any more."""

    async def test(world: World) -> None:
        await world.pod("web", restartPolicy="Never")
        pod = await world.running("web", "node-a")
        (status,) = pod["status"]["containerStatuses"]
        ended = {**status, "state": {"terminated": {"exitCode": 0}}, "ready": False}
        await world.virtual.patch(
            *(PODS, world.namespace, "web", {"status": {"containerStatuses": [ended]}}), subresource="status"
        )
        await world.report("web", {"message": "more to tell"})
        pod = await world.until("web", lambda pod: pod["status"].get("message") == "more to tell")
        assert "terminated" in pod["status"]["containerStatuses"][0]["state"]
        assert condition(pod, "Ready")["status"] == "True"

    in_world(clusters, test)


def test_a_disruption_budget_inside_is_kept_by_its_own_controller(clusters: Clusters) -> None:
    """The budget counts the virtual pods' readiness, which is the host's word."""

    async def test(world: World) -> None:
        for name in ("one", "two"):
            await world.pod(name, metadata={"labels": {"app": "db"}})
        await world.running("one", "node-a")
        await world.schedule("two", "node-a")
        kubectl = clusters.virtual.kubectl
        budget = ("poddisruptionbudget", "db", "--selector=app=db", "--min-available=1")
        kubectl("-n", world.namespace, "create", *budget)

        async def healthy(count: int) -> bool:
            path = "jsonpath={.status.currentHealthy}"
            found = kubectl("-n", world.namespace, "get", "poddisruptionbudget", "db", "-o", path)
            return found == str(count)

        async def evict() -> None:
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}}
            await world.virtual.create(PODS, world.namespace, eviction, name="one", subresource="eviction")

        await eventually(lambda: healthy(1))
        with pytest.raises(TooManyRequestsError, match="disruption budget"):
            await evict()
        copy = await world.host_get(PODS, "one")
        assert copy is not None
        assert "deletionTimestamp" not in copy["metadata"]
        await world.report("two", running_status())
        await eventually(lambda: healthy(2))
        await evict()
        pod = await world.until("one", lambda pod: pod["metadata"].get("deletionTimestamp"))
        assert condition(pod, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
        copy = await world.until_host(PODS, "one", lambda pod: pod["metadata"].get("deletionTimestamp"))
        assert copy["metadata"]["deletionGracePeriodSeconds"] == 30
        await world.killed("one")
        await world.gone(PODS, "one")

    in_world(clusters, test)
