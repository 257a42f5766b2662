"""One replica acts at a time: who holds the Lease in the control-plane namespace.

The rule of client-go's leader election: a Lease is free when nobody has renewed it for its duration, by one's
own clock; who cannot renew it in time stops acting before that.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time

from k3k_kubelet import metrics
from k3k_kubelet.api import LEASES, AlreadyExistsError, ApiClient, ApiError, ConflictError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.events import micro_timestamp

log = logging.getLogger(__name__)

DURATION_SECONDS = 10.0
DEADLINE_SECONDS = 7.0
RETRY_SECONDS = 2.0
"""With these another replica goes on 13 s after the death of the one that held the Lease, at the latest."""
RELEASE_SECONDS = 2.0
"""Who ends waits no longer for a host that does not answer."""
_CONFLICTS = 3
_LATE_SECONDS = 1.0


class RestartError(Exception):
    """This process must end and another one begin."""


class LeadershipLostError(RestartError):
    """Somebody else holds the Lease that we held: this process must end.

    It could go back to following, but what its controllers know is out of date by then. A new process knows
    nothing wrong, and begins in two seconds.
    """


class NotLeadingError(ApiError):
    """A write that was not sent: the Lease may be somebody else's by now."""

    def __init__(self) -> None:
        super().__init__(0, "NotLeading", "not sent, as this replica does not hold the lease")


class Leader:
    """The Lease.

    Times are those of the monotonic clock, which goes on while the process is stopped (SIGSTOP, a frozen
    cgroup): whoever wakes up from that knows at once that his time is over.

    Args:
        host: Host API server; a client that serves little else.
        namespace: Where the Lease is.
        name: Its name.
        identity: Ours: the pod's name, so that a restarted container goes on at once.
        duration: Seconds without a renewal after which others may take it.
        deadline: Seconds without a successful renewal after which we stop acting; less than `duration`.
        retry: Seconds between tries and between renewals.

    Attributes:
        held: Set while we may act; `check` is more exact.
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
        self._held_until = self._answered = self._cut_off_until = float("-inf")
        self.held, self.lost = asyncio.Event(), asyncio.Event()
        self.lost.set()

    @property
    def holds(self) -> bool:
        """Whether we may act."""
        return self.held.is_set() and time.monotonic() < self._held_until

    @property
    def holder(self) -> str:
        """Who held the Lease when we looked last, `""` for nobody or not known."""
        return self._seen[0]

    @property
    def answered(self) -> bool:
        """Whether the host has told us lately who holds the Lease."""
        return time.monotonic() < self._answered + self._deadline

    def check(self) -> None:
        """Call it before each write.

        Raises:
            NotLeadingError: We may not act.
        """
        if not self.holds:
            raise NotLeadingError

    def check_unless_cut_off(self) -> None:
        """Call it before what keeps Nodes alive, which two may do at once without harm.

        Who held the Lease when the host's API server went away goes on with it: that the host does not
        answer is no reason to let the virtual cluster evict its pods.

        Raises:
            NotLeadingError: We may not act, and the host would tell us who may.
        """
        if not (self._has_led and time.monotonic() < self._cut_off_until):
            self.check()

    @property
    def _has_led(self) -> bool:
        return self._held_until > float("-inf")

    def _hold(self, holds: bool) -> None:
        if holds == self.held.is_set():
            return
        log.info(
            "leading" if holds else "not leading", extra={"lease": self._name, "identity": self._identity}
        )
        for event, value in ((self.held, holds), (self.lost, not holds)):
            event.set() if value else event.clear()
        metrics.LEADER.set(holds)

    async def run(self) -> None:
        """Takes the Lease as soon as it is free, and renews it, until cancelled.

        Who cannot renew it in time stops acting: `lost` is set before anybody else may take it, and `held`
        again when the host answers and nobody has taken it meanwhile.

        Raises:
            LeadershipLostError: Somebody else holds it, after we did.
        """
        waits = False
        while True:
            started = time.monotonic()
            limit = min(self._deadline, self._held_until - started if self.held.is_set() else self._deadline)
            try:
                async with asyncio.timeout(limit):
                    ours = await self._try()
            except (ApiError, TimeoutError) as error:
                log.warning("lease not renewed", extra={"lease": self._name, "error": str(error)})
                # A try that took longer than it may says that we were stopped, nothing about the host.
                if (now := time.monotonic()) < started + limit + _LATE_SECONDS:
                    self._cut_off_until = now + 2 * self._deadline
            else:
                self._cut_off_until, self._answered = float("-inf"), time.monotonic()
                if ours:
                    self._held_until = started + self._deadline
                    self._hold(True)
                elif self._has_led:
                    self._hold(False)
                    raise LeadershipLostError(f"lease {self._name} is held by {self.holder}")
                elif not waits:
                    log.info("waiting for the lease", extra={"lease": self._name, "holder": self.holder})
                    waits = True
            if not self.holds:
                self._hold(False)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Seconds until the next try: not past the moment at which our own time, or the holder's, is over."""
        now, pause = time.monotonic(), self._retry * random.uniform(0.8, 1.2)  # noqa: S311
        ends = self._held_until if self.holds else self._seen_at + self._duration
        return min(pause, ends - now) if ends > now else pause

    async def release(self) -> None:
        """Lets go of the Lease, so that the next process need not wait."""
        if not self.holds:
            return
        self._hold(False)
        change = {"spec": {"holderIdentity": "", "renewTime": micro_timestamp()}}
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._host.patch(LEASES, self._namespace, self._name, change)
        except (ApiError, TimeoutError) as error:
            log.warning("lease not released", extra={"lease": self._name, "error": str(error)})

    async def _try(self) -> bool:
        """Takes or renews the Lease; returns whether we hold it.

        Raises:
            ApiError: The host did not answer, refused, or somebody changes the Lease all the time.
        """
        for attempt in range(1, _CONFLICTS + 1):
            try:
                lease = await self._host.get(LEASES, self._namespace, self._name)
            except NotFoundError:
                lease = {}
            if not self._is_free(lease):
                return False
            try:
                if lease:
                    lease["spec"] = self._spec(lease.get("spec") or {})
                    await self._host.replace(LEASES, self._namespace, self._name, lease)
                else:
                    await self._host.create(LEASES, self._namespace, self._manifest())
            except (ConflictError, AlreadyExistsError):
                if attempt == _CONFLICTS:
                    raise
            else:
                return True
        raise AssertionError("unreachable")

    def _is_free(self, lease: Object) -> bool:
        """Whether the Lease is ours, nobody's, or its holder has not renewed it while we looked."""
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        seen, now = (holder, spec.get("renewTime") or ""), time.monotonic()
        # Who could not look for a while has not seen that nobody renewed it: he begins to look anew.
        if seen != self._seen or not self.answered:
            self._seen, self._seen_at = seen, now
        return holder in ("", self._identity) or now - self._seen_at >= self._duration

    def _manifest(self) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec({}),
        }

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
