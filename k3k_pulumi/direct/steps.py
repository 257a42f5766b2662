"""Progress: each step of the work as a context that a caller may show, time or log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

OnStep = Callable[[str], AbstractContextManager[object]]
"""Called with a step's title when it begins; its context is left when the step ends, also by an error."""


def silent(title: str) -> AbstractContextManager[object]:
    """Shows nothing."""
    return nullcontext(title)
