"""The benchmark of previews compares what is the same."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import preview


def test_raw_resources_are_the_very_same_registrations(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.json"
    _, registrations = preview.run_under_mocks(lambda: preview.library(1), record=True)
    recorded.write_text(json.dumps(preview._parents_first(registrations)))
    _, again = preview.run_under_mocks(lambda: preview.raw(recorded), record=True)
    assert len(again) > 40
    assert {each["urn"]: ordered(each) for each in again} == {
        each["urn"]: ordered(each) for each in registrations
    }


def ordered(registration: preview.Registration) -> preview.Registration:
    return {**registration, "dependencies": sorted(registration["dependencies"])}
