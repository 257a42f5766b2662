"""Copies of the ConfigMaps and Secrets that pods and other copies use: kept in step, removed afterwards.

Both sides are watched by metadata alone; data is read when a version differs from what was copied last.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from weakref import WeakValueDictionary

from k3k_kubelet.api import (
    CONFIG_MAPS,
    SECRETS,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    InvalidError,
    NotFoundError,
)
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import NAMESPACE, Change, Entry, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.removals import Removals
from k3k_kubelet.sync.shared import EXPECTED, NameTakenError, Shared
from k3k_kubelet.sync.stores import Reference
from k3k_kubelet.translate import config, identity, services

log = logging.getLogger(__name__)

CONCURRENCY = 8
SERVICES_SECONDS = 0.5
"""Changes of a namespace's Services within this time are one change of their variables: thousands may come at
once. A pod that is made meanwhile does not wait for it."""
NOT_UPDATED = "HostCopyNotUpdated"
"""Reason of the event on what goes on with old data, as the host does not take the new."""
_TOLD = 10
"""Pods, and other objects, that are told of one copy's failure."""

_State = tuple[str, int]
"""What says whether a source has changed: its uid and version; for what we make ourselves a count."""


class ConfigController:
    """Keeps host copies of what pods and other copies use equal to the virtual objects.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.queue: WorkQueue[Reference] = WorkQueue(
            "config", self._work, concurrency=CONCURRENCY, expected=EXPECTED
        )
        self._copied: dict[Reference, tuple[_State, int]] = {}
        """State of the source and version of the copy, when they were made equal last."""
        self._starting: set[Key] = set()
        """Pods whose copy is about to be made."""
        self._service_changes: dict[str, int] = {}
        """Namespace inside that has Services -> number of their last change."""
        self._numbers = itertools.count(1)
        self._locks: WeakValueDictionary[Reference, asyncio.Lock] = WeakValueDictionary()
        self._asking = asyncio.Semaphore(CONCURRENCY)
        """For what pods name and we do not know: of that, one pod may name thousands."""
        stores = shared.stores
        self._removals = Removals(shared.host, *stores.host_config.values())
        for plural, store in stores.virtual_config.items():
            store.subscribe(lambda change, plural=plural: self._source_changed(plural, change))  # type: ignore[misc]
        for plural, store in stores.host_config.items():
            store.subscribe(lambda change, plural=plural: self._copy_changed(plural, change))  # type: ignore[misc]
        stores.virtual_pods.subscribe(self._pod_changed)
        stores.virtual_services.subscribe(self._service_changed)
        shared.uses.subscribe(self.queue.add, self.add_all)

    def add_all(self) -> None:
        """Looks at everything that is used or copied: at the start, and on patrol."""
        for text in self._shared.stores.virtual_pods.values("uses"):
            self.queue.add(Reference.parse(text))
        for reference in self._shared.uses.references():
            self.queue.add(reference)
        for plural, store in self._shared.stores.host_config.items():
            for entry in store:
                self._add_copy(plural, entry)

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    @asynccontextmanager
    async def using(self, pod: Key, references: Iterable[Reference]) -> AsyncIterator[None]:
        """Makes the copies that a pod needs, for the time in which its own copy is made.

        If that fails, what no other pod uses goes again: a tenant could fill the host with copies by pods
        that the host does not take, past every quota on pods.

        Args:
            pod: The pod inside.
            references: What it uses; what has no source is left out.

        Raises:
            ApiError: The host refused one.
            NameTakenError: An object of somebody else has the name.
        """
        wanted = list(references)
        self._starting.add(pod)
        try:
            await self.ensure(wanted)
            yield
        except EXPECTED as error:
            if not (isinstance(error, ApiError) and error.is_outage):
                for reference in wanted:
                    self.queue.add(reference)
            raise
        finally:
            self._starting.discard(pod)

    async def ensure(self, references: Iterable[Reference]) -> None:
        """Makes the copies that a pod with a copy is about to need; those without a source are left out.

        Raises:
            ApiError: The host refused one.
            NameTakenError: An object of somebody else has the name.
        """
        due = [reference for reference in references if not self._can_be_used(reference)]
        await asyncio.gather(*(self._make(reference) for reference in due))

    async def reconcile(self, reference: Reference) -> None:
        """Makes one copy equal to its source, or removes it when nothing uses it or the source is gone."""
        async with self._locks.setdefault(reference, asyncio.Lock()):
            copy, state = self._copy(reference), self._state(reference)
            if state is None or not self._is_used(reference):
                self._copied.pop(reference, None)
                if copy is not None and (state is None or self._shared.uses.are_known):
                    await self._delete(reference, copy)
                return  # at the start; once that is known, everything is looked at again
            if copy is not None and self._copied.get(reference) == (state, copy.version):
                return
            manifest = await self._manifest(reference)
            if manifest is None:
                return
            written = await self._write(reference, manifest, copy)
            self._shared.stores.host_config[reference.plural].observe(_metadata_only(written))
            self._copied[reference] = (state, int(written["metadata"]["resourceVersion"]))

    async def _make(self, reference: Reference) -> None:
        """`reconcile`, where the watch that told of a pod may be ahead of that of what the pod uses."""
        if self._state(reference) is None:
            where = (reference.resource, reference.namespace, reference.name)
            try:
                async with self._asking:
                    source = await self._shared.virtual.get(*where, metadata_only=True)
            except (NotFoundError, InvalidError):  # not there, or nothing that could be
                return
            self._shared.stores.virtual_config[reference.plural].observe(_metadata_only(source))
        await self.reconcile(reference)

    async def _work(self, reference: Reference) -> None:
        """`reconcile`, and a word to those that go on with old data when it fails."""
        try:
            await self.reconcile(reference)
        except (NotFoundError, ConflictError):
            raise
        except (ApiError, NameTakenError) as error:
            if not (isinstance(error, ApiError) and error.is_outage):
                self._tell(reference, error)
            raise

    def _tell(self, reference: Reference, error: Exception) -> None:
        what = f"{reference.resource.kind} {reference.name} is not brought up to date on the host"
        for entry in self._shared.stores.virtual_pods.by_index("uses", str(reference))[:_TOLD]:
            pod = entry.object()
            message = f"{what}: {self._shared.said_inside(pod, error)}"
            self._shared.events.emit(pod, "Warning", NOT_UPDATED, message)
        for resource, obj in itertools.islice(self._shared.uses.users(reference), _TOLD):
            message = f"{what}: {self._shared.said_inside(obj, error)}"
            self._shared.events.emit(obj, "Warning", NOT_UPDATED, message, resource=resource)

    def _can_be_used(self, reference: Reference) -> bool:
        """Whether the copy is there; the variables of Services must also be those of now."""
        if self._copy(reference) is None:
            return False
        known = self._copied.get(reference)
        return reference.name != services.LINKS or (known is not None and known[0] == self._state(reference))

    def _is_used(self, reference: Reference) -> bool:
        """Whether something uses an object that has a copy on the host, or gets one just now."""
        return self._shared.uses.used(reference) or any(
            pod.key in self._starting or self._shared.host_pod(*pod.key) is not None
            for pod in self._shared.stores.virtual_pods.by_index("uses", str(reference))
        )

    def _state(self, reference: Reference) -> _State | None:
        """What the copy is to follow; None if there is nothing to copy."""
        if _is_root_ca(reference) or reference.name == services.KUBERNETES:
            return "", 0
        if reference.name == services.LINKS:
            return "", self._state_of_services(reference.namespace)
        source = self._shared.stores.virtual_config[reference.plural].get(reference.namespace, reference.name)
        return (source.uid, source.version) if source else None

    def _state_of_services(self, namespace: str) -> int:
        if not self._shared.stores.virtual_services.by_index(NAMESPACE, namespace):
            return _NO_SERVICES
        return self._service_changes.get(namespace, 0)

    async def _manifest(self, reference: Reference) -> Object | None:
        shared, namespace = self._shared, reference.namespace
        if _is_root_ca(reference):
            return config.root_ca(shared.cluster, namespace, shared.root_ca)
        if reference.name in (services.LINKS, services.KUBERNETES):
            found = shared.stores.virtual_services.by_index(NAMESPACE, namespace)
            objects = (entry.object() for entry in found)
            return services.config_map(shared.cluster, namespace, reference.name, objects)
        try:
            source = await shared.virtual.get(reference.resource, namespace, reference.name)
        except NotFoundError:  # the watch will tell
            return None
        if reference.resource is SECRETS:
            return config.secret_to_host(source, shared.cluster)
        return config.config_map_to_host(source, shared.cluster)

    async def _write(self, reference: Reference, manifest: Object, copy: Entry | None) -> Object:
        """Creates or replaces the copy; makes a Secret anew whose type has changed."""
        host, namespace = self._shared.host, self._shared.cluster.namespace
        name = manifest["metadata"]["name"]
        if copy is None:
            try:
                return await host.create(reference.resource, namespace, manifest)
            except AlreadyExistsError:
                found = await host.get(reference.resource, namespace, name)
                self._check_owner(reference, found)
        else:
            found = copy.object()
        versions = {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        replacement = {**manifest, "metadata": {**manifest["metadata"], **versions}}
        try:
            return await host.replace(reference.resource, namespace, name, replacement)
        except InvalidError as error:
            if not any(cause.get("field") == "type" for cause in error.details.get("causes") or ()):
                raise  # an admission policy of the host's: without a copy the pods would be worse off
            await host.delete(reference.resource, namespace, name, uid=versions["uid"])
            return await host.create(reference.resource, namespace, manifest)

    def _check_owner(self, reference: Reference, found: Object) -> None:
        owner = identity.owner_of(found)
        wanted = (self._shared.cluster.name, reference.namespace, reference.name)
        if owner is None or (owner.cluster, owner.namespace, owner.name) != wanted:
            raise NameTakenError(reference.resource.kind, found["metadata"]["name"], owner)

    async def _delete(self, reference: Reference, copy: Entry) -> None:
        if await self._removals.delete(reference.resource, copy):
            log.info("copy removed", extra={"object": str(reference), "host_name": copy.name})

    def _copy(self, reference: Reference) -> Entry | None:
        """The host's copy, if its annotations say that it is the one of this object."""
        stores = self._shared.stores
        name = self._shared.host_name(reference.namespace, reference.name)
        entry = stores.host_config[reference.plural].get(self._shared.cluster.namespace, name)
        if entry is None or stores.owner(entry) != (reference.namespace, reference.name):
            return None
        return None if entry in self._removals else entry

    def _source_changed(self, plural: str, change: Change) -> None:
        reference = Reference(plural, *change.entry.key)
        is_used = self._shared.uses.used(reference)
        if (
            is_used
            or self._copy(reference)
            or self._shared.stores.virtual_pods.by_index("uses", str(reference))
        ):
            self.queue.add(reference)

    def _copy_changed(self, plural: str, change: Change) -> None:
        self._add_copy(plural, change.entry)

    def _add_copy(self, plural: str, copy: Entry) -> None:
        owner = self._shared.stores.owner(copy)
        if owner is None:
            return
        if copy.name == self._shared.host_name(*owner):  # token Secrets have names of their own
            self.queue.add(Reference(plural, *owner))

    def _pod_changed(self, change: Change) -> None:
        """What a pod uses no more may have to go, what it uses from now on is made.

        What a new pod uses is made with its copy.
        """
        if change.old is None:
            return
        used = partial(self._shared.stores.virtual_pods.values_of, "uses")
        before = set(used(change.old))
        now = set(used(change.new)) if change.new else set()
        for text in before ^ now:
            self.queue.add(Reference.parse(text))

    def _service_changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and old.object()["spec"] == new.object()["spec"]:
            return
        namespace = change.entry.namespace
        self._service_changes[namespace] = next(self._numbers)
        if self._state_of_services(namespace) == _NO_SERVICES:
            del self._service_changes[namespace]
        self.queue.add_after(Reference(CONFIG_MAPS.plural, namespace, services.LINKS), SERVICES_SECONDS)


_NO_SERVICES = -1


def _is_root_ca(reference: Reference) -> bool:
    """Each namespace has the virtual API server's CA there; pods may come before the controllers made it."""
    return reference.resource is CONFIG_MAPS and reference.name == config.ROOT_CA


def _metadata_only(obj: Object) -> Object:
    return {"metadata": obj["metadata"]}
