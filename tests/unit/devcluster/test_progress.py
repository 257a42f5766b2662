"""Progress: plain lines in a pipe, a redrawn line on a terminal."""

from __future__ import annotations

import io
import re
import threading

import pytest

from devcluster import progress
from devcluster.progress import Progress, duration


class Terminal(io.StringIO):
    """Remembers what it got; `redrawn` is set once a running step was drawn twice."""

    def __init__(self) -> None:
        super().__init__()
        self.redrawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("compiling") > 1:
            self.redrawn.set()
        return written


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    shown = Progress(stream)
    with shown.step("Build") as step:
        step.result = "12 MB"
    shown.info("between")
    assert re.fullmatch(r"✓ Build: 12 MB  \(\d+\.\d s\)\n  between\n", stream.getvalue())


def test_a_failed_step_is_marked_and_the_error_goes_on() -> None:
    stream = io.StringIO()

    def fail() -> None:
        with Progress(stream, quiet=True).step("Build") as step:
            step.result = "not to be seen"
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert re.fullmatch(r"✗ Build  \(\d+\.\d s\)\n", stream.getvalue())


def test_a_long_step_is_heard_of_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT", 0.01)
    stream = Terminal()
    stream.isatty = lambda: False  # type: ignore[method-assign]
    with Progress(stream).step("Build") as step:
        step.note("compiling")
        assert stream.redrawn.wait(60)
    assert re.search(r"… Build  \(\d+\.\d s\)  compiling\n", stream.getvalue())


def test_elapsed_time_is_redrawn_on_a_terminal() -> None:
    stream = Terminal()
    shown = Progress(stream)
    with shown.step("Outer") as outer:
        outer.note("compiling")
        assert stream.redrawn.wait(60)
        with shown.step("Inner"):  # becomes a note of the outer one
            assert outer.detail == "Inner"
    drawn = stream.getvalue()
    assert re.search(r"\r\x1b\[K\S Outer  \d+\.\d s  compiling", drawn)
    assert drawn.endswith(" s)\n")
    assert "✓ Inner" not in drawn


def test_durations() -> None:
    assert duration(0.04) == "0.0 s"
    assert duration(99.94) == "99.9 s"
    assert duration(271) == "4 min 31 s"
