"""PersistentVolumeClaims: which class they have, what they are filled from, which volume they may name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.policy.sync import PersistentVolumeClaims
from k3k_kubelet.translate import names
from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Cluster, Object, Refused
from k3k_kubelet.translate.schema import OMIT

KIND = "PersistentVolumeClaim"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
"""How a claim named its class before `spec.storageClassName`; where it is set, it is the one that counts."""
ANY = "*"

_POLICY = "sync.toHost.persistentVolumeClaims"
_STORAGE = "storage"


@dataclass(slots=True)
class Claim(Notes):
    """One translation.

    Attributes:
        cluster: the virtual cluster.
        policy: what its claims may be.
        obj: the tenant's claim, never changed.
        is_bound: whether its copy has a volume, so that its class is no question any more.
    """

    cluster: Cluster
    policy: PersistentVolumeClaims
    obj: Mapping[str, Any]
    is_bound: bool = False


_PREFIX = "pvc-"


def volume_name(uid: str) -> str:
    """Name of the PersistentVolume of the claim with this uid: as that of a provisioned one anywhere."""
    return f"{_PREFIX}{uid}"


def uid_of_volume(name: str) -> str | None:
    """The reverse; None for a volume that cannot be one of ours."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def class_of(claim: Mapping[str, Any]) -> str | None:
    """The class that a claim asks for; None if it leaves the choice to the cluster."""
    annotations = claim["metadata"].get("annotations") or {}
    found: str | None = annotations.get(CLASS_ANNOTATION, claim["spec"].get("storageClassName"))
    return found


def storage_class(copy: Object, notes: Claim, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """The class by the policy: "" never, as it binds any volume of the host that has no class."""
    if notes.is_bound:
        return copy
    below, allowed = f"{path}.storageClassName", notes.policy.storage_classes
    wanted = class_of(notes.obj)
    if wanted == "":
        raise Refused(
            below,
            '"" binds a volume that is there, and those of the host are not the tenant\'s',
            _allowed(notes),
        )
    if wanted is None:
        if not allowed:
            raise Refused(below, "no class is allowed", _allowed(notes))
        wanted = None if allowed[0] == ANY else allowed[0]
    elif wanted not in allowed and ANY not in allowed:
        raise Refused(below, f"the class {wanted!r} is not allowed", _allowed(notes))
    copy.pop("storageClassName", None)
    return copy if wanted is None else {**copy, "storageClassName": wanted}


def _allowed(notes: Claim) -> str:
    found = ", ".join(notes.policy.storage_classes) or "none"
    return f"{_POLICY}.storageClasses of the cluster's policy has: {found}"


def attributes_class(name: str, notes: Claim, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The VolumeAttributesClass by the policy."""
    if not name:
        return OMIT
    allowed = notes.policy.volume_attributes_classes
    if name not in allowed and ANY not in allowed:
        found = ", ".join(allowed) or "none"
        hint = f"{_POLICY}.volumeAttributesClasses of the cluster's policy has: {found}"
        raise Refused(path, f"the class {name!r} is not allowed", hint)
    return name


def own_volume(name: str, notes: Claim, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """Only the name that we have given: no volume made inside exists on the host."""
    if name not in ("", volume_name(notes.obj["metadata"]["uid"])):
        raise Refused(
            path,
            f"the volume {name!r} of the virtual cluster does not exist on the host",
            "leave it out: the class makes a volume",
        )
    return OMIT


def storage(amounts: Mapping[str, Any], notes: Claim, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The amount of storage."""
    for name in amounts:
        if name != _STORAGE:
            notes.drop(f"{path}[{name!r}]", "claims ask for storage alone")
    return {_STORAGE: amounts[_STORAGE]} if _STORAGE in amounts else OMIT


def data_source(copy: Object, notes: Claim, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A claim of the same namespace, by the name of its copy, or an object of the host that is allowed."""
    group, kind, name = copy.get("apiGroup", ""), copy.get("kind", ""), copy.get("name", "")
    if any(
        (each.api_group, each.kind, each.name) == (group, kind, name) for each in notes.policy.data_sources
    ):
        return copy
    if (group, kind) != ("", KIND):
        what = f"{kind}.{group}" if group else kind
        found = ", ".join(f"{each.kind} {each.name}" for each in notes.policy.data_sources) or "none"
        hint = (
            f"a claim of this namespace, or what {_POLICY}.dataSources of the cluster's policy has: {found}"
        )
        raise Refused(path, f"{what} {name!r} is nothing that a claim may be filled from", hint)
    if not names.is_name(name):
        raise Refused(f"{path}.name", f"{name!r} is not a name that an object can have", "name a claim")
    namespace = notes.obj["metadata"]["namespace"]
    return {**copy, "name": names.host_name(notes.cluster.name, namespace, name)}
