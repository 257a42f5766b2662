"""Volumes inside: as the host's claims are bound, whatever a tenant does to them."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.api import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.storage.provisioner import bound, claim, copy, is_bound, until, volume
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import Object, World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


async def change(world: World, name: str, **fields: Any) -> None:
    """Changes a volume inside, as its cluster-admin may."""
    await world.virtual.patch(PERSISTENT_VOLUMES, None, name, fields)


async def shown(world: World, obj: Object) -> Object:
    """The volume inside of a claim."""
    found = await volume(world, obj["metadata"]["uid"])
    assert found is not None
    return found


def test_what_a_tenant_writes_into_a_volume_is_put_right(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        before = await shown(world, found)
        name = before["metadata"]["name"]
        spec = {
            "capacity": {"storage": "1Ti"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "other",
        }
        await change(world, name, spec=spec)

        async def right() -> bool:
            after = await shown(world, found)
            return all(after["spec"][key] == before["spec"][key] for key in spec)

        await eventually(right)
        await change(world, name, spec={"claimRef": {"name": "other", "uid": None}})

        async def claimed() -> bool:
            after = (await shown(world, found))["spec"]["claimRef"]
            return bool(after.get("uid") == found["metadata"]["uid"] and after["name"] == "data")

        await eventually(claimed)
        await until(world, "data", is_bound)
        assert is_bound(await copy(world, "data"))

    in_world(clusters, test)


def test_a_volume_that_a_tenant_tears_out_comes_back(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        before = await shown(world, found)
        name = before["metadata"]["name"]
        await world.virtual.delete(PERSISTENT_VOLUMES, None, name)
        await change(world, name, metadata={"finalizers": None})

        async def anew() -> bool:
            after = await volume(world, found["metadata"]["uid"])
            return after is not None and after["metadata"]["uid"] != before["metadata"]["uid"]

        await eventually(anew)
        await until(world, "data", is_bound)
        host = await copy(world, "data")
        assert is_bound(host)
        assert not host["metadata"].get("deletionTimestamp")

    in_world(clusters, test)


def test_a_volume_under_the_name_of_one_of_ours_is_replaced(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        name = (await shown(world, found))["metadata"]["name"]
        clusters.stop_kubelet()
        await world.virtual.delete(PERSISTENT_VOLUMES, None, name)
        await change(world, name, metadata={"finalizers": None})
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "capacity": {"storage": "9Gi"},
                "hostPath": {"path": "/etc"},
                "volumeMode": "Block",
            },
        }
        await world.virtual.create(PERSISTENT_VOLUMES, None, body)
        clusters.start_kubelet()

        async def ours() -> bool:
            after = await volume(world, found["metadata"]["uid"])
            return after is not None and after["spec"].get("csi", {}).get("driver") == "k3k-pulumi.io"

        await eventually(ours)
        await until(world, "data", is_bound)

    in_world(clusters, test)


def test_a_claim_whose_copy_is_lost_is_lost_inside_and_never_an_empty_one(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        host = await copy(world, "data")
        uid = host["metadata"]["uid"]
        await claim(world, "later")
        await copy(world, "later")  # by now the kubelet knows that the one before is bound
        await world.host.patch(
            *(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, host["metadata"]["name"]),
            {"metadata": {"finalizers": None}},
        )
        await world.host.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, host["metadata"]["name"], uid=uid)
        await until(world, "data", lambda obj: obj["status"]["phase"] == "Lost")
        assert await volume(world, found["metadata"]["uid"]) is None
        await world.event("data", "HostCopyRefused", "is gone, and the volume with it")
        await never(lambda: world.host_get(PERSISTENT_VOLUME_CLAIMS, "data"), seconds=1)
        await world.pod("user", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
        words = 'persistentvolumeclaim "data" has lost its volume'
        assert (await world.event("user", "HostPodWaitsForClaim", words))["message"] == words

    in_world(clusters, test)


def test_a_claim_whose_volume_the_host_lost_is_lost_inside(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await bound(world, "data")
        host = await copy(world, "data")
        name = host["spec"]["volumeName"]
        await world.host.delete(PERSISTENT_VOLUMES, None, name)
        await world.host.patch(PERSISTENT_VOLUMES, None, name, {"metadata": {"finalizers": None}})
        await until(world, "data", lambda obj: obj["status"]["phase"] == "Lost")
        host = await copy(world, "data")
        assert host["status"]["phase"] == "Lost"
        assert not host["metadata"].get("deletionTimestamp")

    in_world(clusters, test)
