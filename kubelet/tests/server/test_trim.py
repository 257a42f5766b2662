"""After streams, memory goes back to the system."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from k3k_kubelet.server import trim

from kubelet.tests.waiting import eventually

MIB = 1 << 20


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_what_streams_took_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers as streams have them: too small for mappings of their own, freed all but a few in between."""
    monkeypatch.setattr(trim, "SECONDS", 0.01)

    async def run() -> None:
        buffers = [os.urandom(64 * 1024) for _ in range(1500)]
        kept = buffers[::100]
        buffers.clear()
        before = resident()
        streams = trim.Trim()
        streams.soon()
        streams.soon()
        await eventually(lambda: resident() < before - 60 * MIB)
        assert len(kept) == 15

    asyncio.run(run())


# In a process of its own: what other tests have freed would be used again before anything is mapped.
BUFFERS = """
import os
import subprocess
import sys
from pathlib import Path
from k3k_kubelet.server import trim
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
assert trim.limit()
for _ in range(2):  # what is freed first would raise the limit for the second time
    buffers = [bytearray(os.urandom(256 * 1024)) for _ in range(400)]
    kept = buffers[::50]
    before = resident()
    buffers.clear()
print(before - resident())
"""


def test_buffers_of_connections_leave_when_they_are_freed() -> None:
    done = subprocess.run([sys.executable, "-c", BUFFERS], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 90 * MIB
