"""Copies of the ConfigMaps and Secrets that pods use, kept in step while they are used, removed afterwards.

Both sides are watched by metadata alone; data is read when a version differs from what was copied last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from k3k_kubelet.api import CONFIG_MAPS, SECRETS, AlreadyExistsError, InvalidError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Entry, WorkQueue
from k3k_kubelet.sync.shared import EXPECTED, NameTakenError, Shared
from k3k_kubelet.sync.stores import Reference
from k3k_kubelet.translate import config, identity

log = logging.getLogger(__name__)

CONCURRENCY = 8


class ConfigController:
    """Keeps host copies of what pods use equal to the virtual objects.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.queue: WorkQueue[Reference] = WorkQueue(
            "config", self.reconcile, concurrency=CONCURRENCY, expected=EXPECTED
        )
        self._copied: dict[Reference, tuple[str, int, int]] = {}
        """uid and version of the source and version of the copy, when they were made equal last."""
        stores = shared.stores
        for plural, store in stores.virtual_config.items():
            store.subscribe(lambda change, plural=plural: self._source_changed(plural, change))  # type: ignore[misc]
        for plural, store in stores.host_config.items():
            store.subscribe(lambda change, plural=plural: self._copy_changed(plural, change))  # type: ignore[misc]
        stores.virtual_pods.subscribe(self._pod_changed)

    def add_all(self) -> None:
        """Looks at everything that is used or copied: at the start, and on patrol."""
        for text in self._shared.stores.virtual_pods.values("uses"):
            self.queue.add(Reference.parse(text))
        for plural, store in self._shared.stores.host_config.items():
            for entry in store:
                self._add_copy(plural, entry)

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    async def ensure(self, references: Iterable[Reference]) -> None:
        """Makes the copies that a pod is about to need; those without a source are left out.

        Raises:
            ApiError: The host refused one.
            NameTakenError: An object of somebody else has the name.
        """
        missing = [reference for reference in references if self._copy(reference) is None]
        await asyncio.gather(*(self.reconcile(reference) for reference in missing))

    async def reconcile(self, reference: Reference) -> None:
        """Makes one copy equal to its source, or removes it when no pod uses it or the source is gone."""
        stores = self._shared.stores
        copy = self._copy(reference)
        used = bool(stores.virtual_pods.by_index("uses", str(reference)))
        source = stores.virtual_config[reference.plural].get(reference.namespace, reference.name)
        if not used or (source is None and not _is_root_ca(reference)):
            self._copied.pop(reference, None)
            if copy is not None:
                await self._delete(reference, copy)
            return
        if _is_root_ca(reference):
            state = ("", 0)
        else:
            assert source is not None  # noqa: S101 - see above
            state = (source.uid, source.version)
        if copy is not None and self._copied.get(reference) == (*state, copy.version):
            return
        manifest = await self._manifest(reference)
        if manifest is None:
            return
        written = await self._write(reference, manifest, copy)
        stores.host_config[reference.plural].observe(_metadata_only(written))
        self._copied[reference] = (*state, int(written["metadata"]["resourceVersion"]))

    async def _manifest(self, reference: Reference) -> Object | None:
        shared = self._shared
        if _is_root_ca(reference):
            return config.root_ca(shared.cluster, reference.namespace, shared.root_ca)
        try:
            source = await shared.virtual.get(reference.resource, reference.namespace, reference.name)
        except NotFoundError:  # the watch will tell
            return None
        if reference.resource is SECRETS:
            return config.secret_to_host(source, shared.cluster)
        return config.config_map_to_host(source, shared.cluster)

    async def _write(self, reference: Reference, manifest: Object, copy: Entry | None) -> Object:
        """Creates or replaces the copy; makes it anew where that is not allowed (a Secret's type)."""
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
        except InvalidError:
            await host.delete(reference.resource, namespace, name, uid=versions["uid"])
            return await host.create(reference.resource, namespace, manifest)

    def _check_owner(self, reference: Reference, found: Object) -> None:
        owner = identity.owner_of(found)
        wanted = (self._shared.cluster.name, reference.namespace, reference.name)
        if owner is None or (owner.cluster, owner.namespace, owner.name) != wanted:
            raise NameTakenError(reference.resource.kind, found["metadata"]["name"], owner)

    async def _delete(self, reference: Reference, copy: Entry) -> None:
        try:
            await self._shared.host.delete(reference.resource, copy.namespace, copy.name, uid=copy.uid)
        except NotFoundError:
            return
        log.info("copy removed", extra={"object": str(reference), "host_name": copy.name})

    def _copy(self, reference: Reference) -> Entry | None:
        """The host's copy, if its annotations say that it is the one of this object."""
        stores = self._shared.stores
        name = self._shared.host_name(reference.namespace, reference.name)
        entry = stores.host_config[reference.plural].get(self._shared.cluster.namespace, name)
        if entry is None or stores.owner(entry) != (reference.namespace, reference.name):
            return None
        return entry

    def _source_changed(self, plural: str, change: Change) -> None:
        reference = Reference(plural, *change.entry.key)
        if self._copy(reference) or self._shared.stores.virtual_pods.by_index("uses", str(reference)):
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
        """What a pod uses no more may have to go; what it uses anew is made with its host pod."""
        before = set(change.old.values[_USES]) if change.old else set()
        now = set(change.new.values[_USES]) if change.new else set()
        for text in before - now:
            self.queue.add(Reference.parse(text))


_USES = 1
"""Position of the index `uses` of virtual pods."""


def _is_root_ca(reference: Reference) -> bool:
    """Each namespace has the virtual API server's CA there; pods may come before the controllers made it."""
    return reference.resource is CONFIG_MAPS and reference.name == config.ROOT_CA


def _metadata_only(obj: Object) -> Object:
    return {"metadata": obj["metadata"]}
