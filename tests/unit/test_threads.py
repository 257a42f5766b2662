"""Work beside the event loop depends on no pool of threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from k3k_pulumi.threads import in_thread


def test_it_ends_while_every_thread_of_the_loops_pool_is_held() -> None:
    release = threading.Event()

    async def program() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        held = loop.run_in_executor(None, release.wait)
        try:
            return await asyncio.wait_for(in_thread(int, "7"), 60.0)
        finally:
            release.set()
            await held

    assert asyncio.run(program()) == 7


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(in_thread(int, "seven"))


def test_who_gives_up_waiting_is_not_held() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        ended.set()

    async def program() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(work), 0.01)
        release.set()
        # Its result comes after all, to nobody.
        assert await in_thread(ended.wait, 60.0)

    asyncio.run(program())
