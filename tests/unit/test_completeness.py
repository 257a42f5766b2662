"""Rules of a run: a missing part leaves a test out, any other skip fails it, a group stays on one worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run import ROOT

ENGINE = """
import pytest
@pytest.mark.needs_engine
def test_preview(): raise AssertionError("the engine is not there")
def test_plain(): pass
"""
GROUP = """
import pytest
@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(12))
def test_it(number, worker_id): print("worker:", worker_id)
"""
SKIPPED = {
    "test_call.py": "import pytest\ndef test_it(): pytest.skip('too hard')\n",
    "test_marker.py": "import pytest\n@pytest.mark.skip('too long')\ndef test_it(): pass\n",
    "test_module.py": "import pytest\npytest.skip('too odd', allow_module_level=True)\n",
}

WHOLE = """
from pathlib import Path
from tests.conftest import *
from tests.run import is_whole
def pytest_sessionfinish(session): print("whole:", is_whole(session, Path(__file__).parent.resolve()))
"""
PLAIN = "def test_plain(): pass\n"


def run(folder: Path, files: dict[str, str], workers: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest under the repository's rule, in an environment without Pulumi's engine."""
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, source in files.items():
        (folder / name).write_text(source)
    command = [sys.executable, "-m", "pytest", "-n", str(workers), "-p", "no:cacheprovider", *options]
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"]}
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, check=False, timeout=600
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_missing_part_leaves_a_test_out(tmp_path: Path, workers: int) -> None:
    result = run(tmp_path, {"test_it.py": ENGINE}, workers)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "test_it.py::test_preview: no pulumi CLI on PATH" in result.stdout
    assert "1 passed" in result.stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_any_other_skip_fails_the_run(tmp_path: Path, workers: int) -> None:
    result = run(tmp_path, {**SKIPPED, "test_plain.py": "def test_plain(): pass\n"}, workers)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert "skipped, which fails the run" in result.stdout
    for name, reason in zip(SKIPPED, ("too hard", "too long", "too odd"), strict=True):
        assert any(name in line and reason in line for line in result.stdout.splitlines()), result.stdout


def test_a_group_stays_on_one_worker(tmp_path: Path) -> None:
    result = run(tmp_path, {"test_it.py": GROUP}, 3, "--dist=loadgroup", "-rP")
    workers = [line for line in result.stdout.splitlines() if line.startswith("worker:")]
    assert (len(workers), len(set(workers))) == (12, 1), result.stdout + result.stderr


@pytest.mark.parametrize(
    ("source", "options", "whole"),
    [
        (PLAIN, [], True),
        (PLAIN, ["."], True),
        (PLAIN, ["test_it.py"], False),
        (PLAIN, ["-k", "plain"], False),
        (PLAIN, ["--deselect", "test_it.py::test_other"], False),
        (ENGINE, [], False),
        ("def test_one(): raise AssertionError\n" + PLAIN, ["-x"], False),
    ],
    ids=["all", "folder", "file", "chosen", "deselected", "left out", "stopped"],
)
def test_a_run_is_whole_when_no_test_is_left_out(
    tmp_path: Path, source: str, options: list[str], whole: bool
) -> None:
    result = run(tmp_path, {"conftest.py": WHOLE, "test_it.py": source}, 0, *options)
    assert f"whole: {whole}" in result.stdout, result.stdout + result.stderr
