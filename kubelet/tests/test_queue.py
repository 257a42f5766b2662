"""The work queue's promises."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from k3k_kubelet.cache import WorkQueue
from k3k_kubelet.cache import queue as queue_module

from kubelet.tests.waiting import eventually, never


def with_queue(
    worker: Callable[[str], Awaitable[float | None]],
    test: Callable[[WorkQueue[str]], Awaitable[None]],
    concurrency: int = 4,
) -> None:
    async def run() -> None:
        queue: WorkQueue[str] = WorkQueue("test", worker, concurrency=concurrency, first_backoff=0.01)
        task = asyncio.create_task(queue.run())
        try:
            await test(queue)
        finally:
            task.cancel()

    asyncio.run(run())


def test_a_key_that_is_added_thrice_is_worked_on_once() -> None:
    seen: list[str] = []

    async def worker(key: str) -> None:
        seen.append(key)

    async def test(queue: WorkQueue[str]) -> None:
        for key in ("a", "a", "b", "a"):
            queue.add(key)
        await eventually(lambda: not len(queue))
        assert sorted(seen) == ["a", "b"]

    with_queue(worker, test)


def test_a_key_added_during_its_work_is_worked_on_once_more_and_never_at_the_same_time() -> None:
    gate = asyncio.Event()
    running: list[str] = []
    done: list[str] = []

    async def worker(key: str) -> None:
        assert key not in running
        running.append(key)
        await gate.wait()
        running.remove(key)
        done.append(key)

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await eventually(lambda: running)
        queue.add("a")
        queue.add("a")
        gate.set()
        await eventually(lambda: not len(queue))
        assert done == ["a", "a"]

    with_queue(worker, test)


def test_a_slow_key_does_not_delay_another_and_concurrency_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "SLOW_SECONDS", 600.0)
    gate = asyncio.Event()
    started: set[str] = set()
    fast: list[str] = []

    async def worker(key: str) -> None:
        started.add(key)
        if key.startswith("slow"):
            await gate.wait()
        else:
            fast.append(key)

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("slow-1")
        queue.add("fast")
        await eventually(lambda: fast)
        queue.add("slow-2")
        await eventually(lambda: "slow-2" in started)
        queue.add("waits")
        for _ in range(5):
            await asyncio.sleep(0)
        assert "waits" not in started
        gate.set()
        await eventually(lambda: "waits" in started)

    with_queue(worker, test, concurrency=2)


def test_a_failing_key_is_tried_until_it_succeeds_later_each_time() -> None:
    times: list[float] = []

    async def worker(key: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 5:
            raise ValueError(key)

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await eventually(lambda: len(times) == 5)
        await eventually(lambda: queue.failures("a") == 0)
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses[0] >= 0.007
        assert pauses[3] >= 0.06

    with_queue(worker, test)


def test_of_two_delays_the_earlier_counts_and_now_is_earliest() -> None:
    seen: list[float] = []

    async def worker(_: str) -> None:
        seen.append(asyncio.get_running_loop().time())

    async def test(queue: WorkQueue[str]) -> None:
        started = asyncio.get_running_loop().time()
        queue.add_after("a", 30)
        queue.add_after("a", 0.05)
        queue.add_after("a", 20)
        await eventually(lambda: seen)
        assert 0.05 <= seen[0] - started < 20
        queue.add_after("b", 30)
        queue.add("b")
        await eventually(lambda: len(seen) == 2)

    with_queue(worker, test)


def test_a_worker_may_ask_for_another_round() -> None:
    seen: list[str] = []

    async def worker(key: str) -> float | None:
        seen.append(key)
        return 0.01 if len(seen) < 3 else None

    async def test(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await eventually(lambda: len(seen) == 3)

    with_queue(worker, test)


def test_keys_that_hang_leave_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "SLOW_SECONDS", 0.1)
    gate = asyncio.Event()
    started: set[str] = set()

    async def worker(key: str) -> None:
        started.add(key)
        if key.startswith("slow"):
            await gate.wait()

    async def test(queue: WorkQueue[str]) -> None:
        for number in range(20):
            queue.add(f"slow-{number}")
        # 2 at a time and 3 times as many slow ones, with the last two counting as going on: then it is full.
        await eventually(lambda: len(started) == 8)
        queue.add("fast")
        await never(lambda: _is(len(started) > 8), 0.3)
        gate.set()
        await eventually(lambda: len(started) == 21)
        await eventually(lambda: not len(queue))
        gate.clear()
        started.clear()
        for number in range(6):
            queue.add(f"slow-{number}")
        await eventually(lambda: len(started) == 6)
        queue.add("fast")
        await eventually(lambda: "fast" in started)

    with_queue(worker, test, concurrency=2)


async def _is(value: bool) -> bool:
    return value


def test_a_queue_holds_each_key_once_however_often_it_is_added() -> None:
    gate = asyncio.Event()

    async def worker(key: str) -> float:
        await gate.wait()
        return 3600.0 + int(key)

    async def test(queue: WorkQueue[str]) -> None:
        gate.set()
        for _ in range(300):
            for number in range(10):
                queue.add(str(number))  # each round ends with a delay of an hour, which the next one shortens
            await eventually(lambda: not len(queue), interval=0)
        held = (queue._waiting, queue._dirty, queue._active, queue._failures, queue._added, queue._slow)
        assert [len(each) for each in held] == [0] * len(held)
        assert len(queue._delayed) == 10
        assert len(queue._heap) <= 2 * 10 + 64
        gate.clear()
        for _ in range(1000):
            queue.add("1")
        assert len(queue._waiting) == 1

    with_queue(worker, test)
