"""One process acts at a time: who holds the Lease in the control-plane namespace.

The rule of client-go's leader election: a Lease is free when nobody has renewed it for its duration, by one's
own clock; who cannot renew it in time stops acting before that.
"""

from __future__ import annotations

import asyncio
import logging
import random

from k3k_kubelet.api import LEASES, AlreadyExistsError, ApiClient, ApiError, ConflictError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.events import micro_timestamp

log = logging.getLogger(__name__)

DURATION_SECONDS = 15.0
DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0


class RestartError(Exception):
    """This process must end and another one begin."""


class LeadershipLostError(RestartError):
    """Somebody else holds the Lease: this process must end."""


class Leader:
    """The Lease.

    Args:
        host: Host API server; a client that serves little else.
        namespace: Where the Lease is.
        name: Its name.
        identity: Ours: the pod's name, so that a restarted container goes on at once.
        duration: Seconds without a renewal after which others may take it.
        deadline: Seconds without a successful renewal after which we stop acting; less than `duration`.
        retry: Seconds between tries and between renewals.

    Attributes:
        held: Set while we may act.
        lost: Set while we may not.
    """

    def __init__(
        self,
        host: ApiClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = DURATION_SECONDS,
        deadline: float = DEADLINE_SECONDS,
        retry: float = RETRY_SECONDS,
    ) -> None:
        self._host = host
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._deadline = deadline
        self._retry = retry
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0
        self.held, self.lost = asyncio.Event(), asyncio.Event()
        self.lost.set()

    @property
    def holds(self) -> bool:
        """Whether we may act."""
        return self.held.is_set()

    def _hold(self, holds: bool) -> None:
        if holds == self.holds:
            return
        log.info(
            "leading" if holds else "not leading", extra={"lease": self._name, "identity": self._identity}
        )
        for event, value in ((self.held, holds), (self.lost, not holds)):
            event.set() if value else event.clear()

    async def acquire(self) -> None:
        """Returns when we hold the Lease; waits as long as it takes."""
        waiting = False
        while True:
            try:
                if await self._try():
                    self._hold(True)
                    return
                if not waiting:
                    log.info("waiting for the lease", extra={"lease": self._name, "holder": self._seen[0]})
                    waiting = True
            except ApiError as error:
                log.warning("lease not read", extra={"lease": self._name, "error": str(error)})
            await asyncio.sleep(self._retry * random.uniform(0.8, 1.2))  # noqa: S311

    async def keep(self) -> None:
        """Renews the Lease until cancelled.

        Who cannot renew it in time stops acting: `lost` is set before anybody else may take it, and `held`
        again when the host answers and nobody has taken it meanwhile.

        Raises:
            LeadershipLostError: Somebody else holds it now.
        """
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._retry)
            started = loop.time()
            deadline = (renewed if self.holds else started) + self._deadline
            try:
                async with asyncio.timeout_at(deadline):
                    if not await self._try():
                        self._hold(False)
                        raise LeadershipLostError(f"lease {self._name} is held by {self._seen[0]}")
                renewed = started
                self._hold(True)
            except (ApiError, TimeoutError) as error:
                log.warning("lease not renewed", extra={"lease": self._name, "error": str(error)})
                if loop.time() >= renewed + self._deadline:
                    self._hold(False)

    async def release(self) -> None:
        """Lets go of the Lease, so that the next process need not wait."""
        if not self.holds:
            return
        self._hold(False)
        change = {"spec": {"holderIdentity": "", "renewTime": micro_timestamp()}}
        try:
            async with asyncio.timeout(2.0):
                await self._host.patch(LEASES, self._namespace, self._name, change)
        except (ApiError, TimeoutError) as error:
            log.warning("lease not released", extra={"lease": self._name, "error": str(error)})

    async def _try(self) -> bool:
        """Takes or renews the Lease; returns whether we hold it."""
        try:
            lease = await self._host.get(LEASES, self._namespace, self._name)
        except NotFoundError:
            return await self._create()
        spec = lease["spec"]
        holder = spec.get("holderIdentity") or ""
        seen = (holder, spec.get("renewTime") or "")
        now = asyncio.get_running_loop().time()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        if holder not in ("", self._identity) and now - self._seen_at < self._duration:
            return False
        lease["spec"] = self._spec(spec)
        try:
            written = await self._host.replace(LEASES, self._namespace, self._name, lease)
        except ConflictError:
            return False
        self._seen, self._seen_at = (self._identity, written["spec"]["renewTime"]), now
        return True

    async def _create(self) -> bool:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec({}),
        }
        try:
            await self._host.create(LEASES, self._namespace, body)
        except AlreadyExistsError:
            return False
        return True

    def _spec(self, before: Object) -> Object:
        now = micro_timestamp()
        taken = before.get("holderIdentity") != self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._duration),
            "acquireTime": now if taken else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (1 if taken and before else 0),
        }
