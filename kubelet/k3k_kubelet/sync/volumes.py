"""What the host's claims are bound to, shown inside: a PersistentVolume for each, and the claim's status.

The virtual cluster's own controller binds the two and says what phase they have. A volume inside is there
as long as the host's claim is bound: so a claim whose volume the host has lost is Lost inside, and a volume
whose claim was deleted is Released until the host has let go of it.
"""

from __future__ import annotations

import asyncio
import logging

from k3k_kubelet.api import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotFoundError,
)
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Entry, Informer, Store, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.shared import EXPECTED, Shared
from k3k_kubelet.translate import claim as translate_claim
from k3k_kubelet.translate import identity, volume
from k3k_kubelet.translate.rewrite import rewriter

log = logging.getLogger(__name__)

CONCURRENCY = 8
_PROTECTION = "kubernetes.io/pv-protection"
"""Finalizer that keeps a volume as long as it is bound."""


class VolumeController:
    """Keeps volumes and claims inside as the host's claims are.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._volumes = Store(reduce=_reduce)
        self._copies: dict[str, Key] = {}
        """uid of a claim inside -> key of its copy."""
        self._informer = Informer(shared.virtual, PERSISTENT_VOLUMES, self._volumes)
        self.queue: WorkQueue[str] = WorkQueue(
            "volumes", self.reconcile, concurrency=CONCURRENCY, expected=EXPECTED
        )
        """Of uids of claims inside."""
        shared.stores.virtual_claims.subscribe(lambda change: self.queue.add(change.entry.uid))
        shared.stores.host_claims.subscribe(self._copy_changed)
        self._volumes.subscribe(lambda change: self._add_volume(change.entry))
        for entry in shared.stores.host_claims:
            self._copy_changed(Change(None, entry))

    def add_all(self) -> None:
        """Looks at every claim and every volume: at the start, and on patrol."""
        for uid in {entry.uid for entry in self._shared.stores.virtual_claims} | set(self._copies):
            self.queue.add(uid)
        for entry in self._volumes:
            self._add_volume(entry)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            await self._informer.synced.wait()
            group.create_task(self.queue.run())

    async def reconcile(self, uid: str) -> None:
        """One round for the claim inside that has, or had, this uid."""
        entry, copy = self._shared.stores.virtual_claims.by_uid(uid), self._copy(uid)
        found = self._volumes.get("", translate_claim.volume_name(uid))
        wanted = None
        if entry is not None and copy is not None:
            claim, host = await self._reserve(entry.object(), copy.object()), copy.object()
            wanted = volume.to_virtual(host, claim)
            if wanted is not None:
                await self._make(wanted, found)
                claim = await self._wake(claim, found)
                await self._write_status(claim, host)
        # Without the claim inside, it is Released for as long as the host still has the copy.
        if wanted is None and found is not None and (entry is not None or copy is None):
            await self._remove(found, held=entry is not None)

    async def _reserve(self, claim: Object, host: Object) -> Object:
        """Gives a claim that has a copy the name of the volume to come; returns it as it is then."""
        change = translate_claim.spec_changes(claim, host)
        if change is None:
            return claim
        try:
            return await self._change_claim(claim, {"spec": change})
        except InvalidError:
            if change.pop("storageClassName", None) is None:
                raise
            # Kubernetes before 1.26 lets nobody fill in the class.
            return await self._change_claim(claim, {"spec": change}) if change else claim

    async def _make(self, wanted: Object, found: Entry | None) -> None:
        """Creates a volume, or puts right what somebody inside has changed."""
        name = wanted["metadata"]["name"]
        try:
            current = found.object() if found else None
            if current is None:
                self._volumes.observe(await self._shared.virtual.create(PERSISTENT_VOLUMES, None, wanted))
                log.info("volume shown", extra={"volume": name})
                return
        except AlreadyExistsError:
            current = await self._shared.virtual.get(PERSISTENT_VOLUMES, None, name)
        change = volume.changes(current, wanted)
        if change is None:
            return
        try:
            written = await self._shared.virtual.patch(PERSISTENT_VOLUMES, None, name, change)
        except InvalidError:  # somebody else's, with other fields that cannot be changed
            await self._delete(current, held=True)
            raise
        self._volumes.observe(written)

    async def _wake(self, claim: Object, found: Entry | None) -> Object:
        """Has the virtual cluster's own controller look at a claim whose volume it has bound.

        It looks at the two apart, and at a claim that names its volume every 15 s only, or when it changes.
        """
        change = volume.wake(claim, found.object()) if found else None
        return claim if change is None else await self._change_claim(claim, {"metadata": change})

    async def _write_status(self, claim: Object, host: Object) -> None:
        if (claim.get("status") or {}).get("phase") != "Bound":
            return
        cluster = self._shared.cluster
        rewrite = rewriter(claim, cluster.name, cluster.namespace, host["metadata"]["uid"])
        status = translate_claim.status_to_virtual(host, claim, rewrite)
        if status is not None:
            await self._change_claim(claim, {"status": status}, subresource="status")

    async def _change_claim(self, claim: Object, change: Object, *, subresource: str = "") -> Object:
        metadata = claim["metadata"]
        written = await self._shared.virtual.patch(
            *(PERSISTENT_VOLUME_CLAIMS, metadata["namespace"], metadata["name"]),
            {**change, "metadata": {**change.get("metadata", {}), "uid": metadata["uid"]}},
            subresource=subresource,
        )
        self._shared.stores.virtual_claims.observe(written)
        return written

    async def _remove(self, found: Entry, *, held: bool) -> None:
        current = found.object()
        if volume.is_ours(current):
            await self._delete(current, held=held)

    async def _delete(self, current: Object, *, held: bool) -> None:
        """Deletes a volume; one that a claim holds goes as well, so that the claim is Lost."""
        metadata, virtual = current["metadata"], self._shared.virtual
        name, uid = metadata["name"], metadata["uid"]
        try:
            if not metadata.get("deletionTimestamp"):
                await virtual.delete(PERSISTENT_VOLUMES, None, name, uid=uid)
                log.info("volume removed", extra={"volume": name})
            finalizers = metadata.get("finalizers") or []
            if held and _PROTECTION in finalizers:
                left = [each for each in finalizers if each != _PROTECTION]
                await virtual.patch(
                    PERSISTENT_VOLUMES, None, name, {"metadata": {"uid": uid, "finalizers": left}}
                )
        except (NotFoundError, ConflictError):
            return

    def _copy(self, uid: str) -> Entry | None:
        key = self._copies.get(uid)
        return self._shared.stores.host_claims.get(*key) if key else None

    def _copy_changed(self, change: Change) -> None:
        owner = identity.owner_of(change.entry.object())
        if owner is None or owner.cluster != self._shared.cluster.name:
            return
        if change.new is not None:
            self._copies[owner.uid] = change.entry.key
        elif self._copies.get(owner.uid) == change.entry.key:
            del self._copies[owner.uid]
        self.queue.add(owner.uid)

    def _add_volume(self, entry: Entry) -> None:
        uid = translate_claim.uid_of_volume(entry.name)
        if uid is not None:
            self.queue.add(uid)


def _reduce(found: Object) -> None:
    metadata = found["metadata"]
    kept = ("name", "uid", "resourceVersion", "annotations", "finalizers", "deletionTimestamp")
    found["metadata"] = {key: metadata[key] for key in kept if key in metadata}
