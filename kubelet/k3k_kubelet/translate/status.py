"""A pod's status: the host's up to the virtual cluster, conditions of readiness gates down to the host."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from k3k_kubelet.translate import identity
from k3k_kubelet.translate.objects import Object
from k3k_kubelet.translate.rewrite import Rewrite, rewriter
from k3k_kubelet.translate.table.status import (
    CONTAINER_STATE,
    CONTAINER_STATUS,
    POD_CONDITION,
    POD_STATUS,
    VOLUME_MOUNT_STATUS,
)
from k3k_kubelet.translate.update import own_containers

_PLAIN = tuple(name for name, field in POD_STATUS.items() if field.rule == "host")
_CONTAINERS = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}
_OWNED = frozenset({*_PLAIN, *_CONTAINERS, "message", "conditions"})
"""What the host decides; the rest of the virtual status stays as it is, what this version does not know
included."""

_MERGED_BY_IP = ("hostIPs", "podIPs")
"""Lists that a strategic merge patch would add to."""

_CONTAINER_FIELDS = tuple(name for name in CONTAINER_STATUS if name != "volumeMounts")
HOST_CONDITIONS = frozenset(
    {
        "AllContainersRestarting",
        "ContainersReady",
        "Initialized",
        "PodReadyToStartContainers",
        "PodResizeInProgress",
        "PodResizePending",
        "PodScheduled",
        "Ready",
    }
)
"""Condition types that the kubelet and the scheduler of the host decide."""

DISRUPTION = "DisruptionTarget"
"""Condition type that both sides set: the host's wins, else the virtual cluster's stays."""

SCHEDULED = "PodScheduled"
"""Condition type that each API server sets by itself when a pod is bound, so with a time of its own."""

RESIZE_PENDING = "PodResizePending"
"""Condition type of a resize that has not begun; its reasons are Deferred and Infeasible."""

REFUSED = "EphemeralContainerRefused"
"""Reason of an ephemeral container that the host does not get: of its event, and why it waits."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the virtual pod's spec on the host.

    Attributes:
        complete: whether the copy has all of the spec, or the status says what it does not have. Only then
            does the status stand for the virtual pod's generation.
        refused: ephemeral container that the host does not get -> why.
        resize: condition PodResizePending of a resize that the host's API server does not take.
    """

    complete: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    resize: Object | None = None


UNKNOWN = Outcome()
"""For a status that says nothing of the spec: the generation that it stands for stays as it is."""


def to_virtual(
    host_pod: Mapping[str, Any], virtual_pod: Mapping[str, Any], outcome: Outcome = UNKNOWN
) -> Object | None:
    """The virtual pod's status as its copy on the host has it.

    Args:
        host_pod: the copy.
        virtual_pod: the tenant's pod with its status so far.
        outcome: what the copy has of the virtual pod's spec as it is now.

    Returns:
        The whole new status, or None if the virtual pod has it already.
    """
    current: Mapping[str, Any] = virtual_pod.get("status") or {}
    found: Mapping[str, Any] = host_pod.get("status") or {}
    rewrite = _rewriter(host_pod, virtual_pod)
    status: Object = {key: value for key, value in current.items() if key not in _OWNED}
    status |= {key: found[key] for key in _PLAIN if found.get(key)}
    if found.get("message"):
        status["message"] = rewrite(found["message"])
    spec = virtual_pod["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    ours = own_containers(host_pod)
    for key, kind in _CONTAINERS.items():
        own = {container["name"] for container in spec.get(kind) or ()} & ours
        entries = [_container(each, volumes, rewrite) for each in found.get(key) or () if each["name"] in own]
        if kind == "ephemeralContainers":
            entries += _refused(spec.get(kind) or (), outcome.refused)
        if entries:
            status[key] = entries
    generations = _Generations(host_pod, virtual_pod, outcome.complete)
    observed = generations.of_status()
    if observed:
        status["observedGeneration"] = observed
    known = current.get("conditions") or ()
    conditions = _conditions(found.get("conditions") or (), known, rewrite, generations)
    if outcome.resize is not None:
        conditions = [each for each in conditions if each["type"] != RESIZE_PENDING]
        conditions.append(_since(outcome.resize, _by_type(known)))
    if conditions:
        status["conditions"] = conditions
    return None if _comparable(status) == _comparable(current) else status


def digest(status: Mapping[str, Any]) -> int:
    """A number that two statuses have in common if they say the same."""
    return hash(json.dumps(_comparable(status), sort_keys=True))


def without(
    status: Mapping[str, Any], current: Mapping[str, Any] | None, causes: Iterable[Mapping[str, Any]]
) -> Object | None:
    """A status whose fields that an API server has refused stay as they are.

    Args:
        status: the status that was refused.
        current: the status that the pod has.
        causes: of the Status that the API server answered.

    Returns:
        None if nothing of the status was the cause.
    """
    paths = [each.get("field", "").split(".") for each in causes]
    refused = {path[1].partition("[")[0] for path in paths if path[0] == "status" and len(path) > 1}
    if not refused & status.keys():
        return None
    left = {key: value for key, value in status.items() if key not in refused}
    return left | {key: value for key, value in (current or {}).items() if key in refused}


def patch(virtual_pod: Mapping[str, Any], status: Mapping[str, Any]) -> Object:
    """The strategic merge patch of `pods/status` that gives a virtual pod a status; another uid refuses it.

    As a kubelet's it names the conditions that change, one by one: somebody inside may be setting another
    one, a readiness gate, at this moment.
    """
    old = virtual_pod.get("status") or {}
    plain = [{key: value for key, value in each.items() if key != "conditions"} for each in (old, status)]
    change = _merge_patch(*plain)
    for key in _MERGED_BY_IP:
        if change.get(key) and old.get(key):
            change[key] = [{"$patch": "replace"}, *change[key]]
    conditions = _changed_conditions(old.get("conditions") or (), status.get("conditions") or ())
    if conditions:
        change["conditions"] = conditions
    return {"metadata": {"uid": virtual_pod["metadata"]["uid"]}, "status": change}


def gates_to_host(virtual_pod: Mapping[str, Any], host_pod: Mapping[str, Any]) -> Object | None:
    """The conditions of the pod's readiness gates, for the host: its kubelet and its endpoints go by them.

    Returns:
        A strategic merge patch of the host's `pods/status`, or None if the host has them already.
    """
    gates = {gate["conditionType"] for gate in virtual_pod["spec"].get("readinessGates") or ()}
    gates -= HOST_CONDITIONS | {DISRUPTION}
    if not gates:
        return None
    wanted = _by_type((virtual_pod.get("status") or {}).get("conditions") or ())
    present = _by_type((host_pod.get("status") or {}).get("conditions") or ())
    changes: list[Object] = []
    for gate in sorted(gates):
        if gate in wanted:
            condition = _condition(wanted[gate], str)
            if gate not in present or _condition(present[gate], str) != condition:
                changes.append(condition)
        elif gate in present:
            changes.append({"$patch": "delete", "type": gate})
    if not changes:
        return None
    return {"metadata": {"uid": host_pod["metadata"]["uid"]}, "status": {"conditions": changes}}


def _rewriter(host_pod: Mapping[str, Any], virtual_pod: Mapping[str, Any]) -> Rewrite:
    owner = identity.owner_of(host_pod)
    metadata = host_pod["metadata"]
    return rewriter(virtual_pod, owner.cluster if owner else "", metadata["namespace"], metadata["uid"])


@dataclass(frozen=True, slots=True)
class _Generations:
    """The virtual generation that what the host says stands for.

    Each API server counts the changes of its own pod's spec, and the copy changes more or less often than
    the original. So numbers are not translated: the host's kubelet has seen the copy as it is now or it has
    not, and the copy as it is now has all of the virtual spec or it has not. If both, that is the virtual
    generation of now; if not, what was known before stays.
    """

    host_pod: Mapping[str, Any]
    virtual_pod: Mapping[str, Any]
    complete: bool

    def of(self, observed: int) -> int | None:
        """What `observed`, a generation of the host pod, stands for; None if that is not known (any more).

        None also where the virtual API server counts no generations of pods (before 1.33).
        """
        wanted: int | None = self.virtual_pod["metadata"].get("generation")
        seen = observed >= (self.host_pod["metadata"].get("generation") or 0)
        return wanted if wanted and self.complete and seen else None

    def of_status(self) -> int | None:
        """What the host pod's status stands for.

        A host whose kubelet does not tell (before 1.34) has begun with the pod and says no more: then what
        the host's API server has taken counts, or clients inside that wait would do so for ever.
        """
        found = self.host_pod.get("status") or {}
        observed = found.get("observedGeneration")
        if not observed and found.get("startTime"):
            observed = self.host_pod["metadata"].get("generation") or 1
        return self.of(observed) if observed else None


def _container(found: Mapping[str, Any], volumes: set[str], rewrite: Rewrite) -> Object:
    status = {key: found[key] for key in _CONTAINER_FIELDS if key in found}
    mounts = [
        {key: mount[key] for key in VOLUME_MOUNT_STATUS if key in mount}
        for mount in found.get("volumeMounts") or ()
        if mount["name"] in volumes
    ]
    if mounts:
        status["volumeMounts"] = mounts
    for key in ("state", "lastState"):
        if key in status:
            status[key] = {
                kind: _state(status[key][kind], fields, rewrite)
                for kind, fields in CONTAINER_STATE.items()
                if kind in status[key]
            }
    return status


def _state(state: Mapping[str, Any], fields: Iterable[str], rewrite: Rewrite) -> Object:
    found = {key: state[key] for key in fields if key in state}
    return found | {"message": rewrite(found["message"])} if found.get("message") else found


def _refused(containers: Iterable[Mapping[str, Any]], refused: Mapping[str, str]) -> list[Object]:
    """Statuses of ephemeral containers that the host does not get: `kubectl debug` prints the message."""
    return [
        {
            "name": each["name"],
            "image": each.get("image", ""),
            "imageID": "",
            "lastState": {},
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": REFUSED, "message": refused[each["name"]]}},
        }
        for each in containers
        if each["name"] in refused
    ]


def _since(condition: Object, before: Mapping[str, Object]) -> Object:
    """A condition with the time since when it is so inside."""
    known = before.get(condition["type"], {})
    same = known.get("status") == condition["status"] and known.get("reason") == condition.get("reason")
    since = known.get("lastTransitionTime") if same else None
    return {**condition, "lastTransitionTime": since} if since else condition


def _conditions(
    found: Iterable[Object], current: Iterable[Object], rewrite: Rewrite, generations: _Generations
) -> list[Object]:
    """The host's conditions, then those that the virtual cluster has of its own."""
    before = _by_type(current)
    ours = []
    for each in found:
        if each["type"] not in HOST_CONDITIONS and each["type"] != DISRUPTION:
            continue
        condition = _condition(each, rewrite)
        if each["type"] == SCHEDULED:
            condition = _since(condition, before)
        told = each.get("observedGeneration")
        observed = generations.of(told) if told else None
        observed = observed or before.get(each["type"], {}).get("observedGeneration")
        ours.append(condition | ({"observedGeneration": observed} if observed else {}))
    taken = HOST_CONDITIONS | {each["type"] for each in ours}
    return ours + [each for each in current if each["type"] not in taken]


def _condition(found: Mapping[str, Any], rewrite: Rewrite) -> Object:
    condition = {key: value for key, value in found.items() if key in _CONDITION_FIELDS and value is not None}
    if "message" in condition:
        condition["message"] = rewrite(condition["message"])
    return condition


_CONDITION_FIELDS = tuple(name for name in POD_CONDITION if name != "observedGeneration")


def _comparable(status: Mapping[str, Any]) -> Object:
    """A status without what its order or its nulls alone make different."""
    conditions = status.get("conditions") or ()
    plain = {
        key: value for key, value in status.items() if key != "conditions" and value not in (None, [], {}, "")
    }
    return plain | {
        "conditions": {
            each["type"]: {key: value for key, value in each.items() if value is not None}
            for each in conditions
        }
    }


def _by_type(conditions: Iterable[Object]) -> dict[str, Object]:
    return {each["type"]: each for each in conditions}


def _changed_conditions(old: Iterable[Object], new: Iterable[Object]) -> list[Object]:
    before = {each["type"]: {key: value for key, value in each.items() if value is not None} for each in old}
    after = _by_type(new)
    changed = [
        dict.fromkeys(key for key in before.get(kind, ()) if key not in condition) | condition
        for kind, condition in after.items()
        if before.get(kind) != condition
    ]
    return changed + [{"$patch": "delete", "type": kind} for kind in before if kind not in after]


def _merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    change: Object = dict.fromkeys(key for key in old if key not in new)
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            below = _merge_patch(before, value)
            if below:
                change[key] = below
        elif value != before:
            change[key] = value
    return change
