"""What the processes of one test run share: a folder, locks, and the host cluster.

With pytest-xdist a run is one controlling process and several workers. The controller makes the folder and
ends what the run started; the workers find the folder through their input and start things under a lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = pytest.StashKey[Path]()
DEVCLUSTER_TIMEOUT = 900  # seconds; the first `up` builds Kubernetes


def add_options(parser: pytest.Parser) -> None:
    """Options that say which host cluster the end-to-end tests use."""
    group = parser.getgroup("host", "host cluster of the end-to-end tests")
    group.addoption(
        "--host-kubeconfig",
        default=os.environ.get("K3K_TEST_KUBECONFIG"),
        help="use this existing cluster (default: K3K_TEST_KUBECONFIG, else a dev cluster is brought up)",
    )
    group.addoption("--devcluster", default="test", metavar="NAME", help="name of the dev cluster to use")
    group.addoption("--keep-host", action="store_true", help="leave a dev cluster up that this run started")


def devcluster(*args: str) -> str:
    """Runs `python -m devcluster`, which has to succeed; its standard output."""
    command = [sys.executable, "-m", "devcluster", *args]
    result = subprocess.run(
        command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=DEVCLUSTER_TIMEOUT
    )
    if result.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
        )
    return result.stdout


class Run:
    """Pytest plugin that holds the run's folder and takes down what was started for the run."""

    def __init__(self, config: pytest.Config) -> None:
        given = getattr(config, "workerinput", {}).get("run_folder")
        self.folder = Path(given or tempfile.mkdtemp(prefix="k3k-pulumi-tests-"))
        self.controls = given is None
        config.stash[FOLDER] = self.folder

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        node.workerinput["run_folder"] = str(self.folder)  # type: ignore[attr-defined]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.controls:
            return
        started = self.folder / "devcluster-started"
        if started.exists() and not session.config.option.keep_host:
            devcluster("down", "--name", started.read_text())
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Holds a lock among the run's processes."""
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def started_devcluster(folder: Path, name: str) -> Path:
    """Brings the dev cluster up unless it runs, once per run; its kubeconfig."""
    with locked(folder, "devcluster"):
        ready = folder / "devcluster-kubeconfig"
        if not ready.exists():
            if not is_up(name):
                (folder / "devcluster-started").write_text(name)
            devcluster("up", "--name", name)
            ready.write_text(devcluster("kubeconfig", "--name", name).strip())
        return Path(ready.read_text())


def is_up(name: str) -> bool:
    """Whether a dev cluster of that name runs."""
    command = [sys.executable, "-m", "devcluster", "status", "--name", name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60).returncode == 0
