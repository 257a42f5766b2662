"""What the virtual pods' status says: what the host says, or why there is nothing on the host."""

from __future__ import annotations

import logging
from typing import Any

from k3k_kubelet.api import PODS, InvalidError, PatchType
from k3k_kubelet.api.client import Object
from k3k_kubelet.events import timestamp
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import status as translate_status
from k3k_kubelet.translate.status import SCHEDULED, UNKNOWN, Outcome

log = logging.getLogger(__name__)

_MAX_MESSAGE = 1024


class StatusWriter:
    """Writes the status of virtual pods; what they have already is not written again.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._kept: dict[str, tuple[int, int]] = {}
        """uid of a virtual pod whose API server did not keep all of a status -> that status, what it kept."""

    def forget(self, uid: str) -> None:
        """The virtual pod of that uid is gone."""
        self._kept.pop(uid, None)

    async def mirror(self, pod: Object, host: Object, outcome: Outcome = UNKNOWN) -> None:
        """Gives the virtual pod the status of its copy.

        An API server of another version drops fields that it does not know, and may refuse what it knows
        otherwise: such a field stays as it is, the others are written. The same status is not sent again as
        long as the pod has what was left of it.
        """
        status = translate_status.to_virtual(host, pod, outcome)
        metadata = pod["metadata"]
        uid = metadata["uid"]
        if status is None:
            self._kept.pop(uid, None)
            return
        wanted = translate_status.digest(status)
        if self._kept.get(uid) == (wanted, translate_status.digest(pod.get("status") or {})):
            return
        try:
            written = await self.write(pod, status)
        except InvalidError as error:
            left = translate_status.without(status, pod.get("status"), error.details.get("causes") or ())
            if left is None:
                raise
            log.warning("status not taken whole", extra={"pod": metadata["name"], "error": str(error)})
            written = await self.write(pod, left)
        kept = translate_status.digest(written.get("status") or {})
        if kept == wanted:
            self._kept.pop(uid, None)
        else:
            self._kept[uid] = (wanted, kept)

    async def write(self, pod: Object, status: Object) -> Object:
        """Gives the virtual pod a status; returns the pod as it is then.

        Raises:
            ApiError: Among others, when another pod has the name by now.
        """
        metadata = pod["metadata"]
        written = await self._shared.virtual.patch(
            *(PODS, metadata["namespace"], metadata["name"], translate_status.patch(pod, status)),
            kind=PatchType.STRATEGIC,
            subresource="status",
        )
        self._shared.stores.virtual_pods.observe(written)
        return written

    async def pending(self, pod: Object, reason: str, message: str) -> None:
        """Says why the pod has no copy: `kubectl get` shows the reason, `describe` the message."""
        status = with_reason(pod.get("status") or {}, reason, message[:_MAX_MESSAGE])
        if status != pod.get("status"):
            await self.write(pod, status)


def with_reason(status: Object, reason: str, message: str) -> Object:
    """A pending pod's status with a reason and PodScheduled False; `status` itself if it says so already."""
    conditions = list(status.get("conditions") or ())
    found = next((each for each in conditions if each["type"] == SCHEDULED), None)
    wanted = {"type": SCHEDULED, "status": "False", "reason": reason, "message": message}
    if found is None or any(found.get(key) != value for key, value in wanted.items()):
        changed = found is None or found["status"] != "False"
        since = timestamp() if changed or found is None else found.get("lastTransitionTime", timestamp())
        others = [each for each in conditions if each is not found]
        conditions = [*others, {**wanted, "lastTransitionTime": since}]
    return {**status, "phase": "Pending", "reason": reason, "message": message, "conditions": conditions}


def lost(pod: Object, message: str, *, reason: str = "HostPodLost") -> Object:
    """The status of a pod whose copy is gone: Failed.

    What ran is taken as killed, as Kubernetes' kubelet does with containers it cannot find (exit code 137,
    ContainerStatusUnknown).
    """
    status = {**(pod.get("status") or {}), "phase": "Failed", "reason": reason, "message": message}
    now = timestamp()
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        if status.get(kind):
            status[kind] = [_ended(container, now) for container in status[kind]]
    conditions = []
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Ready", "ContainersReady") and condition["status"] != "False":
            condition = {**condition, "status": "False", "reason": "PodFailed", "lastTransitionTime": now}
        conditions.append(condition)
    status["conditions"] = conditions
    return status


def _ended(container: dict[str, Any], now: str) -> dict[str, Any]:
    state = container.get("state") or {}
    if "terminated" in state:
        return container
    ended: dict[str, Any] = {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "finishedAt": now,
    }
    if "running" in state:
        ended["startedAt"] = state["running"].get("startedAt")
        ended["containerID"] = container.get("containerID", "")
    return {**container, "state": {"terminated": ended}, "ready": False, "started": False}
