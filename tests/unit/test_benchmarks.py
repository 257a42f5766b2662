"""The arithmetic of the benchmarks and the page they write."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import memory, run
from benchmarks.core import Table, quantile


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile(range(100, 0, -1), share) == value


def test_the_99th_percentile_of_few_values_is_the_largest() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_memory_says_what_is_allowed_at_each_number_of_pods() -> None:
    rows = memory.table({0: 30.4}, {0: 31.0, 2000: 70.0}, 50.0).rows
    assert rows == [
        ("0", "30 MiB", "31 MiB", "<= 60 MiB"),
        ("2,000", "", "70 MiB", "<= 80 MiB"),
        ("0, and 1,000 Services", "", "50 MiB", ""),
    ]


def test_the_page_keeps_what_stands_above_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Head\n{run.MARK}old figures\n")
    monkeypatch.setattr(run, "PAGE", page)
    run.write(Table("New", ("a",), [("1",)]).markdown(), 120.0)
    text = page.read_text()
    assert text.startswith(f"# Head\n{run.MARK}\nMeasured in 2 minutes on ")
    assert text.endswith("## New\n\n| a |\n|---|\n| 1 |\n")
    assert "old figures" not in text


def test_the_page_of_the_docs_has_the_mark() -> None:
    assert run.MARK in run.PAGE.read_text()
