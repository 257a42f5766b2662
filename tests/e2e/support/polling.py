"""The one place where tests wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

SECONDS = 240.0
"""What a slow and busy machine needs for nearly anything; it is the time of a failure, no other test waits so
long."""


def eventually(check: Callable[[], T], timeout: float = SECONDS, interval: float = 0.25) -> T:
    """Calls `check` until it returns something true, and returns that.

    `check` may also assert; its last AssertionError, or what it last returned, is in the failure's text.

    Args:
        check: asked at least once, and once more when the time is over; other exceptions end the wait.
        timeout: seconds.
        interval: seconds between two calls.
    """
    deadline = time.monotonic() + timeout
    while True:
        last_round = time.monotonic() >= deadline
        failure: AssertionError | None = None
        found: object = None
        try:
            if found := check():
                return found
        except AssertionError as error:
            failure = error
        if last_round:
            raise AssertionError(f"not so within {timeout:g} s: {failure or f'got {found!r}'}") from failure
        time.sleep(interval)


def always(check: Callable[[], object], duration: float, interval: float = 0.25) -> None:
    """Calls `check`, which asserts, again and again for `duration` seconds: it has to hold all the time."""
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        check()
        time.sleep(interval)


def tries(count: int, pause: float) -> Iterator[int]:
    """The numbers of so many tries, 1 and up, `pause` seconds after one another: for what may fail once."""
    for number in range(1, count + 1):
        yield number
        if number < count:
            time.sleep(pause)
