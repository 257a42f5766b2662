"""What the processes of one test run share: a folder, locks, and the host cluster.

With pytest-xdist a run is one controlling process and several workers. The controller makes the folder and
ends what the run started; the workers find the folder through their input and start things under a lock.
At the end the controller compares what the virtual kubelets asked of the host with their rights.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import parts

ROOT = Path(__file__).parent.parent
FOLDER = pytest.StashKey[Path]()
TOOL_TIMEOUT = 5400  # seconds; the first `up` builds Kubernetes


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


def tool(module: str, *args: str) -> str:
    """Runs a program of this repository, which has to succeed; its standard output, stripped.

    One that fails is run once more, and the run's summary has why: each completes what it finds, and what a
    machine or a registry had no time for must not be every test's failure.
    """
    command = [sys.executable, "-m", module, *args]
    for is_last in (False, True):
        result = subprocess.run(
            command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=TOOL_TIMEOUT
        )
        if result.returncode == 0:
            break
        said = f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
        if is_last:
            raise RuntimeError(said)
        warnings.warn(said, stacklevel=2)
    return result.stdout.strip()


class Run:
    """Pytest plugin that holds the run's folder and takes down what was started for the run."""

    def __init__(self, config: pytest.Config) -> None:
        given = getattr(config, "workerinput", {}).get("run_folder")
        self.folder = Path(given or tempfile.mkdtemp(prefix="k3k-pulumi-tests-"))
        self.controls = given is None
        config.stash[FOLDER] = self.folder
        self._since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._problem = ""
        self._rights: tuple[list[str], str] = [], ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        node.workerinput["run_folder"] = str(self.folder)  # type: ignore[attr-defined]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.controls:
            return
        try:
            self._check_rights(session)
        except Exception as error:
            self._rights = [f"the audit log could not be read: {error!r}"], ""
        if self._rights[0] and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        try:
            self._end(keep_host=session.config.option.keep_host)
        except Exception as error:
            # Raised on, it would take the summary of the tests with it.
            self._problem = f"what the run started could not be removed: {error}"
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        wrong, summary = self._rights
        if wrong or summary:
            terminalreporter.section("the virtual kubelets' rights on the host", red=bool(wrong))
            for line in filter(None, (*wrong, summary)):
                terminalreporter.line(line)
        if self._problem:
            terminalreporter.section("clean-up", red=True)
            terminalreporter.line(self._problem)

    def _check_rights(self, session: pytest.Session) -> None:
        """Reads the host's audit log. Somebody else's host (`--host-kubeconfig`) has none that we could."""
        if not (self.folder / "devcluster-kubeconfig").exists():
            return
        # Only here, so that runs without a cluster do not load the models.
        from tests.e2e.support import rights

        log = Path(tool("devcluster", "audit-log", "--name", session.config.option.devcluster))
        self._rights = rights.check(log, self._since, whole=is_whole(session))

    def _end(self, *, keep_host: bool) -> None:
        started = self.folder / "devcluster-started"
        if started.exists() and not keep_host:
            tool("devcluster", "down", "--name", started.read_text())
        else:
            # Only here, so that runs without a cluster do not load the Kubernetes client.
            from tests.e2e.support import device_plugin, ingress_controller
            from tests.e2e.support.shared import remove_shared_clusters

            remove_shared_clusters(self.folder)
            ingress_controller.remove(self.folder)
            device_plugin.remove(self.folder)
        shutil.rmtree(self.folder)


def is_whole(session: pytest.Session, folder: Path = ROOT / "tests/e2e") -> bool:
    """Whether a run is of all tests of a folder, and none was chosen, left out or not reached."""
    config = session.config
    narrowed = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
    left_out = config.pluginmanager.get_plugin("k3k-completeness").left_out
    stopped = session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
    if any(config.getoption(name, None) for name in narrowed) or left_out or stopped:
        return False
    asked = (Path(config.invocation_params.dir, arg).resolve() for arg in config.args)
    return any(folder.is_relative_to(each) for each in asked)


@contextmanager
def locked(folder: Path, name: str, *, shared: bool = False) -> Iterator[None]:
    """Holds a lock among the run's processes, together with all who hold it as a shared one, or alone."""
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def missing_part(folder: Path, name: str) -> str | None:
    """Why a part is not at hand, None when it is, as the first of the run's processes has found it.

    Args:
        folder: the run's.
        name: of `tests.parts.PARTS`.
    """
    with locked(folder, f"part-{name}"):
        found = folder / f"part-{name}"
        if not found.exists():
            found.write_text(parts.missing(name) or "")
        return found.read_text() or None


def started_devcluster(folder: Path, name: str) -> Path:
    """Brings the dev cluster up unless it runs, once per run; its kubeconfig."""
    with locked(folder, "devcluster"):
        ready = folder / "devcluster-kubeconfig"
        if not ready.exists():
            if not _is_up(name):
                (folder / "devcluster-started").write_text(name)
            tool("devcluster", "up", "--name", name)
            ready.write_text(tool("devcluster", "kubeconfig", "--name", name))
        return Path(ready.read_text())


def load_image(folder: Path, name: str, module: str) -> None:
    """Builds an image by `python -m MODULE`, which prints its archive, and loads it, once per run.

    Args:
        folder: the run's.
        name: of the dev cluster.
        module: as `kubelet.image`.
    """
    with locked(folder, f"image-{module}"):
        loaded = folder / f"image-{module}-loaded-{name}"
        if not loaded.exists():
            tool("devcluster", "load", tool(module), "--name", name)
            loaded.touch()


def load_kubelet_image(folder: Path, name: str) -> None:
    """Builds the kubelet image and loads it into the dev cluster, once per run."""
    load_image(folder, name, "kubelet.image")


def load_control_plane(folder: Path, name: str, version: str) -> None:
    """Builds a control plane of another minor and loads it into the dev cluster, once per run."""
    with locked(folder, f"control-plane-{version}"):
        loaded = folder / f"control-plane-{version}-loaded"
        if not loaded.exists():
            archives = tool("devcluster", "control-plane", version).splitlines()
            tool("devcluster", "load", *archives, "--name", name)
            loaded.touch()


def load_ingress_controller(folder: Path, name: str) -> Path:
    """Builds the tests' ingress controller and loads it into the dev cluster, once per run.

    Returns:
        The folder of the CRDs of the Gateway API.
    """
    with locked(folder, "ingress-image"):
        loaded = folder / "ingress-image-loaded"
        if not loaded.exists():
            archive, definitions = tool("devcluster", "ingress-controller").splitlines()
            tool("devcluster", "load", archive, "--name", name)
            loaded.write_text(definitions)
        return Path(loaded.read_text())


def load_device_plugin(folder: Path, name: str) -> None:
    """Builds the tests' device plugin and loads it into the dev cluster, once per run."""
    with locked(folder, "device-plugin-image"):
        loaded = folder / "device-plugin-image-loaded"
        if not loaded.exists():
            tool("devcluster", "load", tool("devcluster", "device-plugin"), "--name", name)
            loaded.touch()


def _is_up(name: str) -> bool:
    """Whether a dev cluster of that name runs."""
    command = [sys.executable, "-m", "devcluster", "status", "--name", name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=300).returncode == 0
