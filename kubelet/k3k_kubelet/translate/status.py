"""A pod's status: the host's up to the virtual cluster, conditions of readiness gates down to the host."""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.translate import identity
from k3k_kubelet.translate.objects import Object
from k3k_kubelet.translate.rewrite import Rewrite, rewriter

_PLAIN = (
    "allocatedResources",
    "hostIP",
    "hostIPs",
    "phase",
    "podIP",
    "podIPs",
    "reason",
    "resize",
    "resources",
    "startTime",
)
_CONTAINERS = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}
_OWNED = frozenset({*_PLAIN, *_CONTAINERS, "message", "conditions"})
"""What the host decides. The rest of the virtual status stays: qosClass cannot be changed, observedGeneration
of the host counts another object's generations, nominations and claims are the virtual cluster's own."""

_CONTAINER_FIELDS = (
    "allocatedResources",
    "allocatedResourcesStatus",
    "containerID",
    "image",
    "imageID",
    "lastState",
    "name",
    "ready",
    "resources",
    "restartCount",
    "started",
    "state",
    "stopSignal",
    "user",
)
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


def to_virtual(host_pod: Mapping[str, Any], virtual_pod: Mapping[str, Any]) -> Object | None:
    """The virtual pod's status as its copy on the host has it.

    Args:
        host_pod: the copy.
        virtual_pod: the tenant's pod with its status so far.

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
    for key, kind in _CONTAINERS.items():
        own = {container["name"] for container in spec.get(kind) or ()}
        entries = [_container(each, volumes, rewrite) for each in found.get(key) or () if each["name"] in own]
        if entries:
            status[key] = entries
    conditions = _conditions(found.get("conditions") or (), current.get("conditions") or (), rewrite)
    if conditions:
        status["conditions"] = conditions
    return None if _comparable(status) == _comparable(current) else status


def patch(virtual_pod: Mapping[str, Any], status: Mapping[str, Any]) -> Object:
    """The JSON merge patch of `pods/status` that gives a virtual pod a status; another uid refuses it."""
    return {
        "metadata": {"uid": virtual_pod["metadata"]["uid"]},
        "status": _merge_patch(virtual_pod.get("status") or {}, status),
    }


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


def _container(found: Mapping[str, Any], volumes: set[str], rewrite: Rewrite) -> Object:
    status = {key: found[key] for key in _CONTAINER_FIELDS if key in found}
    mounts = [mount for mount in found.get("volumeMounts") or () if mount["name"] in volumes]
    if mounts:
        status["volumeMounts"] = mounts
    for key in ("state", "lastState"):
        if key in status:
            status[key] = {kind: _state(state, rewrite) for kind, state in status[key].items()}
    return status


def _state(state: Mapping[str, Any], rewrite: Rewrite) -> Object:
    return {**state, "message": rewrite(state["message"])} if state.get("message") else dict(state)


def _conditions(found: Iterable[Object], current: Iterable[Object], rewrite: Rewrite) -> list[Object]:
    """The host's conditions, then those that the virtual cluster has of its own."""
    ours = [
        _condition(each, rewrite)
        for each in found
        if each["type"] in HOST_CONDITIONS or each["type"] == DISRUPTION
    ]
    taken = HOST_CONDITIONS | {each["type"] for each in ours}
    return ours + [each for each in current if each["type"] not in taken]


def _condition(found: Mapping[str, Any], rewrite: Rewrite) -> Object:
    condition = {key: value for key, value in found.items() if key in _CONDITION_FIELDS and value is not None}
    if "message" in condition:
        condition["message"] = rewrite(condition["message"])
    return condition


_CONDITION_FIELDS = ("lastProbeTime", "lastTransitionTime", "message", "reason", "status", "type")


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
