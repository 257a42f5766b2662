"""Gives memory back to the system: what a burst of streams or pods took would stay for good otherwise."""

from __future__ import annotations

import asyncio
import ctypes
import gc

SECONDS = 5.0
"""After a stream has ended; others that end meanwhile are served by the same turn."""
EVERY_SECONDS = 60.0
"""Between two turns without a stream."""


class Trim:
    """Trims the heap: when a stream has ended, and now and then."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        # Of glibc alone; another C library looks after its heap itself.
        self._malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def soon(self) -> None:
        """Trims after `SECONDS`."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._now)

    async def run(self) -> None:
        """Trims each minute until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self._trim()

    def _now(self) -> None:
        self._timer = None
        gc.collect()
        self._trim()

    def _trim(self) -> None:
        if self._malloc_trim is not None:
            self._malloc_trim(0)
