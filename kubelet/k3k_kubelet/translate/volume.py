"""PersistentVolumes inside: what a host's claim is bound to, as far as the claim itself tells.

The host's volume is never read: that would take a right on all volumes of the host. Nothing of these
volumes reaches the host either; what a tenant writes into one is put right and means nothing.
"""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.claim import volume_name
from k3k_kubelet.translate.names import DOMAIN
from k3k_kubelet.translate.objects import Object

PROVISIONER = DOMAIN
"""Who has made the volume: its annotation of that name keeps the virtual cluster's own controller from
deleting it by a plugin, and its driver leads to nothing that any component would mount."""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
VOLUME_UID = f"{DOMAIN}/volume-uid"
"""Annotation of ours on a claim inside: its last change says that the volume of this uid is bound."""

_KIND = "PersistentVolumeClaim"
_COMPARED = (
    "accessModes",
    "capacity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
)
_CLAIM_REF = ("apiVersion", "kind", "name", "namespace", "uid")


def to_virtual(host: Mapping[str, Any], claim: Mapping[str, Any]) -> Object | None:
    """The volume inside of a claim whose copy is bound; None for one that is not.

    Args:
        host: the copy.
        claim: the tenant's claim.
    """
    status, spec, metadata = host.get("status") or {}, host["spec"], claim["metadata"]
    if status.get("phase") != "Bound" or not status.get("capacity"):
        return None
    made: Object = {
        "accessModes": status.get("accessModes") or spec.get("accessModes") or [],
        "capacity": dict(status["capacity"]),
        "claimRef": {
            "apiVersion": "v1",
            "kind": _KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "csi": {"driver": PROVISIONER, "volumeHandle": host["metadata"]["uid"]},
        "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": spec.get("storageClassName") or "",
        "volumeMode": spec.get("volumeMode") or "Filesystem",
    }
    if status.get("currentVolumeAttributesClassName"):
        made["volumeAttributesClassName"] = status["currentVolumeAttributesClassName"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(metadata["uid"]), "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": made,
    }


def changes(volume: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object | None:
    """What a volume inside is to be changed in, as a merge patch; None if it is as it should be."""
    found, spec = volume["spec"], wanted["spec"]
    change: Object = {key: spec[key] for key in _COMPARED if key in spec and found.get(key) != spec[key]}
    reference = found.get("claimRef") or {}
    if any(reference.get(key) != spec["claimRef"][key] for key in _CLAIM_REF):
        change["claimRef"] = spec["claimRef"]
    annotations = volume["metadata"].get("annotations") or {}
    made: Object = {"spec": change} if change else {}
    if annotations.get(PROVISIONED_BY) != PROVISIONER:
        made["metadata"] = {"annotations": {PROVISIONED_BY: PROVISIONER}}
    return made or None


def wake(claim: Mapping[str, Any], volume: Mapping[str, Any]) -> Object | None:
    """A change of the metadata of a claim that is not bound though its volume is; None for one that is.

    Args:
        claim: the tenant's claim.
        volume: the volume inside that it names.
    """
    phases = [(each.get("status") or {}).get("phase") for each in (claim, volume)]
    annotations = claim["metadata"].get("annotations") or {}
    uid = volume["metadata"]["uid"]
    if phases[0] == "Bound" or phases[1] != "Bound" or annotations.get(VOLUME_UID) == uid:
        return None
    return {"annotations": {VOLUME_UID: uid}}


def is_ours(volume: Mapping[str, Any]) -> bool:
    """Whether a volume inside is one that we made, which is to go when the host's claim has gone.

    By its driver, which nobody can change: a tenant's own volumes are left alone.
    """
    return bool(((volume["spec"].get("csi") or {}).get("driver")) == PROVISIONER)
