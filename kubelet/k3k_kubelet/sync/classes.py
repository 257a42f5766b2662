"""Classes of the host, shown inside: StorageClasses, IngressClasses, PriorityClasses.

Either those that the host has are read there, or they are made by the names that the policy has. Ours have a
label; a class of the tenant's own by the same name is left to him.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.api import (
    INGRESS_CLASSES,
    PRIORITY_CLASSES,
    STORAGE_CLASSES,
    ConflictError,
    NotFoundError,
    Resource,
)
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Informer, Store, WorkQueue
from k3k_kubelet.extension.wanted import MANAGED, ensure, is_managed, made
from k3k_kubelet.policy import FromHost, Policy
from k3k_kubelet.sync.following import Following
from k3k_kubelet.sync.shared import EXPECTED, Shared
from k3k_kubelet.translate import classes

log = logging.getLogger(__name__)

CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class ClassKind:
    """One kind of classes.

    Attributes:
        resource: The same on both sides.
        setting: The part of the policy that says which are shown.
        inside: What the host's class is inside, or None's, which has a name alone.
        allows: Whether the policy lets the tenant use the class of a name.
    """

    resource: Resource
    setting: Callable[[Policy], FromHost]
    inside: Callable[[Object | None], Object]
    allows: Callable[[Policy, str], bool]


def _has(names: Sequence[str], name: str) -> bool:
    return "*" in names or name in names


KINDS = (
    ClassKind(
        STORAGE_CLASSES,
        lambda policy: policy.sync.from_host.storage_classes,
        classes.storage_class,
        lambda policy, name: _has(policy.sync.to_host.persistent_volume_claims.storage_classes, name),
    ),
    ClassKind(
        INGRESS_CLASSES,
        lambda policy: policy.sync.from_host.ingress_classes,
        classes.ingress_class,
        lambda policy, name: _has(policy.sync.to_host.ingresses.classes, name),
    ),
    ClassKind(
        PRIORITY_CLASSES,
        lambda policy: policy.sync.from_host.priority_classes,
        classes.priority_class,
        lambda policy, name: name in policy.pods.priority_classes and classes.may_be_priority_class(name),
    ),
)


class Classes(Following):
    """Shows the classes of one kind inside.

    Args:
        shared: The two clusters.
        kind: The kind.
    """

    def __init__(self, shared: Shared, kind: ClassKind) -> None:
        super().__init__(kind.resource.plural)
        self._shared = shared
        self._kind = kind
        self._virtual, self._host = Store(), Store()
        self._queue: WorkQueue[str] = WorkQueue(
            kind.resource.plural, self._reconcile, concurrency=CONCURRENCY, expected=EXPECTED
        )
        self._virtual.subscribe(self._changed)
        self._host.subscribe(self._changed)

    @property
    def is_on(self) -> bool:
        """Whether any are shown."""
        return self._setting.enabled or bool(self._setting.names)

    def mode(self) -> object:
        """Whether they are read on the host."""
        return self._setting.enabled

    def add_all(self) -> None:
        """Looks at all of them: at the start, on patrol, and when the policy changed."""
        self.check()
        self.look_at_all()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self.follow())

    def is_needed(self) -> bool:
        """Whether some of ours are left."""
        return not self.is_ready or len(self._virtual) > 0

    async def are_left(self) -> bool:
        """Whether there are some of ours."""
        query = {"labelSelector": MANAGED, "limit": "1"}
        path = self._kind.resource.path()
        return bool((await self._shared.virtual.request("GET", path, query=query)).get("items"))

    async def ended(self) -> None:
        """Forgets everything."""
        self._virtual.clear()
        self._host.clear()

    def new_informers(self) -> Sequence[Informer]:
        """Of ours inside, and of the host's where these are read."""
        shared, resource = self._shared, self._kind.resource
        ours = Informer(shared.virtual, resource, self._virtual, label_selector=MANAGED, metadata_only=True)
        return [ours, Informer(shared.host, resource, self._host)] if self._setting.enabled else [ours]

    def look_at_all(self) -> None:
        """Looks at all of them, if they are known."""
        names = {entry.name for store in (self._virtual, self._host) for entry in store}
        for name in names.union(self._setting.names):
            self._look(name)

    @property
    def _setting(self) -> FromHost:
        return self._kind.setting(self._shared.policy.current)

    async def _reconcile(self, name: str) -> None:
        if not self.is_ready:
            return
        inside, ours = self._inside(name), self._virtual.get("", name)
        if inside is not None:
            wanted = made(self._kind.resource, name, None)
            wanted["metadata"] |= inside.pop("metadata", {})
            await ensure(self._shared.virtual, self._kind.resource, {**wanted, **inside}, is_managed)
        elif ours is not None:
            try:
                await self._shared.virtual.delete(self._kind.resource, None, name, uid=ours.uid)
            except (NotFoundError, ConflictError):
                return  # the watch tells
            log.info("no longer shown", extra={"resource": self._kind.resource.plural, "object": name})

    def _inside(self, name: str) -> dict[str, Any] | None:
        """What a class is to be inside, None for not there."""
        setting, host = self._setting, self._host.get("", name)
        if not self._kind.allows(self._shared.policy.current, name):
            return None
        if not setting.enabled:
            return self._kind.inside(None) if name in setting.names else None
        if host is None or (setting.names and name not in setting.names):
            return None
        found = host.object()
        chosen = setting.selector.matches(found["metadata"].get("labels"))
        return self._kind.inside(found) if chosen else None

    def _changed(self, change: Change) -> None:
        self._look(change.entry.name)

    def _look(self, name: str) -> None:
        if self.is_ready:
            self._queue.add(name)
