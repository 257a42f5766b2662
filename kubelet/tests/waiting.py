"""The one place where tests of asynchronous code wait for a condition."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 120.0
"""What a busy machine needs for anything; it is the time of a failure, no other test waits so long."""


async def eventually(
    check: Callable[[], T | Awaitable[T]], seconds: float = SECONDS, interval: float = 0.02
) -> T:
    """Calls `check` (which may be asynchronous) until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        last_round = time.monotonic() >= deadline
        found = check()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        assert not last_round, f"not so within {seconds:g} s: got {value!r}"
        await asyncio.sleep(interval)


async def never(check: Callable[[], Awaitable[object]], seconds: float, interval: float = 0.1) -> None:
    """Calls `check` for some time; it has to return something false each time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = await check()
        assert not found, f"got {found!r}"
        await asyncio.sleep(interval)
