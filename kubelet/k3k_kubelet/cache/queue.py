"""A queue of keys whose work is done one at a time per key, again and again until it succeeds."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from k3k_kubelet import metrics
from k3k_kubelet.api.errors import ApiError

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
Worker = Callable[[K], Awaitable[float | None]]
"""Does the work of a key. A number: again after so many seconds. An exception: again, later each time."""

FIRST_BACKOFF, LAST_BACKOFF = 0.05, 60.0
SLOW_SECONDS = 2.0
SLOW_SHARE = 3
"""Work that takes longer than so many seconds no longer counts as going on, for up to so many times as many
keys as may be worked on otherwise: calls that hang (a webhook's, say) do not keep the others waiting."""
OUTAGE_BACKOFF = 5.0
"""The longest back-off while a server does not answer or is not itself: work goes on soon after."""


class WorkQueue(Generic[K]):
    """Keys with work to do.

    A key that is added several times before its work begins is worked on once; one that is added while its
    work is going on, once more afterwards. No order is kept, nobody waits for ever, nothing is given up.
    A key is in memory once however often it is added: 0.5 kB each at the most.

    Args:
        name: For the log.
        worker: Does the work.
        concurrency: How many keys at a time, slow ones apart.
        first_backoff: Seconds after the first failure of a key, doubled with each one up to a minute.
        expected: Exceptions that are part of life and are logged without a traceback.
    """

    def __init__(
        self,
        name: str,
        worker: Worker[K],
        *,
        concurrency: int = 32,
        first_backoff: float = FIRST_BACKOFF,
        expected: tuple[type[Exception], ...] = (ApiError,),
    ) -> None:
        self.name = name
        self._worker = worker
        self._concurrency = concurrency
        self._first_backoff = first_backoff
        self._expected = expected
        self._waiting: deque[K] = deque()
        self._dirty: set[K] = set()
        self._active: dict[K, asyncio.Task[None]] = {}
        self._slow: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._wake = asyncio.Event()
        self._added: dict[K, float] = {}
        self._adds = metrics.QUEUE_ADDS.labels(name)
        self._retries = metrics.QUEUE_RETRIES.labels(name)
        self._wait_seconds = metrics.QUEUE_WAIT_SECONDS.labels(name)
        self._work_seconds = metrics.QUEUE_WORK_SECONDS.labels(name)
        metrics.observe(metrics.QUEUE_DEPTH, lambda: len(self._dirty), name=name)

    def __len__(self) -> int:
        """Keys that wait or are being worked on, without the delayed ones."""
        return len(self._dirty | self._active.keys())

    def add(self, key: K) -> None:
        """Adds a key now. A delay or back-off of it ends; how long the next back-off is does not change."""
        self._delayed.pop(key, None)
        if key in self._dirty:
            return
        self._dirty.add(key)
        self._added[key] = time.monotonic()
        self._adds.inc()
        if key not in self._active:
            self._waiting.append(key)
            self._wake.set()

    def add_after(self, key: K, delay: float) -> None:
        """Adds a key after some seconds, unless it has an earlier time already."""
        when = asyncio.get_running_loop().time() + delay
        if when < self._delayed.get(key, float("inf")):
            self._delayed[key] = when
            self._count += 1
            heapq.heappush(self._heap, (when, self._count, key))
            if len(self._heap) > 2 * len(self._delayed) + 64:  # most of it are times that no longer hold
                self._heap = [each for each in self._heap if self._delayed.get(each[2]) == each[0]]
                heapq.heapify(self._heap)
            self._wake.set()

    def failures(self, key: K) -> int:
        """How often the key's work has failed in a row."""
        return self._failures.get(key, 0)

    async def run(self) -> None:
        """Works until cancelled; then work that is going on is cancelled as well."""
        try:
            while True:
                self._wake.clear()
                due = self._take_due()
                while self._waiting and len(self._active) - len(self._slow) < self._concurrency:
                    self._start(self._waiting.popleft())
                try:
                    async with asyncio.timeout(due):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            tasks = list(self._active.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take_due(self) -> float | None:
        """Moves the delayed keys whose time has come; returns the seconds until the next one."""
        now = asyncio.get_running_loop().time()
        while self._heap:
            when, _, key = self._heap[0]
            if self._delayed.get(key) != when:
                heapq.heappop(self._heap)
            elif when <= now:
                heapq.heappop(self._heap)
                self.add(key)
            else:
                return when - now
        return None

    def _start(self, key: K) -> None:
        self._dirty.discard(key)
        self._wait_seconds.observe(time.monotonic() - self._added.pop(key))
        self._active[key] = asyncio.create_task(self._work(key), name=f"{self.name} {key}")

    async def _work(self, key: K) -> None:
        began = time.monotonic()
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._takes_long, key)
        try:
            again = await self._worker(key)
        except Exception as error:
            self._failed(key, error)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.add_after(key, again)
        finally:
            self._work_seconds.observe(time.monotonic() - began)
            slow.cancel()
            del self._active[key]
            self._slow.discard(key)
            if key in self._dirty:
                self._waiting.append(key)
            self._wake.set()

    def _takes_long(self, key: K) -> None:
        if len(self._slow) < SLOW_SHARE * self._concurrency:
            self._slow.add(key)
            self._wake.set()

    def _failed(self, key: K, error: Exception) -> None:
        self._retries.inc()
        count = self._failures[key] = self._failures.get(key, 0) + 1
        outage = isinstance(error, ApiError) and error.is_outage
        longest = OUTAGE_BACKOFF if outage else LAST_BACKOFF
        pause = min(self._first_backoff * 2 ** min(count - 1, 20), longest)
        pause *= random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        expected = isinstance(error, self._expected)
        log.log(
            logging.INFO if expected and count < 4 else logging.WARNING,
            "work failed",
            extra={"queue": self.name, "key": str(key), "failures": count, "error": str(error)},
            exc_info=None if expected else error,
        )
        self.add_after(key, pause)
