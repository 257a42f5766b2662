"""Pods and the claims that they use: who waits for whom, at the beginning and at the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from k3k_kubelet.api import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS
from k3k_kubelet.events import timestamp

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.storage.provisioner import GROWS, bound, claim, copy, volume_gone
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, condition, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

QUIET_SECONDS = 2.0
"""How long a pod may wait for its claim before it is told."""
DATA: list[dict[str, Any]] = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]


async def delete(world: World, name: str) -> None:
    """Deletes a claim inside."""
    await world.virtual.delete(PERSISTENT_VOLUME_CLAIMS, world.namespace, name)


def test_a_pod_waits_for_its_claim_and_says_so(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("user", volumes=DATA)
        event = await world.event("user", "HostPodWaitsForClaim")
        assert event["message"] == 'persistentvolumeclaim "data" not found'
        pod = await world.until("user", lambda pod: condition(pod, "PodScheduled"))
        assert condition(pod, "PodScheduled")["reason"] == "HostPodWaitsForClaim"
        assert await world.host_get(PODS, "user") is None
        await claim(world, "data")
        host = await world.host_pod("user")
        (mounted,) = (v for v in host["spec"]["volumes"] if v["name"] == "v")
        assert mounted["persistentVolumeClaim"]["claimName"] == world.host_name("data")
        pod = await world.running("user", "node-a")
        assert "reason" not in pod["status"]

    in_world(clusters, test)


def test_a_pod_made_with_its_claim_has_nothing_to_say(clusters: Clusters) -> None:
    numbers = itertools.count(1)

    async def test(world: World) -> None:
        async def in_time() -> bool:
            """Whether both were on the host so soon that there was nothing to say."""
            name, began = f"user-{next(numbers)}", time.monotonic()
            volume = {"name": "v", "persistentVolumeClaim": {"claimName": name}}
            await asyncio.gather(world.pod(name, volumes=[volume]), claim(world, name))
            await world.host_pod(name)
            if time.monotonic() - began > QUIET_SECONDS:
                return False
            query = {"fieldSelector": f"involvedObject.name={name},involvedObject.kind=Pod"}
            assert await world.virtual.list_all(EVENTS, world.namespace, query=query) == []
            return True

        await eventually(in_time)

    in_world(clusters, test)


def test_a_pod_of_a_refused_claim_points_at_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await claim(world, "data", storageClassName="")
        await world.pod("user", volumes=DATA)
        words = 'persistentvolumeclaim "data" is not on the host: see its events'
        await world.event("user", "HostPodWaitsForClaim", words)
        assert await world.event("data", "HostCopyRefused")

    in_world(clusters, test)


def test_a_claim_stays_until_its_pods_have_ended(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        await world.pod("user", volumes=DATA)
        await world.running("user", "node-a")
        await delete(world, "data")
        await claim(world, "later")
        await copy(world, "later")  # by now the kubelet knows of the deletion before it
        await world.pod("late", volumes=DATA)
        event = await world.event("late", "HostPodWaitsForClaim")
        assert event["message"] == 'persistentvolumeclaim "data" is being deleted'
        host = await copy(world, "data")
        assert not host["metadata"].get("deletionTimestamp")
        await world.virtual.delete(PODS, world.namespace, "user")
        await world.until_host(PODS, "user", lambda host: host["metadata"].get("deletionTimestamp"))
        assert not (await copy(world, "data"))["metadata"].get("deletionTimestamp")
        await world.killed("user")
        await world.gone(PERSISTENT_VOLUME_CLAIMS, "data")
        await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "data")
        await volume_gone(world, found["metadata"]["uid"])

    in_world(clusters, test)


def test_what_a_tenant_forces_inside_ends_no_volume_under_a_running_pod(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await bound(world, "data")
        await world.pod("user", volumes=DATA)
        await world.running("user", "node-a")
        uid = (await copy(world, "data"))["metadata"]["uid"]
        await delete(world, "data")
        free = {"metadata": {"finalizers": None}}
        await world.virtual.patch(PERSISTENT_VOLUME_CLAIMS, world.namespace, "data", free)
        await world.until_host(
            PERSISTENT_VOLUME_CLAIMS, "data", lambda host: host["metadata"].get("deletionTimestamp")
        )
        await claim(world, "data")
        await world.pod("next", volumes=DATA)
        words = "waits for the end of one of that name that was deleted"
        await world.event("next", "HostPodWaitsForClaim", words)
        await never(lambda: world.host_get(PODS, "next"), seconds=1)
        await world.virtual.delete(PODS, world.namespace, "user")
        await world.until_host(PODS, "user", lambda host: host["metadata"].get("deletionTimestamp"))
        await world.killed("user")
        await world.host_pod("next")
        assert (await copy(world, "data"))["metadata"]["uid"] != uid

    in_world(clusters, test)


def test_a_generic_ephemeral_volume_is_the_claim_made_for_the_pod(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": GROWS,
        }
        scratch = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
        await claim(world, "other-v")
        await world.pod("other", volumes=[scratch])
        words = 'persistentvolumeclaim "other-v" was not created for this pod: the pod is not its controller'
        await world.event("other", "HostPodWaitsForClaim", words)
        await world.pod("user", volumes=[scratch])
        host = await world.host_pod("user")
        (mounted,) = (v for v in host["spec"]["volumes"] if v["name"] == "v")
        assert mounted["persistentVolumeClaim"]["claimName"] == world.host_name("user-v")
        await copy(world, "user-v")
        await world.virtual.delete(PODS, world.namespace, "user")
        await world.gone(PODS, "user")
        await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "user-v")

    in_world(clusters, test)


def test_volumes_have_their_virtual_names_in_events_of_pods(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        await world.pod("user", volumes=DATA)
        host, there = await world.host_pod("user"), (await copy(world, "data"))["metadata"]["uid"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{host['metadata']['name']}.1", "namespace": NAMESPACE},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                **{key: host["metadata"][key] for key in ("name", "namespace", "uid")},
            },
            "reason": "FailedAttachVolume",
            "type": "Warning",
            "message": f'AttachVolume.Attach failed for volume "pvc-{there}"',
            "firstTimestamp": timestamp(),
            "lastTimestamp": timestamp(),
            "count": 1,
            "source": {"component": "attachdetach-controller"},
        }
        await world.host.create(EVENTS, NAMESPACE, event)
        told = await world.event("user", "FailedAttachVolume")
        uid = found["metadata"]["uid"]
        assert told["message"] == f'AttachVolume.Attach failed for volume "pvc-{uid}"'

    in_world(clusters, test)
