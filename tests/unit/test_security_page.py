"""docs/security.md: each promise names tests, and the tests that it names are there."""

from __future__ import annotations

import re

import pytest

from tests.run import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
NAMES = sorted(set(re.findall(r"`([\w/]+\.py)`", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_a_test_that_the_page_names_is_there(name: str) -> None:
    top = name.partition("/")[0]
    folder = ROOT / ("tests" if top in ("unit", "components", "e2e") else "kubelet/tests")
    assert "def test_" in (folder / name).read_text()


def test_each_promise_names_a_test() -> None:
    promises = PAGE.partition("## Promises")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in promises if line.startswith("| ") and not line.startswith("| promise")]
    assert [line for line in rows if ".py`" not in line.rpartition(" | ")[2]] == []
    assert len(rows) > 50
