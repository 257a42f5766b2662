"""The first step of a pod's way: its copy on the host, and what that needs beside it."""

from __future__ import annotations

import asyncio
import logging

from k3k_kubelet.api import PODS, AlreadyExistsError, ApiError
from k3k_kubelet.api.client import Object
from k3k_kubelet.sync.claims import Claims
from k3k_kubelet.sync.config import ConfigController
from k3k_kubelet.sync.isolation import Isolation
from k3k_kubelet.sync.shared import NameTakenError, Shared
from k3k_kubelet.sync.status import StatusWriter
from k3k_kubelet.sync.stores import used_by
from k3k_kubelet.sync.tokens import TokenController
from k3k_kubelet.translate import Dropped, HostPod, Refused, identity, unknown
from k3k_kubelet.translate import pod as translate_pod

log = logging.getLogger(__name__)

REFUSED = "HostPodRefused"
"""Reason of the event, the condition and the status of a pod that must not run on the host as it is."""
FAILED = "HostPodFailedCreate"
"""Reason of the same for a pod that the host did not take, or for which something could not be made."""
WAITS = "HostPodWaitsForClaim"
"""Reason of the same for a pod whose claims are not on the host, or not to be used."""

_BAD_REQUEST = 400
_UNKNOWN_SECONDS = 0.2
_QUIET_SECONDS = 2.0
"""How long a pod may wait for claims without a word: they are often made together with it."""


class Creation:
    """Makes copies of pods on the host.

    Args:
        shared: The two clusters.
        configs: Makes copies of ConfigMaps and Secrets.
        tokens: Makes token Secrets.
        status: Says on the virtual pod why there is no copy.
        isolation: Says which NetworkPolicies hold for a pod: a copy has its labels from the start.
    """

    def __init__(
        self,
        shared: Shared,
        configs: ConfigController,
        tokens: TokenController,
        status: StatusWriter,
        isolation: Isolation,
    ) -> None:
        self._shared = shared
        self._isolation = isolation
        self._configs = configs
        self._tokens = tokens
        self._status = status
        self._claims = Claims(shared)
        self._waiting: dict[str, float] = {}
        """uid of a pod that waits for a claim -> since when."""

    def forget(self, uid: str) -> None:
        """The virtual pod of that uid is gone."""
        self._waiting.pop(uid, None)

    async def create(self, pod: Object) -> float | None:
        """Makes the copy of a pod, or says on the pod why not.

        Returns:
            Seconds after which another try is due, None when something else brings it: a change of the pod or
            of the policy for a refused one, of a claim for one that waits for it.

        Raises:
            ApiError: The host refused or did not answer; the queue tries again.
            NameTakenError: So it does when the name on the host is another's.
        """
        isolated = self._isolation.of(pod)
        if isolated is None:
            return _UNKNOWN_SECONDS
        try:
            wanted = translate_pod.to_host(pod, self._shared.cluster, self._shared.policy.current, isolated)
        except Refused as refused:
            self._shared.events.emit(pod, "Warning", REFUSED, str(refused))
            await self._status.pending(pod, REFUSED, str(refused))
            return None
        if missing := self._claims.missing(pod, wanted.claims):
            return await self._wait(pod, missing)
        self._waiting.pop(pod["metadata"]["uid"], None)
        try:
            left_out = await self._make(pod, wanted)
        except (ApiError, NameTakenError) as error:
            await self._failed(pod, error)
            raise
        for dropped in (*wanted.dropped, *left_out):
            self._shared.events.emit(pod, "Warning", "FieldDropped", str(dropped))
        fields = {"pod": _name(pod), "host_name": wanted.manifest["metadata"]["name"]}
        log.info("host pod created", extra=fields)
        self._tokens.queue.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))
        return None

    async def _wait(self, pod: Object, missing: str) -> float | None:
        """Leaves a pod without a copy until its claims are there, and says so.

        The host's scheduler would wait for them too, but not tell a new claim from the old one of that name,
        whose copy is there until it has ended.
        """
        now = asyncio.get_running_loop().time()
        waited = now - self._waiting.setdefault(pod["metadata"]["uid"], now)
        if waited < _QUIET_SECONDS:
            return _QUIET_SECONDS - waited
        self._shared.events.emit(pod, "Warning", WAITS, missing)
        await self._status.pending(pod, WAITS, missing)
        return None

    async def _make(self, pod: Object, wanted: HostPod) -> tuple[Dropped, ...]:
        """What the pod mounts goes first: the host's kubelet waits long before it looks a second time.

        Returns:
            What the host's copy lacks.
        """
        self._shared.check_anchor()
        if (pod.get("status") or {}).get("reason") == FAILED:
            await self._ask(wanted)
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        async with self._configs.using(key, used_by(wanted)):
            await self._tokens.ensure(pod)
            return await self._post(wanted)

    async def _ask(self, wanted: HostPod) -> None:
        """Asks if the host would take a pod that it refused before; until then nothing is made for it."""
        try:
            await self._shared.host.create(
                PODS, self._shared.cluster.namespace, wanted.manifest, dry_run=True
            )
        except AlreadyExistsError:
            return
        except ApiError as error:
            if error.code != _BAD_REQUEST:  # an admission webhook of the host that no dry run may reach
                raise

    async def _post(self, wanted: HostPod) -> tuple[Dropped, ...]:
        host, namespace = self._shared.host, self._shared.cluster.namespace
        try:
            created = await host.create(PODS, namespace, wanted.manifest)
        except AlreadyExistsError:
            name = wanted.manifest["metadata"]["name"]
            found = await host.get(PODS, namespace, name)
            owner = identity.owner_of(found)
            if owner is None or owner != identity.owner_of(wanted.manifest):
                raise NameTakenError("Pod", name, owner) from None
            created = found  # ours, from before a restart or a lost answer
        left_out = unknown.left_out(wanted.manifest["spec"], created["spec"])
        self._shared.stores.host_pods.observe(created)  # which keeps less than the whole object
        return left_out

    async def _failed(self, pod: Object, error: ApiError | NameTakenError) -> None:
        if isinstance(error, ApiError) and error.is_outage:
            return  # not about this pod
        message = self._shared.said_inside(pod, error)
        self._shared.events.emit(pod, "Warning", FAILED, message)
        try:
            await self._status.pending(pod, FAILED, message)
            await self._tokens.release(pod)
        except ApiError as second:
            log.info("failure not handled whole", extra={"pod": _name(pod), "error": str(second)})


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
