"""Gives memory back to the system: what a burst of streams or pods took would stay for good otherwise.

All of it is for glibc; another C library looks after its heap itself.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc

SECONDS = 5.0
"""After a stream has ended; others that end meanwhile are served by the same turn."""
EVERY_SECONDS = 20.0
"""Between two turns without a stream."""
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_BYTES = 128 * 1024
"""Of an allocation that gets a mapping of its own, and of free memory at the heap's end that goes back. glibc
begins with this but raises both to the size of what was freed. Each TLS connection has a buffer of 256 KB, of
which it uses a few: in the heap all of it would become resident in time, and hold what lies around it."""


def limit() -> bool:
    """Has large buffers leave when they are freed, from now on; False if the C library knows no such way."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(each, _BYTES) for each in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)
    )


class Trim:
    """Trims the heap: when a stream has ended, and now and then."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def soon(self) -> None:
        """Trims after `SECONDS`."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._now)

    async def run(self) -> None:
        """Trims again and again until cancelled."""
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
