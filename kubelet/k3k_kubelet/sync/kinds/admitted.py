"""What the controller of copies has to know of Services' twins, which are made before their Service."""

from __future__ import annotations

import logging
import time

from k3k_kubelet.api import SERVICES, ApiError, ConflictError, InvalidError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.sync.addresses import give_another
from k3k_kubelet.sync.apply import apply
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.sync.twins import ADMITTED, AGAIN
from k3k_kubelet.translate import allocation, identity, service

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 60.0
"""A Service gets another address only so often: something inside may set it back each time."""
CHANGED = "AddressChanged"
"""Reason of the event on a Service that got another address."""
_ALLOCATED = ("spec.clusterIP", "nodePort", "healthCheckNodePort")
_MOST = 10_000


class Admitted(Kind):
    """Copies that admission may have made, see `sync.twins`."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._seen: dict[tuple[str, str], float] = {}
        """Uid and version of a marked twin -> when we saw it first, by the monotonic clock."""
        self._changed_at: dict[str, float] = {}

    async def waits(self, obj: Object | None, host: Object) -> float | None:
        """Leaves a twin alone while its Service is on its way inside; then it is as any other copy.

        An orphan goes when the time of every request that could still bring its Service is over and the API
        server inside says that there is none. Another admission would have changed the twin, which its
        deletion does not survive: it is for the version that was looked at.
        """
        metadata = host["metadata"]
        mark = (metadata.get("annotations") or {}).get(ADMITTED)
        if mark is None:
            return None
        before = str(mark).partition("/")[0]
        if obj is not None and int(obj["metadata"]["resourceVersion"]) > int(before or 0):
            # What we know inside may be the earlier one still: its watch need not be as fast as the host's.
            is_earlier = before == AGAIN and not await self._is_there(host, obj["metadata"]["uid"])
            return LOOK_SECONDS if is_earlier else None
        left = self._left(metadata)
        if left > 0:
            return left
        return LOOK_SECONDS if obj is None and await self._is_there(host) else None

    def _left(self, metadata: Object) -> float:
        """Seconds for which the request that made a twin may still go on."""
        now, limit = time.monotonic(), self.shared.config.admission_seconds
        if len(self._seen) > _MOST:
            self._seen = {key: at for key, at in self._seen.items() if now - at < 2 * limit}
        return self._seen.setdefault((metadata["uid"], metadata["resourceVersion"]), now) + limit - now

    async def _is_there(self, host: Object, uid: str = "") -> bool:
        """Whether the Service of a twin is there inside: with that uid, or any."""
        owner = identity.owner_of(host)
        if owner is None:
            return False
        try:
            found = await self.shared.virtual.get(SERVICES, owner.namespace, owner.name, metadata_only=True)
        except NotFoundError:
            return False
        return uid in ("", found["metadata"]["uid"])

    async def refused(self, obj: Object, host: Object | None, error: ApiError) -> bool:
        """The host does not have the Service's address or port for it: another Service has, or its range."""
        causes = error.details.get("causes") or ()
        fields = [str(cause.get("field", "")) for cause in causes]
        if not isinstance(error, InvalidError) or not any(
            part in each for each in fields for part in _ALLOCATED
        ):
            return False
        if host is not None and not allocation.agrees(obj, host):
            await self._remove(host)  # an address cannot be changed there either
            return True
        return await self._give_another(obj)

    async def _remove(self, host: Object) -> None:
        metadata = host["metadata"]
        try:
            await self.shared.host.delete(
                *(SERVICES, metadata["namespace"], metadata["name"]),
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
        except (ConflictError, NotFoundError):
            return
        log.info("copy with another address removed", extra={"host_name": metadata["name"]})

    async def _give_another(self, obj: Object) -> bool:
        uid, now = obj["metadata"]["uid"], time.monotonic()
        self._changed_at = {each: at for each, at in self._changed_at.items() if now - at < AGAIN_SECONDS}
        if uid in self._changed_at:
            return False
        wanted = self.to_host(allocation.unallocated(obj), None)
        if wanted is None:
            return False
        # The host's first: admission may not be asked yet, at the start or while a tenant has ended that.
        made = await apply(self.shared.host, SERVICES, wanted.manifest, None)
        twin = made if self.shared.config.dual_stack else allocation.first_family(made)
        spec = service.allocated(obj, twin)
        given = {key: spec[key] for key in allocation.ALLOCATED if key in spec}
        await give_another(self.shared.virtual, obj, given)
        self._changed_at[uid] = now
        message = "the host has the address or a port of this Service for another one: it got others"
        self.shared.events.emit(obj, "Warning", CHANGED, message, resource=SERVICES)
        return True
