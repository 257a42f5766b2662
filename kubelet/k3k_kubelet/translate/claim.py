"""PersistentVolumeClaims: the tenant's to the host's, and what the host says of them."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.policy import Policy
from k3k_kubelet.translate import metadata
from k3k_kubelet.translate.names import DOMAIN
from k3k_kubelet.translate.objects import Cluster, HostObject, Object, Refused
from k3k_kubelet.translate.rewrite import Rewrite
from k3k_kubelet.translate.rules.claims import (
    CLASS_ANNOTATION,
    Claim,
    class_of,
    uid_of_volume,
    volume_name,
)
from k3k_kubelet.translate.table.claims import CLAIM_CONDITIONS, CLAIM_SPEC, CLAIM_STATUS

__all__ = [
    "CLASS_ANNOTATION",
    "class_of",
    "is_bound",
    "spec_changes",
    "status_to_virtual",
    "to_host",
    "uid_of_volume",
    "volume_name",
]

DEFAULT_CLASS = f"{DOMAIN}/default-class"
"""Annotation of a copy whose class the host has chosen: the field is the host's."""
_FIXED = ("accessModes", "dataSource", "dataSourceRef", "volumeMode")
"""Fields that no claim may change once it is there, beside its class."""
_CHANGED = ("resources", "volumeAttributesClassName")
_FROM_HOST = tuple(name for name, field in CLAIM_STATUS.items() if field.rule == "host")


def is_bound(claim: Mapping[str, Any]) -> bool:
    """Whether a claim has, or has had, a volume: there may be data that nothing else leads to."""
    return (claim.get("status") or {}).get("phase") in ("Bound", "Lost")


def to_host(
    claim: Mapping[str, Any], cluster: Cluster, policy: Policy, host: Mapping[str, Any] | None = None
) -> HostObject:
    """The host's copy of a claim.

    Args:
        claim: the claim as the virtual API server has it.
        cluster: the virtual cluster.
        policy: what its claims may be. A copy that is bound keeps what it has.
        host: the copy that there is.

    Raises:
        Refused: the host must not have such a claim, or it had and lost it; it names the field.
    """
    fixed = host is not None and is_bound(host)
    notes = Claim(cluster, policy.sync.to_host.persistent_volume_claims, claim, fixed)
    spec = {key: value for key, value in claim["spec"].items() if not fixed or key in _CHANGED}
    made = CLAIM_SPEC.copy(spec, notes, "spec")
    if host is None and is_bound(claim):
        raise Refused(
            "status.phase",
            "the host's claim that this one was bound to is gone, and the volume with it",
            "delete this one and make it anew",
        )
    own = metadata.of_object(claim, cluster)
    if host is not None:
        made = {key: made[key] for key in _CHANGED if key in made} | _as_made(claim, host)
    if "storageClassName" not in made:
        own["annotations"][DEFAULT_CLASS] = "true"
    manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": own, "spec": made}
    return HostObject(manifest, dropped=tuple(notes.dropped))


def _as_made(claim: Mapping[str, Any], host: Mapping[str, Any]) -> Object:
    """What the copy was given when it was made, and nothing that the host has filled in.

    The same manifest is not applied again: while the host's scheduler writes into a claim, that would be in
    its way.
    """
    fixed = {key: host["spec"][key] for key in _FIXED if claim["spec"].get(key) and key in host["spec"]}
    by_host = DEFAULT_CLASS in (host["metadata"].get("annotations") or {})
    if "storageClassName" in host["spec"] and not by_host:
        fixed["storageClassName"] = host["spec"]["storageClassName"]
    return fixed


def spec_changes(claim: Mapping[str, Any], host: Mapping[str, Any]) -> Object | None:
    """What the virtual claim's spec gets once it has a copy, as a merge patch; None if it has that.

    The name of its volume to come, so that the virtual cluster's own controller neither binds another one nor
    asks for a provisioner; and the class that the host has chosen, which it may do some time after the copy
    was made.
    """
    spec, change = claim["spec"], {}
    if not spec.get("volumeName"):
        change["volumeName"] = volume_name(claim["metadata"]["uid"])
    if class_of(claim) is None and host["spec"].get("storageClassName") and not is_bound(claim):
        change["storageClassName"] = host["spec"]["storageClassName"]
    return change or None


def status_to_virtual(host: Mapping[str, Any], claim: Mapping[str, Any], rewrite: Rewrite) -> Object | None:
    """What the status of a bound virtual claim lacks of the host's, as a merge patch; None for nothing.

    Phase and access modes are not in it: the virtual cluster's own controller takes them from the volume.

    Args:
        host: the copy.
        claim: the tenant's claim.
        rewrite: puts virtual names into texts.
    """
    found: Mapping[str, Any] = host.get("status") or {}
    current: Mapping[str, Any] = claim.get("status") or {}
    wanted: Object = {key: found.get(key) for key in _FROM_HOST}
    wanted["conditions"] = _conditions(found, current, rewrite)
    change = {key: value for key, value in wanted.items() if (current.get(key) or None) != (value or None)}
    return {key: value or None for key, value in change.items()} or None


def _conditions(found: Mapping[str, Any], current: Mapping[str, Any], rewrite: Rewrite) -> list[Object]:
    """The host's of those types that Kubernetes has; others stay as they are inside."""
    own = [dict(each) for each in found.get("conditions") or () if each.get("type") in CLAIM_CONDITIONS]
    inside = [each for each in current.get("conditions") or () if each.get("type") not in CLAIM_CONDITIONS]
    for condition in own:
        if condition.get("message"):
            condition["message"] = rewrite(condition["message"])
    return own + inside
