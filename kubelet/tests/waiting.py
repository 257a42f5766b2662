"""The one place where tests of asynchronous code wait for a condition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], T], seconds: float = 20.0, interval: float = 0.02) -> T:
    """Calls `check` until it returns something true, and returns that; fails after `seconds` seconds."""
    deadline = time.monotonic() + seconds
    while True:
        last_round = time.monotonic() >= deadline
        if found := check():
            return found
        assert not last_round, f"not so within {seconds:g} s: got {found!r}"
        await asyncio.sleep(interval)
