"""Changes of a running pod, given to its copy on the host: the spec, ephemeral containers, resizes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import orjson

from k3k_kubelet.api import PODS, ApiError, NotFoundError, PatchType
from k3k_kubelet.api.client import Object
from k3k_kubelet.events import timestamp
from k3k_kubelet.sync.config import ConfigController
from k3k_kubelet.sync.isolation import Isolation
from k3k_kubelet.sync.shared import NameTakenError, Shared
from k3k_kubelet.sync.stores import used_by
from k3k_kubelet.translate import Refused, ephemeral, update
from k3k_kubelet.translate.status import REFUSED, RESIZE_PENDING, Outcome
from k3k_kubelet.translate.update import Changes

log = logging.getLogger(__name__)

NOT_UPDATED = "HostPodNotUpdated"
"""Reason of the event about a change that does not reach the host."""
Failure = ApiError | NameTakenError
"""What keeps a change from the host; one of them does not keep the others."""
_FORBIDDEN, _CONFLICT, _TOO_MANY = 403, 409, 429


@dataclass(slots=True)
class _Answers:
    """What the host's API server said no to, of one pod.

    Attributes:
        containers: ephemeral container -> its words.
        resize: the resize, as JSON.
        condition: what the virtual pod says of it.
    """

    containers: dict[str, str] = field(default_factory=dict)
    resize: bytes = b""
    condition: Object | None = None


class Updates:
    """Brings changes of virtual pods to their copies, and knows which the host does not take.

    What the host refused is kept in memory alone: after a restart it is asked again.

    Args:
        shared: The two clusters.
        configs: Makes copies of ConfigMaps and Secrets.
        isolation: Says which NetworkPolicies hold for a pod.
    """

    def __init__(self, shared: Shared, configs: ConfigController, isolation: Isolation) -> None:
        self._shared = shared
        self._isolation = isolation
        self._configs = configs
        self._answers: dict[str, _Answers] = {}

    def forget(self, uid: str) -> None:
        """The virtual pod of that uid is gone."""
        self._answers.pop(uid, None)

    def find(self, pod: Object, host: Object) -> Changes | None:
        """What the copy lacks; None, with an event, if that cannot be said."""
        isolated = self._isolation.of(pod)
        try:
            found = update.changes(pod, host, self._shared.cluster, self._shared.policy.current, isolated)
        except Refused as refused:
            self._shared.events.emit(pod, "Warning", NOT_UPDATED, str(refused))
            return None
        for each in found.refused:
            self._shared.events.emit(pod, "Warning", NOT_UPDATED, str(each))
        return found

    def outcome(self, pod: Object, changes: Changes | None) -> Outcome:
        """What the virtual pod's status has to say of the changes that its copy lacks."""
        if changes is None:
            return Outcome()
        if not changes.spec:
            self._answers.pop(pod["metadata"]["uid"], None)
            return Outcome(complete=True)
        answers = self._answers.get(pod["metadata"]["uid"], _Answers())
        refused = {name: why for name in changes.containers if (why := self._refusal(pod, name, answers))}
        resize = None
        if changes.resize and answers.resize == orjson.dumps(changes.resize):
            resize = answers.condition
        patched = not changes.refused and (changes.patch is None or "spec" not in changes.patch)
        answered = len(refused) == len(changes.containers) and (not changes.resize or resize is not None)
        if resize is not None and pod["metadata"].get("generation"):
            resize = {**resize, "observedGeneration": pod["metadata"]["generation"]}
        return Outcome(patched and answered, refused, resize)

    async def apply(self, pod: Object, host: Object, changes: Changes | None) -> None:
        """Gives the copy what it lacks.

        Raises:
            ApiError: The host refused something or did not answer. All else has been tried.
            NameTakenError: A ConfigMap or Secret of somebody else has the name of one that is needed.
        """
        if changes is None:
            return
        failures: list[Failure] = []
        if changes.patch is not None:
            try:
                host = await self._patch(host, changes.patch)
                for dropped in changes.dropped:
                    self._shared.events.emit(pod, "Warning", "FieldDropped", str(dropped))
            except ApiError as error:
                failures.append(error)
                self._tell(pod, error, NOT_UPDATED)
        for name in changes.containers if not failures else ():  # they may read annotations of the patch
            try:
                host = await self._add_container(pod, host, name)
            except Refused as refused:
                self._shared.events.emit(pod, "Warning", REFUSED, str(refused))
            except (ApiError, NameTakenError) as error:
                failures.append(error)
                self._tell(pod, error, REFUSED)
                if _is_refusal(error):
                    self._of(pod).containers[name] = self._shared.said_inside(pod, error)
        if changes.resize is not None:
            try:
                await self._resize(pod, host, changes)
            except ApiError as error:
                failures.append(error)
                self._tell(pod, error, NOT_UPDATED)
        if failures:
            raise failures[0]

    async def _add_container(self, pod: Object, host: Object, name: str) -> Object:
        """One at a time: an ephemeral container that the host refuses does not keep others away.

        The host's administrator may have added one of that name: the host refuses to change it, and no other
        one is equal to ours, whose first envFrom names a ConfigMap of ours. What is the tenant's stands on
        record.
        """
        wanted = ephemeral.to_host(pod, name, self._shared.cluster, self._shared.policy.current)
        await self._configs.ensure(used_by(wanted))
        patch = {
            "metadata": {"uid": host["metadata"]["uid"]},
            "spec": {"ephemeralContainers": [wanted.manifest]},
        }
        host = await self._patch(host, patch, "ephemeralcontainers")
        host = await self._patch(host, update.note(host, update.joined(host, name)))
        for dropped in wanted.dropped:
            self._shared.events.emit(pod, "Warning", "FieldDropped", str(dropped))
        fields = {"host_name": host["metadata"]["name"], "container": name}
        log.info("ephemeral container added", extra=fields)
        return host

    async def _resize(self, pod: Object, host: Object, changes: Changes) -> None:
        assert changes.resize is not None  # noqa: S101 - see the caller
        try:
            host = await self._patch(host, changes.resize, "resize")
        except ApiError as error:
            if _is_refusal(error):
                self._not_resized(pod, changes.resize, error)
            raise
        await self._patch(host, update.note(host, changes.resized))
        log.info("resized", extra={"host_name": host["metadata"]["name"]})

    def _not_resized(self, pod: Object, resize: Object, error: ApiError) -> None:
        """Notes a refusal down, as a kubelet does: Deferred if it may end by itself, as with a full quota."""
        answers = self._of(pod)
        answers.resize = orjson.dumps(resize)
        answers.condition = {
            "type": RESIZE_PENDING,
            "status": "True",
            "reason": "Deferred" if error.code == _FORBIDDEN else "Infeasible",
            "message": self._shared.said_inside(pod, error),
            "lastTransitionTime": timestamp(),
        }

    async def _patch(self, host: Object, change: Object, subresource: str = "") -> Object:
        """The host pod as it is then."""
        metadata = host["metadata"]
        written = await self._shared.host.patch(
            *(PODS, metadata["namespace"], metadata["name"], change),
            kind=PatchType.STRATEGIC,
            subresource=subresource,
        )
        self._shared.stores.host_pods.observe(written)
        return written

    def _refusal(self, pod: Object, name: str, answers: _Answers) -> str:
        """Why the host does not get an ephemeral container, `""` if it may get it."""
        try:
            ephemeral.to_host(pod, name, self._shared.cluster, self._shared.policy.current)
        except Refused as refused:
            return str(refused)
        return answers.containers.get(name, "")

    def _tell(self, pod: Object, error: Failure, reason: str) -> None:
        """Tells the tenant of an error that is about his pod."""
        if _is_refusal(error):
            self._shared.events.emit(pod, "Warning", reason, self._shared.said_inside(pod, error))

    def _of(self, pod: Object) -> _Answers:
        return self._answers.setdefault(pod["metadata"]["uid"], _Answers())


def _is_refusal(error: Failure) -> bool:
    """Whether the host has decided against a change, and not just failed or been overtaken.

    A 404 that names the pod says that it is gone; one that does not is of a host whose version does not have
    the subresource.
    """
    if isinstance(error, NameTakenError):
        return True
    if isinstance(error, NotFoundError) and error.details.get("name"):
        return False
    return 400 <= error.code < 500 and error.code not in (_CONFLICT, _TOO_MANY)
