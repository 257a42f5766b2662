"""A program on a pseudo-terminal, as a person sits before it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from tests.e2e.support.polling import SECONDS


class Terminal:
    """Runs a program on a terminal of its own; leave the context to end it."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], rows: int = 24, columns: int = 80
    ) -> None:
        self._mine, theirs = pty.openpty()
        self.seen = b""
        self.resize(rows, columns)
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._mine)

    def resize(self, rows: int, columns: int) -> None:
        """Changes the window's size; the program gets SIGWINCH."""
        fcntl.ioctl(self._mine, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Types; \\n is the Enter key, \\x03 Ctrl-C."""
        os.write(self._mine, keys.encode())

    def expect(self, text: str, timeout: float = SECONDS) -> str:
        """Reads until the text shows; everything before it, and forgets what was read."""
        deadline = time.monotonic() + timeout
        wanted = text.encode()
        while wanted not in self.seen:
            remaining = deadline - time.monotonic()
            ready = remaining > 0 and select.select([self._mine], [], [], remaining)[0]
            if not ready or not (more := self._read()):
                raise AssertionError(
                    f"no {text!r} on the terminal, but {self.seen.decode(errors='replace')!r}"
                )
            self.seen += more
        before, self.seen = self.seen.split(wanted, 1)
        return before.decode(errors="replace")

    def _read(self) -> bytes:
        try:
            return os.read(self._mine, 65536)
        except OSError:  # EIO: the program is gone
            return b""

    def wait(self, timeout: float = SECONDS) -> int:
        """The program's exit code, when it ends by itself; what it still prints is read away."""
        deadline = time.monotonic() + timeout
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"still running; on the terminal: {self.seen!r}"
            if select.select([self._mine], [], [], 0.1)[0]:
                self.seen += self._read()
        return self._process.returncode
