"""Running programs, with errors a user can act on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from devcluster.errors import DevclusterError

PAUSES = (2.0, 10.0, 30.0, 60.0)
"""Seconds before what is to be fetched is asked for once more: registries have bad minutes."""
ROOT = Path(__file__).resolve().parent.parent
"""The repository."""


def run(
    *command: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Runs a program that has to succeed.

    Args:
        command: Program and arguments.
        stdin: Text for its standard input; none by default.
        env: Variables on top of this process's environment.
        cwd: Working directory; this process's by default.

    Returns:
        Its standard output.

    Raises:
        DevclusterError: It is missing or failed; the message carries its output.
    """
    result = attempt(*command, stdin=stdin, env=env, cwd=cwd)
    if result.returncode:
        said = (result.stderr + result.stdout).strip()
        raise DevclusterError(f"`{shlex.join(map(str, command))}` ended with {result.returncode}:\n{said}")
    return result.stdout


def attempt(
    *command: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Like `run`, but leaves it to the caller to judge the exit code."""
    try:
        return subprocess.run(
            list(map(str, command)),
            input=stdin if stdin is not None else "",
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise DevclusterError(f"the program {command[0]} is missing on this machine") from error


def fetch(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Like `run`, for a program that gets something over the network: it is run again when it fails."""
    for pause in PAUSES:
        result = attempt(*command, env=env, cwd=cwd)
        if result.returncode == 0:
            return result.stdout
        time.sleep(pause)
    return run(*command, env=env, cwd=cwd)


def own(module: str, *words: str) -> str:
    """Runs one of this repository's programs, `python -m MODULE WORDS...`; its progress goes to the terminal.

    Returns:
        What it printed, without white space around it.

    Raises:
        DevclusterError: It failed; why is on the terminal.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise DevclusterError(f"`python -m {shlex.join((module, *words))}` failed, see above")
    return done.stdout.strip()


def works(*command: str | Path) -> bool:
    """Whether the program exists and ends with 0."""
    try:
        return attempt(*command).returncode == 0
    except DevclusterError:
        return False
