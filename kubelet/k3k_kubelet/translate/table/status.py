"""The field table of a pod's status: whose word each field is.

The rule for fields that Kubernetes adds: what is not named here is not taken from the host, whose value may
name its own objects or mean nothing to the version inside; what stands inside already is left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

StatusRule = Literal["host", "translated", "inside", "dropped"]


@dataclass(frozen=True, slots=True)
class StatusField:
    """A row of the table.

    Attributes:
        rule: `host`: as the host has it. `translated`: the host's with virtual names, merged, or mapped.
            `inside`: the virtual cluster's own, never the host's. `dropped`: of no side.
        why: the reason, or what it is turned into.
    """

    rule: StatusRule
    why: str = ""


def _host(why: str = "") -> StatusField:
    return StatusField("host", why)


def _translated(why: str) -> StatusField:
    return StatusField("translated", why)


POD_STATUS: Mapping[str, StatusField] = {
    "allocatedResources": _host("what the node has set aside, during a resize too"),
    "conditions": _translated(
        "those of the host's kubelet and scheduler from the host, others stay as they are set inside"
    ),
    "containerStatuses": _translated("of the pod's own containers; injected sidecars have none inside"),
    "ephemeralContainerStatuses": _translated("the same; one that the host does not get waits, and says why"),
    "extendedResourceClaimStatus": StatusField("inside", "ResourceClaims of the host are not the tenant's"),
    "hostIP": _host("the real node's"),
    "hostIPs": _host("the real node's"),
    "initContainerStatuses": _translated("as containerStatuses"),
    "message": _translated("with virtual names"),
    "nodeAllocatableResourceClaimStatuses": StatusField(
        "inside", "ResourceClaims of the host are not the tenant's"
    ),
    "nominatedNodeName": StatusField("inside", "a nomination of the host ends with the binding, which shows"),
    "observedGeneration": _translated(
        "the virtual generation, once the host has all of its spec and the host's kubelet has seen it"
    ),
    "phase": _host(),
    "podIP": _host("pods have their real addresses"),
    "podIPs": _host("pods have their real addresses"),
    "qosClass": StatusField("inside", "made of the spec by the API server, and never changed"),
    "reason": _host(),
    "resize": _host("of Kubernetes 1.27 to 1.32; conditions tell it since"),
    "resourceClaimStatuses": StatusField("inside", "ResourceClaims of the host are not the tenant's"),
    "resources": _host("what is in force, during a resize too"),
    "startTime": _host(),
    "volumeHealth": StatusField("inside", "volumes of the host have other names"),
}
CONTAINER_STATUS: Mapping[str, StatusField] = {
    "allocatedResources": _host(),
    "allocatedResourcesStatus": _host(),
    "containerID": _host("exec and logs go by it on the node"),
    "image": _host(),
    "imageID": _host(),
    "lastState": _translated("messages with virtual names"),
    "name": _host(),
    "ready": _host(),
    "resources": _host(),
    "restartCount": _host(),
    "started": _host(),
    "state": _translated("messages with virtual names"),
    "stopSignal": _host(),
    "user": _host(),
    "volumeMounts": _translated("of the pod's own volumes"),
}
CONTAINER_STATE: Mapping[str, tuple[str, ...]] = {
    "running": ("startedAt",),
    "terminated": ("containerID", "exitCode", "finishedAt", "message", "reason", "signal", "startedAt"),
    "waiting": ("message", "reason"),
}
VOLUME_MOUNT_STATUS = ("mountPath", "name", "readOnly", "recursiveReadOnly", "volumeStatus")
POD_CONDITION: Mapping[str, StatusField] = {
    "lastProbeTime": _host(),
    "lastTransitionTime": _host(),
    "message": _translated("with virtual names"),
    "observedGeneration": _translated("the virtual generation, as in the status"),
    "reason": _host(),
    "status": _host(),
    "type": _host(),
}
