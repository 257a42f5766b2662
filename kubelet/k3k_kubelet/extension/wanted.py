"""Objects inside that the kubelet keeps as it wants them. None stands for a field not to be there."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from k3k_kubelet.api import ApiClient, InvalidError, NotFoundError, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Informer, Store, WorkQueue
from k3k_kubelet.translate.names import DOMAIN

log = logging.getLogger(__name__)

MANAGED = f"{DOMAIN}/managed-by"
"""Label of what is ours, and so put right when it is changed."""


class Keeper(ABC):
    """Looks at objects of ours when one that is watched changes, and when it is told to.

    Args:
        virtual: Virtual API server.
        name: Of what is kept, for the log.
        watched: Cluster-scoped objects, by resource and name.
    """

    def __init__(self, virtual: ApiClient, name: str, *watched: tuple[Resource, str]) -> None:
        self._virtual = virtual
        self._name = name
        self._queue: WorkQueue[str] = WorkQueue(name, self._reconcile, concurrency=1)
        self._informers = []
        for resource, each in watched:
            known = Store()
            self._informers.append(Informer(virtual, resource, known, field_selector=f"metadata.name={each}"))
            known.subscribe(self._changed)

    def add_all(self) -> None:
        """Looks at all of it."""
        self._queue.add(self._name)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())
            group.create_task(self._queue.run())

    @abstractmethod
    async def _reconcile(self, _: str) -> None:
        """Makes what is not there, and puts right what is not as wanted."""

    def _changed(self, _: Change) -> None:
        self.add_all()


def made(resource: Resource, name: str, namespace: str | None, **body: Any) -> Object:
    """An object of ours, to be wanted."""
    metadata: Object = {"name": name, "labels": {MANAGED: "kubelet"}}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}


def is_managed(found: Object) -> bool:
    """Whether an object says that it is ours."""
    return MANAGED in (found["metadata"].get("labels") or {})


async def ensure(
    virtual: ApiClient, resource: Resource, wanted: Object, is_ours: Callable[[Object], bool] | None = None
) -> None:
    """Makes an object, or puts right what it does not have as wanted.

    Args:
        virtual: Virtual API server.
        resource: What it is.
        wanted: What of it has to be so; its name says which it is.
        is_ours: Whether the one that is there may be changed; anyone by default.
    """
    metadata = wanted["metadata"]
    namespace, name = metadata.get("namespace"), metadata["name"]
    found = await find(virtual, resource, namespace, name)
    if found is None:
        await virtual.create(resource, namespace, without_none(wanted))
        log.info("made", extra={"resource": resource.plural, "object": name})
        return
    if (is_ours is not None and not is_ours(found)) or agrees(wanted, found):
        return
    log.info("put right", extra={"resource": resource.plural, "object": name})
    same = {"resourceVersion": found["metadata"]["resourceVersion"]}  # else what it is now may be his
    try:
        await virtual.patch(resource, namespace, name, {**wanted, "metadata": {**metadata, **same}})
    except InvalidError:
        # What cannot be changed back, as a Service's address, is made anew.
        await virtual.delete(resource, namespace, name, uid=found["metadata"]["uid"])
        await virtual.create(resource, namespace, without_none(wanted))


async def find(virtual: ApiClient, resource: Resource, namespace: str | None, name: str) -> Object | None:
    """An object, if it is there."""
    try:
        return await virtual.get(resource, namespace, name)
    except NotFoundError:
        return None


def agrees(wanted: Any, found: Any) -> bool:
    """Whether `found` has all that is wanted; lists have to be equally long."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(agrees(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(agrees(*pair) for pair in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)


def without_none(wanted: dict[str, Any]) -> dict[str, Any]:
    """For a new object: without the fields that must not be there."""
    return {
        key: without_none(value) if isinstance(value, dict) else value
        for key, value in wanted.items()
        if value is not None
    }
