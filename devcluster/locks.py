"""Locks between processes of one user: two `up` at a time must not do the same work twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster import config


@contextmanager
def locked(what: str) -> Iterator[None]:
    """Holds the lock of that name while the block runs; waits for it as long as it takes."""
    folder = config.cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
