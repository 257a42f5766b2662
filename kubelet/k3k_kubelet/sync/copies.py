"""Objects with copies on the host that are no pods: Services, claims, Ingresses, disruption budgets.

One controller for each kind. Each round looks at one name inside, at what both sides have under it now, and
does the next thing; nothing is remembered that the two API servers do not say. A kind that is turned off is
followed until its copies are gone, and then costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from k3k_kubelet.api import ApiError, ConflictError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Entry, Informer, Store, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.apply import apply, has_all, is_applied
from k3k_kubelet.sync.following import Following
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.shared import EXPECTED, NameTakenError, Shared
from k3k_kubelet.sync.stores import used_by
from k3k_kubelet.sync.uses import User
from k3k_kubelet.translate import HostObject, Refused, identity

log = logging.getLogger(__name__)

CONCURRENCY = 16
REPAIR_SECONDS = 30.0
"""A copy of which somebody takes fields of ours away again and again is put right only so often."""
REFUSED = "HostCopyRefused"
"""Reason of the event on an object that the host must not have as it is."""
FAILED = "HostCopyFailed"
"""Reason of the event on an object whose copy the host does not take."""
KEPT = "HostCopyKept"
"""Reason of the event on an object whose copy stays, though it would not be made anew."""
_TOO_MANY = 429


class Copies(Following):
    """Keeps the copies of one kind.

    Args:
        shared: The two clusters.
        kind: The kind.
        source: A store of the objects inside that is kept by somebody else; by default one of its own.
        copies: The same of the copies; its first index is `owner`.

    Attributes:
        virtual: The objects inside, while there are copies or may be.
        host: The copies.
    """

    def __init__(
        self, shared: Shared, kind: Kind, source: Store | None = None, copies: Store | None = None
    ) -> None:
        super().__init__(type(kind).__name__.lower())  # there may be several of one resource
        self.kind = kind
        owner = {"owner": shared.stores.owners}
        self.host = Store({**owner, **kind.host_indexes}, kind.reduce_host) if copies is None else copies
        self.virtual = Store(kind.indexes, kind.reduce) if source is None else source
        self._shared = shared
        self._has_source, self._has_copies = source is not None, copies is not None
        self._repaired: dict[Key, float] = {}
        self.queue: WorkQueue[Key] = WorkQueue(
            self._name, self._reconcile, concurrency=CONCURRENCY, expected=EXPECTED
        )
        self.virtual.subscribe(self._virtual_changed)
        self.host.subscribe(self._host_changed)
        shared.uses.register(kind.resource, kind.source, self.virtual, awaited=kind.uses_config)
        kind.copies = self

    @property
    def is_on(self) -> bool:
        """Whether copies are made now."""
        return self.kind.setting(self._shared.policy.current).enabled and self.kind.available()

    @property
    def is_known(self) -> bool:
        """Whether both sides are known completely, as far as they are to be."""
        return self.is_ready if self.is_on else not self.kind.undecided()

    def add_all(self) -> None:
        """Looks at all objects of both sides: at the start, on patrol, and when the policy changed."""
        self.check()
        self.look_at_all()
        self.kind.add_all()

    def look(self, namespace: str, name: str) -> None:
        """Looks at one object inside: something that its copy depends on changed."""
        if self.is_ready:
            self.queue.add((namespace, name))

    def copy(self, namespace: str, name: str) -> Entry | None:
        """The copy of an object inside, whichever incarnation; None if its annotations say otherwise."""
        alias = self.kind.alias(name)
        entry = self.host.get(self._shared.cluster.namespace, self._shared.host_name(namespace, alias))
        if entry is None or self._shared.stores.owner(entry) != (namespace, alias):
            return None
        return entry

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            group.create_task(self.follow())
            group.create_task(self.kind.run())

    def is_needed(self) -> bool:
        """Whether copies are left of a kind that is turned off."""
        return self.kind.available() and not (self.is_ready and not any(map(self._key, self.host)))

    def undecided(self) -> bool:
        """Whether it is not known yet if both servers have the resource."""
        return self.kind.undecided()

    def begun(self) -> None:
        """What the copies that are there use is known before anything is done about it."""
        if self.kind.uses_config:
            for entry in self.virtual:
                self._note_use(entry)
            self._shared.uses.settled(self.kind.resource)

    def at_rest(self) -> None:
        """Nothing has a copy."""
        self._shared.uses.settled(self.kind.resource)

    async def are_left(self) -> bool:
        """Whether there are copies about which something can be done."""
        return any(self.kind.available() or self._must_go(host) for host in await self._left())

    async def ended(self) -> None:
        """Forgets everything; what is left of a kind that one of the two servers has lost goes."""
        if not self.kind.available():
            for host in filter(self._must_go, await self._left()):
                await self._remove(host)
        if not self._has_copies:
            self.host.clear()
        if not self._has_source:
            self.virtual.clear()
        self.kind.ended()
        self._repaired.clear()

    def new_informers(self) -> Sequence[Informer]:
        """Of both sides, as far as nobody else keeps them, and of what the kind needs beside them."""
        informers = list(self.kind.new_informers())
        if not self._has_copies:
            informer = Informer(
                *(self._shared.host, self.kind.resource, self.host),
                namespace=self._shared.cluster.namespace,
                label_selector=self._selector,
            )
            informers.append(informer)
        if not self._has_source:
            selector = self.kind.source_selector
            informer = Informer(self._shared.virtual, self.kind.source, self.virtual, label_selector=selector)
            informers.append(informer)
        return informers

    @property
    def _selector(self) -> str:
        cluster = f"{identity.CLUSTER}={self._shared.cluster.name}"
        return ",".join(filter(None, (cluster, self.kind.host_selector)))

    def _must_go(self, host: Object) -> bool:
        return not (self.kind.keeps(host) or host["metadata"].get("deletionTimestamp"))

    async def _left(self) -> list[Object]:
        """The copies that there are while nothing is followed."""
        query = {"labelSelector": self._selector}
        try:
            found = await self._shared.host.list_all(
                self.kind.resource, self._shared.cluster.namespace, query=query
            )
        except NotFoundError:  # the host does not have the resource
            return []
        return [each for each in found if self._is_copy(each)]

    async def _reconcile(self, key: Key) -> float | None:
        """One round for the object `key` inside; returns seconds after which another one is due."""
        if not self.is_ready:
            return None
        virtual, copy = self.virtual.get(*key), self.copy(*key)
        obj, host = virtual.object() if virtual else None, copy.object() if copy else None
        if host is not None and (seconds := await self.kind.waits(obj, host)) is not None:
            return seconds
        if obj is None:
            self._forget(key)
            if host is not None:
                await self._remove(host)
            return None
        if obj["metadata"].get("deletionTimestamp") and self.kind.ends(obj):
            self._forget(key)
            await (self.kind.gone(obj) if host is None else self._remove(host))
            return None
        owner = identity.owner_of(host) if host else None
        if host is not None and owner is not None and owner.uid not in ("", obj["metadata"]["uid"]):
            await self._remove(host)  # its end brings the next round
            return None
        return await self._keep(key, obj, host)

    async def _keep(self, key: Key, obj: Object, host: Object | None) -> float | None:
        """The round of an object that is there, and whose copy, if there is one, is its own."""
        wanted = self._wanted(obj, host)
        if wanted is None:
            self._forget(key)
            if host is not None and not self.kind.keeps(host):
                await self.kind.down(obj)
                await self._remove(host)
            elif host is not None:
                await self._tell_up(obj, host)
            return None
        if host is None or not host["metadata"].get("deletionTimestamp"):
            if host is None or not is_applied(wanted.manifest, host):
                host = await self._apply(key, obj, host, wanted)
            elif not has_all(wanted.manifest, host):
                if (pause := self._pause(key)) is not None:
                    return pause
                host = await self._apply(key, obj, host, wanted)
            if host is None:
                return 0.0
            self._use(key, wanted)
        await self._tell_up(obj, host)
        return None

    def _wanted(self, obj: Object, host: Object | None) -> HostObject | None:
        """What the copy is to be; None, with an event if it is for the tenant to know, for none."""
        setting = self.kind.setting(self._shared.policy.current)
        off = "" if self.is_on else "copies of this kind are turned off"
        if not off and not setting.selector.matches(obj["metadata"].get("labels")):
            off = "the object does not have the labels that this needs"
        if not off:
            try:
                return self.kind.to_host(obj, host)
            except Refused as refused:
                self._emit(obj, REFUSED, str(refused))
                return None
        if host is not None and self.kind.keeps(host):
            self._emit(obj, KEPT, f"the copy on the host stays as it is, though by the policy {off}")
        return None

    async def _apply(self, key: Key, obj: Object, host: Object | None, wanted: HostObject) -> Object | None:
        """The copy as it is then; None if the kind has dealt with a refusal of the host's."""
        self._shared.check_anchor()
        self._use(key, wanted)
        try:
            written = await apply(
                self._shared.host, self.kind.resource, wanted.manifest, host, partial(self._met, obj)
            )
        except (ApiError, NameTakenError) as error:
            if host is None:
                self._forget(key)
            if not _is_refusal(error):
                raise
            if isinstance(error, ApiError) and await self.kind.refused(obj, host, error):
                return None
            self._emit(obj, FAILED, self._shared.said_inside(obj, error))
            if host is not None and self.kind.only_opens:
                await self._remove(host)
            raise
        self.host.observe(written)
        for dropped in wanted.dropped:
            self._emit(obj, "FieldDropped", str(dropped))
        if host is None:
            fields = {"kind": self._name, "object": "/".join(key)}
            log.info("copy made", extra={**fields, "host_name": written["metadata"]["name"]})
        return written

    async def _met(self, obj: Object, host: Object) -> None:
        """Asks the kind before a copy is touched of which the watch has not told yet."""
        if await self.kind.waits(obj, host) is not None:
            raise ConflictError(409, "Conflict", f"{host['metadata']['name']} is about to be another one")

    def _pause(self, key: Key) -> float | None:
        """Seconds until a copy may be put right once more; None for now."""
        now = asyncio.get_running_loop().time()
        since = now - self._repaired.get(key, float("-inf"))
        if since < REPAIR_SECONDS:
            return REPAIR_SECONDS - since
        self._repaired[key] = now
        log.info("put right", extra={"kind": self._name, "object": "/".join(key)})
        return None

    async def _tell_up(self, obj: Object, host: Object) -> None:
        try:
            await self.kind.up(obj, host)
        except NotFoundError:
            return  # the object is gone: the watch tells

    async def _remove(self, host: Object) -> None:
        metadata = host["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        try:
            await self._shared.host.delete(
                *(self.kind.resource, metadata["namespace"], metadata["name"]),
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
        except NotFoundError:
            return
        log.info("copy removed", extra={"kind": self._name, "host_name": metadata["name"]})

    def _note_use(self, virtual: Entry) -> None:
        copy = self.copy(*virtual.key)
        if copy is None:
            return
        try:
            wanted = self.kind.to_host(virtual.object(), copy.object())
        except Refused:
            return
        except Exception:  # its own round fails as well, and nobody else's
            log.exception("not translated", extra={"kind": self._name, "object": "/".join(virtual.key)})
            return
        if wanted is not None:
            self._use(virtual.key, wanted)

    def _use(self, key: Key, wanted: HostObject) -> None:
        self._shared.uses.set(User(self.kind.resource, *key), used_by(wanted))

    def _forget(self, key: Key) -> None:
        self._repaired.pop(key, None)
        self._shared.uses.set(User(self.kind.resource, *key), ())

    def _emit(self, obj: Object, reason: str, message: str) -> None:
        about = self.kind.about(obj)
        self._shared.events.emit(about, "Warning", reason, message, resource=self.kind.source)

    def look_at_all(self) -> None:
        """Looks at the objects of both sides, if they are known."""
        if not self.is_ready:
            return
        for entry in self.virtual:
            self.queue.add(entry.key)
        for entry in self.host:
            self._add_copy(entry)
        self.kind.known()

    def _virtual_changed(self, change: Change) -> None:
        if self.is_ready:
            self.queue.add(change.entry.key)

    def _host_changed(self, change: Change) -> None:
        if self.is_ready:
            self._add_copy(change.entry)
            if change.new is None and not self.is_on:
                self.check()

    def _add_copy(self, host: Entry) -> None:
        key = self._key(host)
        if key is not None:
            self.queue.add(key)

    def _key(self, host: Entry) -> Key | None:
        """The object inside that a host object is the copy of; None if it is no copy of this kind."""
        found = self._shared.stores.owner(host)
        return None if found is None else self._of(found, host.name)

    def _is_copy(self, host: Object) -> bool:
        owner = identity.owner_of(host)
        if owner is None or owner.cluster != self._shared.cluster.name:
            return False
        return self._of((owner.namespace, owner.name), host["metadata"]["name"]) is not None

    def _of(self, found: Key, host_name: str) -> Key | None:
        namespace, alias = found
        name = self.kind.named(alias)
        if name is None or host_name != self._shared.host_name(namespace, alias):
            return None
        return namespace, name


def _is_refusal(error: ApiError | NameTakenError) -> bool:
    """Whether the host has decided against a copy, and not just failed or been overtaken."""
    if isinstance(error, NameTakenError):
        return True
    overtaken = isinstance(error, ConflictError) or error.code == _TOO_MANY
    return not error.is_outage and not overtaken
