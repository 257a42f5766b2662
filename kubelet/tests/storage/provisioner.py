"""What a host's provisioner and resizer do, on a host without nodes: the host's own controller binds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from k3k_kubelet.api import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, AlreadyExistsError, Resource

from kubelet.tests.clusters import NAMESPACE
from kubelet.tests.waiting import eventually
from kubelet.tests.world import Object, World

STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
GROWS = "grows"
"""A class of the host whose volumes can grow."""


async def claim(world: World, name: str, size: str = "1Gi", **spec: Any) -> Object:
    """Creates a claim inside, of the class GROWS unless `spec` says otherwise."""
    whole = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": GROWS,
        **spec,
    }
    metadata = whole.pop("metadata", {})
    return await world.create(PERSISTENT_VOLUME_CLAIMS, name, metadata=metadata, spec=whole)


async def copy(world: World, name: str) -> Object:
    """The host's copy of a claim, as soon as it is there."""
    return await world.until_host(PERSISTENT_VOLUME_CLAIMS, name, bool)


async def until(world: World, name: str, check: Callable[[Object], object]) -> Object:
    """A claim inside, as soon as `check` is true of it."""

    async def found() -> Object | None:
        obj = await world.get(PERSISTENT_VOLUME_CLAIMS, name)
        return obj if obj is not None and check(obj) else None

    obj = await eventually(found)
    assert obj is not None
    return obj


def is_bound(obj: Object) -> bool:
    """Whether a claim is bound."""
    return bool(obj["status"].get("phase") == "Bound")


async def bound(world: World, name: str, size: str = "1Gi", **spec: Any) -> Object:
    """A claim inside that is bound on both sides."""
    await claim(world, name, size, **spec)
    await provision(world, name, size)
    return await until(world, name, is_bound)


async def provision(world: World, name: str, size: str = "1Gi") -> Object:
    """Does what a provisioner does for a copy: makes a volume for it; returns the volume."""
    host = await copy(world, name)
    metadata, spec = host["metadata"], host["spec"]
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": "example.com/disks"},
        },
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": size},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": NAMESPACE,
                **{key: metadata[key] for key in ("name", "uid")},
            },
            "hostPath": {"path": "/data"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.get("storageClassName", ""),
            "volumeMode": spec["volumeMode"],
        },
    }
    made = await world.host.create(PERSISTENT_VOLUMES, None, body)
    await world.until_host(PERSISTENT_VOLUME_CLAIMS, name, is_bound)
    return made


async def resized(world: World, name: str, status: Object) -> None:
    """Does what a resizer does: writes the copy's status."""
    await world.host.patch(
        *(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, world.host_name(name), {"status": status}),
        subresource="status",
    )


async def volume(world: World, uid: str) -> Object | None:
    """The volume inside of the claim with that uid."""
    query = {"fieldSelector": f"metadata.name=pvc-{uid}"}
    found = await world.virtual.list_all(PERSISTENT_VOLUMES, None, query=query)
    return next(iter(found), None)


async def volume_gone(world: World, uid: str) -> None:
    """Returns when the volume inside of the claim with that uid is gone."""

    async def gone() -> bool:
        return await volume(world, uid) is None

    await eventually(gone)


async def storage_class(world: World, name: str, **fields: Any) -> None:
    """Makes a class on the host, unless it has it."""
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": fields.pop("annotations", {})},
        "provisioner": "example.com/disks",
        **fields,
    }
    try:
        await world.host.create(STORAGE_CLASSES, None, body)
    except AlreadyExistsError:
        return
