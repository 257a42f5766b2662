"""What the parts of the build share: programs, their errors, progress with elapsed time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TIMEOUT_SECONDS = 900


class BuildError(RuntimeError):
    """The build cannot go on; the text says what failed and what to do."""


def cache() -> Path:
    """The project's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "k3k-pulumi"


def run(command: Sequence[str | Path], *, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    """Runs a program and returns what it printed.

    Raises:
        BuildError: With the last lines of what it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env=os.environ | (environment or {}),
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise BuildError(f"{' '.join(words[:6])} ... failed with {done.returncode}:\n{said}")
    return done.stdout


def need(programs: dict[str, str]) -> None:
    """Installs the Debian packages whose programs are missing (program -> package)."""
    missing = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise BuildError(f"missing: {', '.join(missing)}; install them, or run as root on Debian or Ubuntu")
    with step(f"apt-get install {' '.join(missing)}"):
        apt = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], environment=apt)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], environment=apt)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Prints a step and, when it is done, its elapsed time."""
    interactive = sys.stderr.isatty()
    if interactive:
        print(f"image: {what} ...", end="\r", file=sys.stderr, flush=True)
    start = time.monotonic()
    yield
    clear = "\x1b[K" if interactive else ""
    print(f"{clear}image: {what}  {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def key(*parts: str | bytes | Path) -> str:
    """A short name for a set of inputs: texts, or the content of files."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def finished(folder: Path) -> Iterator[Path]:
    """A folder that appears under its name only when it was filled without an error."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
