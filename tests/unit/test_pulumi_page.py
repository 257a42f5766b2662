"""docs/pulumi.md has the steps that the engine takes; what each changed is compared where the engine is."""

from __future__ import annotations

import re

from tests.e2e.engine.lifecycle import PROGRAM, documented

STEP = re.compile(r'compare\(\s*life, "([^"]+)"')


def test_the_table_has_the_steps_of_the_test_and_no_others() -> None:
    taken = STEP.findall(PROGRAM.with_name("test_lifecycle.py").read_text())
    assert len(taken) > 10
    assert list(documented()) == list(dict.fromkeys(taken))
