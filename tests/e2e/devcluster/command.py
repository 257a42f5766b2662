"""The command `python -m devcluster`, and the dev cluster that tests of it may break."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from devcluster.config import Instance
from devcluster.parts import Parts
from tests.e2e.support.kubectl import Kubectl
from tests.run import ROOT

NAME = "own"
UP_TIMEOUT = 900  # seconds for a command; the first `up` of a machine builds Kubernetes


def devcluster(
    *args: str, environment: dict[str, str] | None = None, timeout: float = UP_TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m devcluster`; whatever came of it."""
    return subprocess.run(
        [sys.executable, "-m", "devcluster", *args],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def succeed(*args: str) -> str:
    """Runs `python -m devcluster`, which has to succeed; its standard output."""
    result = devcluster(*args)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@dataclass
class Own:
    """A dev cluster: its names and addresses, and ways into it."""

    instance: Instance

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.instance.kubeconfig)

    @property
    def parts(self) -> Parts:
        return Parts(self.instance)
