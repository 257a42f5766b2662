"""Progress of long work: one line per step with its elapsed time, live on a terminal, plain lines elsewhere.

progress = Progress()
with progress.step("Kubernetes v1.34.4: build") as step:
step.note("compiling")      # shown beside the running step
step.result = "140 MB"      # shown once the step is done
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
REDRAW = 0.1  # seconds between two redraws on a terminal
HEARTBEAT = 30.0  # seconds between two lines of a running step where there is no terminal


def duration(seconds: float) -> str:
    """Seconds as people read them: `0.4 s`, `12.3 s`, `4 min 31 s`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


class Step:
    """A step under way. Set `result` to what is to be shown when it is done."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.result = ""
        self.detail = ""
        self.started = time.monotonic()

    def note(self, detail: str) -> None:
        """What the step is doing now; replaces the note before."""
        self.detail = detail

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started


class Progress:
    """Shows steps one after another; a step inside a step becomes the outer one's note.

    Args:
        stream: Where to write; standard error by default, so that a command's output stays clean.
        quiet: Show only what failed.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._quiet = quiet
        self._lock = threading.Lock()
        self._current: Step | None = None
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since this Progress was made."""
        return time.monotonic() - self._started

    def info(self, text: str) -> None:
        """A line between the steps."""
        if not self._quiet:
            self._write(f"  {text}\n")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Shows a step while its block runs: done when it ends, failed when it raises."""
        outer = self._current
        if outer is not None:
            outer.note(title)
            yield Step(title)
            outer.note("")
            return
        step = self._current = Step(title)
        stop = threading.Event()
        thread = threading.Thread(target=self._show, args=(step, stop), daemon=True)
        if not self._quiet:
            thread.start()
        mark = "✗"
        try:
            yield step
            mark = "✓"
        finally:
            self._current = None
            stop.set()
            if not self._quiet:
                thread.join()
            if not self._quiet or mark == "✗":
                result = f": {step.result}" if step.result and mark == "✓" else ""
                self._write(f"{mark} {step.title}{result}  ({duration(step.elapsed)})\n")

    def _show(self, step: Step, stop: threading.Event) -> None:
        frame = 0
        while not stop.wait(REDRAW if self._live else HEARTBEAT):
            detail = f"  {step.detail}" if step.detail else ""
            if self._live:
                mark = FRAMES[frame % len(FRAMES)]
                self._write(f"{mark} {step.title}  {duration(step.elapsed)}{detail}"[:120])
                frame += 1
            else:
                self._write(f"… {step.title}  ({duration(step.elapsed)}){detail}\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"\r\x1b[K{text}" if self._live else text)
            self._stream.flush()
