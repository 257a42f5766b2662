"""The work queue's promises."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from k3k_kubelet.cache import WorkQueue

from kubelet.tests.waiting import eventually


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


def test_a_slow_key_does_not_delay_another_and_concurrency_is_bounded() -> None:
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
        assert 0.05 <= seen[0] - started < 5
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
