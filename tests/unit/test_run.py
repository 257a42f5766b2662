"""The programs that prepare what a run of tests needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run import tool

PROGRAM = """
import pathlib, sys
count = pathlib.Path(sys.argv[1])
tries = len(count.read_text()) + 1 if count.exists() else 1
count.write_text("x" * tries)
print("tries:", tries)
sys.exit(tries <= int(sys.argv[2]))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program that fails as often as it is told."""
    (tmp_path / "preparing.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "preparing"


def test_what_fails_once_is_run_once_more_and_that_is_told(program: str, tmp_path: Path) -> None:
    count = str(tmp_path / "count")
    with pytest.warns(UserWarning, match="ended with 1:\\ntries: 1"):
        assert tool(program, count, "1") == "tries: 2"
    assert tool(program, count, "0") == "tries: 3"


def test_what_fails_again_is_an_error(program: str, tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="tries: 1"),
        pytest.raises(RuntimeError, match="ended with 1:\\ntries: 2"),
    ):
        tool(program, str(tmp_path / "count"), "2")
