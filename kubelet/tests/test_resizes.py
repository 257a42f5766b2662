"""Resizes of a running pod: what the host makes of them, and what is told inside."""

from __future__ import annotations

import pytest
from k3k_kubelet.api import PODS, ForbiddenError

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.refusals import full
from kubelet.tests.test_updates import Object, cpu_of, resize, sized
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, condition, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")


def test_a_resize_goes_down_and_what_the_node_does_about_it_shows(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await sized(world, "web")
        await resize(world, "web", "300m")
        copy = await world.until_host(PODS, "web", lambda pod: cpu_of(pod) == "300m")
        deferred = {"type": "PodResizePending", "status": "True", "reason": "Deferred", "message": "no cpu"}
        await world.report("web", {"conditions": [deferred]})
        pod = await world.until("web", lambda pod: condition(pod, "PodResizePending"))
        assert condition(pod, "PodResizePending")["reason"] == "Deferred"
        status = copy["status"]["containerStatuses"][0]
        done = {"resources": {"requests": {"cpu": "300m"}}, "allocatedResources": {"cpu": "300m"}}
        gone = {"$patch": "delete", "type": "PodResizePending"}
        await world.report("web", {"conditions": [gone], "containerStatuses": [status | done]})
        pod = await world.until("web", lambda pod: not condition(pod, "PodResizePending"))
        assert pod["status"]["containerStatuses"][0].items() >= done.items()

    in_world(clusters, test)


def test_a_resize_that_the_hosts_quota_forbids_is_deferred(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await sized(world, "web")
        quota = f"cpu-{world.namespace}"
        clusters.host.kubectl("-n", NAMESPACE, "create", "quota", quota, "--hard=requests.cpu=1")
        try:
            await full(world, quota, resources={"requests": {"cpu": "2"}})
            await resize(world, "web", "2")
            words = f'pods "web" is forbidden: exceeded quota: {quota}'
            await world.event("web", "HostPodNotUpdated", words)

            def says_why(pod: Object) -> bool:
                return "exceeded quota" in condition(pod, "PodResizePending").get("message", "")

            pod = await world.until("web", says_why)
            pending = condition(pod, "PodResizePending")
            assert (pending["reason"], pending["status"]) == ("Deferred", "True")
            assert pending["observedGeneration"] == pod["metadata"]["generation"]
            copy = await world.host_get(PODS, "web")
            assert copy is not None
            assert cpu_of(copy) == "100m"
        finally:
            clusters.host.kubectl("-n", NAMESPACE, "delete", "quota", quota)
        await world.until_host(PODS, "web", lambda pod: cpu_of(pod) == "2")
        await world.until("web", lambda pod: not condition(pod, "PodResizePending"))

    in_world(clusters, test)


def test_a_resize_that_is_taken_back_is_pending_no_more(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await sized(world, "web")
        quota = f"cpu-{world.namespace}"
        clusters.host.kubectl("-n", NAMESPACE, "create", "quota", quota, "--hard=requests.cpu=1")
        try:
            await full(world, quota, resources={"requests": {"cpu": "3"}})
            await resize(world, "web", "3")
            await world.until("web", lambda pod: condition(pod, "PodResizePending"))
            await resize(world, "web", "100m")
            await world.until("web", lambda pod: not condition(pod, "PodResizePending"))
        finally:
            clusters.host.kubectl("-n", NAMESPACE, "delete", "quota", quota)

    in_world(clusters, test)


def test_a_resize_that_the_host_holds_for_wrong_is_infeasible(clusters: Clusters) -> None:
    """Here the host has given the container a limit of its own, which the tenant does not see in his spec."""

    async def test(world: World) -> None:
        limit_range = f"""
            {{"apiVersion": "v1", "kind": "LimitRange", "metadata": {{"name": "{world.namespace}"}},
             "spec": {{"limits": [{{"type": "Container", "default": {{"cpu": "200m"}}}}]}}}}
        """
        clusters.host.kubectl("-n", NAMESPACE, "create", "-f", "-", stdin=limit_range)

        async def limited() -> bool:
            try:
                pod = await world.dry_run(resources={"requests": {"cpu": "100m"}})
            except ForbiddenError:  # by a quota of the test before: its end is known a moment later
                return False
            return "limits" in pod["spec"]["containers"][0]["resources"]

        try:
            await eventually(limited)
            await sized(world, "web")
        finally:
            clusters.host.kubectl("-n", NAMESPACE, "delete", "limitrange", world.namespace)
        await resize(world, "web", "300m")
        pod = await world.until("web", lambda pod: condition(pod, "PodResizePending"))
        assert condition(pod, "PodResizePending")["reason"] == "Infeasible"
        assert "must be less than or equal to cpu limit" in condition(pod, "PodResizePending")["message"]
        assert world.host_name("web") not in condition(pod, "PodResizePending")["message"]
        await resize(world, "web", "150m")
        await world.until_host(PODS, "web", lambda pod: cpu_of(pod) == "150m")
        await world.until("web", lambda pod: not condition(pod, "PodResizePending"))

    in_world(clusters, test)
