"""Claims inside and their copies on the host: made, refused, kept, resized and removed."""

from __future__ import annotations

import pytest
from k3k_kubelet.api import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, RESOURCE_QUOTAS
from k3k_kubelet.translate import identity

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.refusals import enforced
from kubelet.tests.storage.provisioner import (
    GROWS,
    bound,
    claim,
    copy,
    is_bound,
    provision,
    resized,
    storage_class,
    until,
    volume,
    volume_gone,
)
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import Object, World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def policy(clusters: Clusters, **claims: object) -> None:
    """Sets what claims may be."""
    clusters.set_policy(sync={"toHost": {"persistentVolumeClaims": claims}})


def requested(obj: Object) -> object:
    """How much a claim asks for."""
    return obj["spec"]["resources"]["requests"]["storage"]


async def grow(world: World, name: str, size: str) -> None:
    """Asks for more storage, as a tenant does."""
    change = {"spec": {"resources": {"requests": {"storage": size}}}}
    await world.virtual.patch(PERSISTENT_VOLUME_CLAIMS, world.namespace, name, change)


async def delete(world: World, name: str) -> None:
    """Deletes a claim inside."""
    await world.virtual.delete(PERSISTENT_VOLUME_CLAIMS, world.namespace, name)


def test_a_claim_is_bound_inside_as_its_copy_is_on_the_host(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        made = await claim(world, "data", accessModes=["ReadWriteMany"], metadata={"labels": {"app": "db"}})
        host = await copy(world, "data")
        assert host["spec"]["storageClassName"] == GROWS
        assert "volumeName" not in host["spec"]
        assert host["metadata"]["labels"]["labels.k3k-pulumi.io/app"] == "db"
        waiting = await until(world, "data", lambda obj: obj["spec"].get("volumeName"))
        assert waiting["status"]["phase"] == "Pending"
        await provision(world, "data", "7Gi")
        found = await until(world, "data", is_bound)
        uid = made["metadata"]["uid"]
        assert found["spec"]["volumeName"] == f"pvc-{uid}"
        assert found["status"]["capacity"] == {"storage": "7Gi"}
        assert found["status"]["accessModes"] == ["ReadWriteMany"]
        shown = await eventually(lambda: volume(world, uid))
        assert shown["spec"]["capacity"] == {"storage": "7Gi"}
        assert shown["spec"]["storageClassName"] == GROWS
        assert shown["status"]["phase"] == "Bound"

    in_world(clusters, test)


def test_a_claim_without_a_class_has_the_hosts_default(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        await storage_class(world, "usual", annotations=default)
        await claim(world, "data", storageClassName=None)

        def has_class(host: Object) -> bool:
            return bool(host["spec"].get("storageClassName") == "usual")

        await world.until_host(PERSISTENT_VOLUME_CLAIMS, "data", has_class)
        await provision(world, "data")
        found = await until(world, "data", is_bound)
        assert found["spec"]["storageClassName"] == "usual"
        shown = await volume(world, found["metadata"]["uid"])
        assert shown is not None
        assert shown["spec"]["storageClassName"] == "usual"

    in_world(clusters, test)


def test_what_the_host_says_of_a_copy_is_told_of_the_claim(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await storage_class(world, "late", volumeBindingMode="WaitForFirstConsumer")
        await claim(world, "data", storageClassName="late")
        event = await world.event("data", "WaitForFirstConsumer")
        assert event["involvedObject"]["kind"] == "PersistentVolumeClaim"
        await claim(world, "other", storageClassName="there-is-none")
        event = await world.event("other", "ProvisioningFailed")
        assert 'storageclass.storage.k8s.io "there-is-none" not found' in event["message"]

    in_world(clusters, test)


def test_a_refused_class_is_told_and_becomes_a_copy_when_the_policy_allows_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        policy(clusters, storageClasses=["cheap"])
        try:
            await claim(world, "data", storageClassName="dear")
            message = (
                "spec.storageClassName: the class 'dear' is not allowed; sync.toHost.persistentVolumeClaims."
                "storageClasses of the cluster's policy has: cheap"
            )
            event = await world.event("data", "HostCopyRefused", message)
            assert event["message"] == message
            await claim(world, "usual", storageClassName=None)
            assert (await copy(world, "usual"))["spec"]["storageClassName"] == "cheap"
            await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "data")
            policy(clusters, storageClasses=["cheap", "dear"])
            await copy(world, "data")
        finally:
            clusters.set_policy()

    in_world(clusters, test)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("static", {"storageClassName": ""}),
        ("named", {"volumeName": "disk-of-another"}),
        ("selecting", {"selector": {"matchLabels": {"team": "other"}}}),
    ],
)
def test_no_claim_gets_a_volume_that_the_host_has_already(
    clusters: Clusters, name: str, spec: Object
) -> None:
    """Such a volume waits for anybody's claim, with the data of whoever had it."""

    async def test(world: World) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"disk-of-another-{name}", "labels": {"team": "other"}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/data"},
                "storageClassName": spec.get("storageClassName", "there-is-none"),
            },
        }
        await world.host.create(PERSISTENT_VOLUMES, None, body)
        await claim(world, name, **{"storageClassName": "there-is-none", **spec})
        event = await world.event(name, "HostCopyRefused")
        assert "not the tenant's" in event["message"] or "does not exist on the host" in event["message"]
        assert await world.host_get(PERSISTENT_VOLUME_CLAIMS, name) is None

    in_world(clusters, test)


def test_a_quota_of_the_host_is_told_in_virtual_names(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "disks"},
            "spec": {"hard": {"scarce.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}},
        }
        await world.host.create(RESOURCE_QUOTAS, NAMESPACE, quota)
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "scarce",
        }
        await enforced(world, PERSISTENT_VOLUME_CLAIMS, spec, "exceeded quota")
        await claim(world, "data", storageClassName="scarce")
        event = await world.event("data", "HostCopyFailed", "exceeded quota: disks")
        assert 'persistentvolumeclaims "data" is forbidden' in event["message"]
        await world.host.delete(RESOURCE_QUOTAS, NAMESPACE, "disks")
        await copy(world, "data")

    in_world(clusters, test)


def test_a_claim_grows_where_the_host_lets_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await storage_class(world, GROWS, allowVolumeExpansion=True)
        found = await bound(world, "data")
        await grow(world, "data", "3Gi")
        await world.until_host(PERSISTENT_VOLUME_CLAIMS, "data", lambda host: requested(host) == "3Gi")
        resizing = {"type": "Resizing", "status": "True", "message": world.host_name("data")}
        await resized(world, "data", {"conditions": [resizing], "allocatedResources": {"storage": "3Gi"}})
        shown = await until(world, "data", lambda obj: obj["status"].get("conditions"))
        assert shown["status"]["conditions"][0]["message"] == "data"
        assert shown["status"]["allocatedResources"] == {"storage": "3Gi"}
        assert shown["status"]["capacity"] == {"storage": "1Gi"}
        await resized(world, "data", {"conditions": None, "capacity": {"storage": "3Gi"}})
        await until(world, "data", lambda obj: obj["status"]["capacity"] == {"storage": "3Gi"})
        assert "conditions" not in (await until(world, "data", is_bound))["status"]
        inside = await volume(world, found["metadata"]["uid"])
        assert inside is not None
        assert inside["spec"]["capacity"] == {"storage": "3Gi"}

    in_world(clusters, test)


def test_the_host_says_why_a_claim_does_not_grow(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await storage_class(world, "rigid", allowVolumeExpansion=False)
        await bound(world, "data", storageClassName="rigid")
        await grow(world, "data", "3Gi")
        event = await world.event("data", "HostCopyFailed")
        assert "the storageclass that provisions the pvc must support resize" in event["message"]
        assert requested(await copy(world, "data")) == "1Gi"

    in_world(clusters, test)


def test_a_claim_and_its_volume_go_on_both_sides(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        await delete(world, "data")
        await world.gone(PERSISTENT_VOLUME_CLAIMS, "data")
        await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "data")
        await volume_gone(world, found["metadata"]["uid"])

    in_world(clusters, test)


def test_a_new_claim_waits_for_the_end_of_the_old_one_of_its_name(clusters: Clusters) -> None:
    """The copy of the old one has its data, and pods of the host that still use it."""

    async def test(world: World) -> None:
        old = await bound(world, "data")
        uid = (await copy(world, "data"))["metadata"]["uid"]
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        await world.host.patch(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, world.host_name("data"), held)
        await delete(world, "data")
        await world.gone(PERSISTENT_VOLUME_CLAIMS, "data")
        await world.until_host(
            PERSISTENT_VOLUME_CLAIMS, "data", lambda host: host["metadata"].get("deletionTimestamp")
        )
        shown = await volume(world, old["metadata"]["uid"])
        assert shown is not None
        await eventually(lambda: _phase(world, old["metadata"]["uid"], "Released"))
        new = await claim(world, "data")
        assert (await copy(world, "data"))["metadata"]["uid"] == uid
        free = {"metadata": {"finalizers": None}}
        await world.host.patch(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, world.host_name("data"), free)
        host = await world.until_host(
            PERSISTENT_VOLUME_CLAIMS, "data", lambda host: host["metadata"]["uid"] != uid
        )
        owner = identity.owner_of(host)
        assert owner is not None
        assert owner.uid == new["metadata"]["uid"]

    in_world(clusters, test)


async def _phase(world: World, uid: str, phase: str) -> bool:
    found = await volume(world, uid)
    return found is not None and found["status"]["phase"] == phase


def test_turned_off_claims_keep_their_volumes_and_others_go(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        await claim(world, "waiting")
        await copy(world, "waiting")
        policy(clusters, enabled=False)
        try:
            await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "waiting")
            assert await world.event("data", "HostCopyKept")
            assert is_bound(await copy(world, "data"))
            assert await volume(world, found["metadata"]["uid"]) is not None
            await claim(world, "late")
            await never(lambda: world.host_get(PERSISTENT_VOLUME_CLAIMS, "late"), seconds=1)
            await delete(world, "data")
            await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "data")
        finally:
            clusters.set_policy()
        await copy(world, "waiting")
        await copy(world, "late")

    in_world(clusters, test)


def test_a_narrower_policy_takes_no_volume_away(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await storage_class(world, GROWS, allowVolumeExpansion=True)
        await bound(world, "data", metadata={"labels": {"app": "db"}})
        uid = (await copy(world, "data"))["metadata"]["uid"]
        await claim(world, "waiting")
        await copy(world, "waiting")
        policy(clusters, storageClasses=["cheap"])
        try:
            await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "waiting")
            await grow(world, "data", "2Gi")
            host = await world.until_host(
                PERSISTENT_VOLUME_CLAIMS, "data", lambda host: requested(host) == "2Gi"
            )
            assert host["metadata"]["uid"] == uid
            policy(clusters, selector={"matchLabels": {"app": "web"}})
            assert await world.event("data", "HostCopyKept")
            assert (await copy(world, "data"))["metadata"]["uid"] == uid
        finally:
            clusters.set_policy()

    in_world(clusters, test)


def test_a_restarted_kubelet_makes_nothing_anew(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        found = await bound(world, "data")
        await bound(world, "kept")
        kept = (await copy(world, "kept"))["metadata"]["uid"]
        clusters.stop_kubelet()
        await delete(world, "data")
        await world.gone(PERSISTENT_VOLUME_CLAIMS, "data")
        await claim(world, "other")
        clusters.start_kubelet()
        await copy(world, "other")
        await world.host_gone(PERSISTENT_VOLUME_CLAIMS, "data")
        assert (await copy(world, "kept"))["metadata"]["uid"] == kept
        await volume_gone(world, found["metadata"]["uid"])

    in_world(clusters, test)
