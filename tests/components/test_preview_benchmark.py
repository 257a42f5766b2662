"""The benchmark of previews compares what is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pulumi.runtime import rpc

from benchmarks import preview


def test_raw_resources_are_the_very_same_registrations(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.json"
    _, registrations = preview.run_under_mocks(lambda: preview.library(1), record=True)
    recorded.write_text(json.dumps(preview._parents_first(registrations)))
    _, again = preview.run_under_mocks(lambda: preview.raw(recorded), record=True)
    assert len(again) > 40
    assert in_order(again) == in_order(registrations)
    _, typed = preview.run_under_mocks(lambda: preview.typed(recorded), record=True)
    assert [shown(each) for each in in_order(typed)] == [shown(each) for each in in_order(registrations)]


def in_order(registrations: list[preview.Registration]) -> list[preview.Registration]:
    return sorted(map(ordered, registrations), key=lambda each: str(each["urn"]))


def shown(registration: preview.Registration) -> preview.Registration:
    """A registration but for what is secret: in the SDK's Secrets that is all of their data."""
    return {**registration, "inputs": open_(registration["inputs"]), "additionalSecretOutputs": []}


def open_(value: Any) -> Any:
    if isinstance(value, dict):
        if rpc._special_sig_key in value:
            return open_(value["value"])
        return {key: open_(item) for key, item in value.items()}
    return [open_(item) for item in value] if isinstance(value, list) else value


def ordered(registration: preview.Registration) -> preview.Registration:
    return {**registration, "dependencies": sorted(registration["dependencies"])}
