"""Events of the host about copies, told again about the virtual objects, with virtual names."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from k3k_kubelet.api import EVENTS, AlreadyExistsError, ApiError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Informer, Store, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import events, identity

log = logging.getLogger(__name__)

CONCURRENCY = 4
BURST = 25.0
REFILL_SECONDS = 20.0
"""Events of one object: a burst, then one in so many seconds, for a pod that fails again and again."""
NEWS_SECONDS = 600.0
"""Of the events there are at the start, those of the last minutes are told; others were before."""
EARLY_SECONDS = 5.0
"""How long an event waits for what it is about, which comes by another watch: schedulers are quick."""
EARLY_PAUSE = 1.0
REMEMBERED = 2000
"""Objects whose rate is known."""
_REPEATED = ("count", "lastTimestamp", "message", "series", "type")


class RateLimit:
    """Token buckets, one per object; those that were used longest ago are forgotten."""

    def __init__(self, burst: float = BURST, refill: float = REFILL_SECONDS) -> None:
        self._burst = burst
        self._refill = refill
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Takes a token at time `now` (seconds of any clock); False when there is none."""
        tokens, at = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) / self._refill)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return allowed


class Sides(NamedTuple):
    """The two stores of a kind."""

    host: Store
    virtual: Store


class EventMirror:
    """Writes the host's events about our copies into the virtual cluster.

    Args:
        shared: The two clusters.
        sides: Kind -> its stores, of the kinds whose events are told.
        others: names and uids on the host -> inside, of what an object inside has to do with, for messages
            about it.
    """

    def __init__(
        self, shared: Shared, sides: Mapping[str, Sides], others: Callable[[Object], Mapping[str, str]]
    ) -> None:
        self._shared = shared
        self._sides = sides
        self._others = others
        self._store = Store(reduce=_reduce)
        self._limit = RateLimit()
        self._early: dict[Key, float] = {}
        """Event about a host object that is not known -> since when it waits."""
        self._news_from = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=NEWS_SECONDS)
        self.queue: WorkQueue[Key] = WorkQueue("events", self._mirror, concurrency=CONCURRENCY)
        self._store.subscribe(self._changed)
        self._informer = Informer(shared.host, EVENTS, self._store, namespace=shared.cluster.namespace)

    def add_all(self) -> None:
        """Nothing: an event that was lost is no news by then."""

    async def run(self) -> None:
        """Works until cancelled; the host's events are followed by nobody else."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            group.create_task(self.queue.run())

    def _changed(self, change: Change) -> None:
        if change.new is not None:
            self.queue.add(change.new.key)

    async def _mirror(self, key: Key) -> float | None:
        """Tells one event; one too many waits, and is told as it is then."""
        entry = self._store.get(*key)
        if entry is None:
            self._early.pop(key, None)
            return None
        event, again = entry.object(), None
        if self._is_news(event):
            again = self._wait(key, event)
            if again is None:
                self._early.pop(key, None)
                again = await self._tell(event)
        if again is None:
            self._store.forget(entry)
        return again

    def _wait(self, key: Key, event: Object) -> float | None:
        """Seconds until one is looked at again that came before what it is about; None for any other."""
        about = event["involvedObject"]
        sides = self._sides.get(about.get("kind", ""))
        if sides is None or sides.host.by_uid(about.get("uid", "")) is not None:
            return None
        now = asyncio.get_running_loop().time()
        return EARLY_PAUSE if now - self._early.setdefault(key, now) < EARLY_SECONDS else None

    async def _tell(self, event: Object) -> float | None:
        obj = self._virtual(event)
        if obj is None:
            return None
        if not self._limit.take(obj["metadata"]["uid"], asyncio.get_running_loop().time()):
            return REFILL_SECONDS
        told = events.to_virtual(event, obj, self._shared.cluster, self._others(obj))
        try:
            await self._write(told)
        except ApiError as error:
            if error.is_outage:
                raise  # later
            fields = {"event": event["metadata"]["name"], "error": str(error)}
            log.info("event not mirrored", extra=fields)
        return None

    def _is_news(self, event: Object) -> bool:
        series = event.get("series") or {}
        times = (
            event["metadata"]["creationTimestamp"],
            event.get("lastTimestamp"),
            series.get("lastObservedTime"),
        )
        latest = max(datetime.datetime.fromisoformat(text) for text in times if text)
        return latest >= self._news_from

    async def _write(self, event: Object) -> None:
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        try:
            await self._shared.virtual.create(EVENTS, namespace, event)
        except AlreadyExistsError:
            change = {key: event[key] for key in _REPEATED if key in event}
            await self._shared.virtual.patch(EVENTS, namespace, name, change)

    def _virtual(self, event: Object) -> Object | None:
        """The object whose copy a host event is about, if both are what they were then."""
        about = event["involvedObject"]
        sides = self._sides.get(about.get("kind", ""))
        host = sides.host.by_uid(about.get("uid", "")) if sides else None
        owner = identity.owner_of(host.object()) if host else None
        virtual = sides.virtual.by_uid(owner.uid) if sides and owner else None
        return virtual.object() if virtual else None


def _reduce(event: Object) -> None:
    event["metadata"].pop("annotations", None)
