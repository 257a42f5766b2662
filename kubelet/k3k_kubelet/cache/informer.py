"""Keeps a store equal to a collection of an API server: list, watch, and list again where one got lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping

from k3k_kubelet import metrics
from k3k_kubelet.api.client import ApiClient, Object
from k3k_kubelet.api.errors import ApiError, GoneError, UnreachableError
from k3k_kubelet.api.resources import Resource
from k3k_kubelet.api.watch import IDLE_SECONDS, watch
from k3k_kubelet.cache.store import Key, OddObjectError, Store, key_of

log = logging.getLogger(__name__)

FIRST_PAUSE, LAST_PAUSE = 0.2, 5.0
"""Seconds between tries after errors: doubled from the first to the last."""
VERIFIED_AT_ONCE = 100
"""Objects of a page of `verify`: with their managedFields, a few kB each."""
IN_FLIGHT_SECONDS = 3.0
"""How long a change may be under way to us before it counts as lost."""


_ODD = (AttributeError, LookupError, TypeError, ValueError)
"""What comes of a list or an event that is like none."""


def _answer_is_none(odd: Exception) -> UnreachableError:
    return UnreachableError(f"the answer is none of an API server: {type(odd).__name__}")


class Informer:
    """List and watch of one collection into a store, for as long as the task runs.

    Args:
        client: The API server.
        resource: What to keep.
        store: Where to.
        namespace: One namespace, None for all.
        label_selector: Only objects with these labels.
        field_selector: Only objects with these fields.
        metadata_only: Keep metadata alone; the server sends no more than that.
        idle: Seconds without a byte after which a watch counts as dead.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        store: Store,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self.store = store
        self.resource = resource
        self.synced = asyncio.Event()
        """Set after the first full list."""
        self._client = client
        self._namespace = namespace
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._query: Mapping[str, str] = {name: text for name, text in selectors.items() if text}
        self._metadata_only = metadata_only
        self._idle = idle
        self._version: str | None = None
        self._complete = 0
        """Every change up to this version has reached the store."""
        self._was_cut = False
        self._failures = 0
        self._watching: asyncio.Timeout | None = None
        self._labels = {"api": client.endpoint.name, "resource": resource.plural}
        metrics.observe(metrics.OBJECTS, lambda: len(store), **self._labels)

    async def run(self) -> None:
        """Keeps the store current until cancelled; errors are logged and tried again without end."""
        while True:
            reason, error = "ended", None
            began = time.monotonic()
            try:
                if self._version is None:
                    await self._list()
                elif self._was_cut:
                    await self._check_history(self._version)
                self._was_cut = False
                began = time.monotonic()
                async with asyncio.timeout(None) as self._watching:
                    await self._watch()
            except GoneError as gone:
                reason, self._version = "gone", None
                log.info("list again", extra={"resource": self.resource.plural, "why": gone.message})
            except TimeoutError:
                reason, self._version = "lost", None
            except ApiError as failed:
                reason, error, self._was_cut = "failed", failed, True
            except _ODD as odd:
                reason, error, self._version = "failed", _answer_is_none(odd), None
            finally:
                self._watching = None
            metrics.WATCH_RESTARTS.labels(**self._labels, reason=reason).inc()
            await self._pause(error, time.monotonic() - began)

    async def verify(self) -> None:
        """Compares the store with the server, and lists again where a change got lost on its way.

        No watch of a working API server loses one. But one that merely seems to live may, and nothing else
        would find that before the object changes again.

        Raises:
            ApiError: The server cannot be asked, or gives no answer.
        """
        try:
            await self._verify()
        except _ODD as odd:
            raise _answer_is_none(odd) from odd

    async def _verify(self) -> None:
        if self._watching is None:  # it is about to find out itself
            return
        found: dict[Key, int] = {}
        version = ""
        async for page in self._client.pages(
            *(self.resource, self._namespace), query=self._query, metadata_only=True, size=VERIFIED_AT_ONCE
        ):
            version = version or page["metadata"]["resourceVersion"]
            for obj in page.get("items") or ():
                with contextlib.suppress(OddObjectError):
                    key, found_at = key_of(obj)
                    found[key] = found_at
        if lost := self._differences(found, int(version)):
            await asyncio.sleep(IN_FLIGHT_SECONDS)
            lost &= self._differences(found, int(version))
            if lost and self._watching is not None:
                fields = {"resource": self.resource.plural, "objects": len(lost)}
                log.warning("the watch has lost changes", extra=fields)
                self._watching.reschedule(asyncio.get_running_loop().time())

    def _differences(self, found: Mapping[Key, int], version: int) -> set[Key]:
        """What the store has in an older state than the server had at `version`, or what was gone by then."""
        gone = {each.key for each in self.store if each.version <= version and each.key not in found}
        return gone | {key for key, at in found.items() if not self.store.has(key, at)}

    async def _check_history(self, version: str) -> None:
        """After a lost connection: a server that came back without its data would send us nothing for long.

        Raises:
            GoneError: Its newest version is older than ours.
        """
        path, query = self.resource.path(self._namespace), {**self._query, "limit": "1"}
        page = await self._client.request("GET", path, query=query)
        newest = page["metadata"]["resourceVersion"]
        if int(newest) < int(version):
            raise GoneError(410, "Expired", f"the server is at version {newest}, we were at {version}")

    async def _pause(self, error: ApiError | None, lasted: float) -> None:
        """Waits after the end of a watch, longer each time unless it lasted for a while.

        A first end without an error is the server's way of going on: then we do as well, at once.
        """
        self._failures = 1 if lasted > LAST_PAUSE else self._failures + 1
        if error is None and self._failures == 1:
            return
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LAST_PAUSE)
        if error is not None:
            pause = max(pause, error.retry_after or 0.0)
            level = logging.WARNING if self._failures > 1 else logging.INFO
            fields = {"resource": self.resource.plural, "error": str(error), "pause": round(pause, 1)}
            log.log(level, "list or watch failed", extra=fields)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311

    async def _list(self) -> None:
        """One consistent list; what it lacks is removed from the store, as if a watch had told of it."""
        keys: set[Key] = set()
        version = ""
        pages = self._client.pages(
            self.resource, self._namespace, query=self._query, metadata_only=self._metadata_only
        )
        async for page in pages:
            if not version and int(page["metadata"]["resourceVersion"]) < self.store.seen_version:
                self.store.rewind()
                self._complete = 0
            version = page["metadata"]["resourceVersion"]
            for obj in page.get("items") or ():
                try:
                    key, found_at = key_of(obj)
                except OddObjectError as error:
                    fields = {"resource": self.resource.plural, "error": str(error)}
                    log.warning("what is like no object is left out of a list", extra=fields)
                    continue
                keys.add(key)
                if not self._is_forgotten(key, found_at):
                    self.store.put(obj)
        self.store.retain(keys, int(version))
        self._version, self._complete = version, int(version)
        if not self.synced.is_set():
            log.info("synced", extra={"resource": self.resource.plural, "objects": len(self.store)})
            self.synced.set()

    def _is_forgotten(self, key: Key, version: int) -> bool:
        """Whether a list brings something that the store has had, and has dealt with."""
        return self.store.forgets and version <= self._complete and self.store.get(*key) is None

    async def _watch(self) -> None:
        assert self._version is not None  # noqa: S101 - run() lists first
        events = watch(
            self._client,
            self.resource,
            self._namespace,
            self._version,
            query=self._query,
            metadata_only=self._metadata_only,
            idle=self._idle,
        )
        async for kind, obj in events:
            self._failures = 0
            version = obj["metadata"]["resourceVersion"]
            self._take(kind, obj)
            self._version, self._complete = version, int(version)

    def _take(self, kind: str, obj: Object) -> None:
        if kind == "DELETED":
            self.store.remove(obj)
        elif kind == "BOOKMARK":
            self.store.seen_version = max(self.store.seen_version, int(obj["metadata"]["resourceVersion"]))
        else:
            self.store.put(obj)
