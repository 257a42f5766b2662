"""Compares what is there with what is wanted of it. None stands for a field not to be there."""

from __future__ import annotations

from typing import Any


def agrees(wanted: Any, found: Any) -> bool:
    """Whether `found` has all that is wanted; lists have to be equally long."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(agrees(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(agrees(*pair) for pair in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)


def without_none(wanted: dict[str, Any]) -> dict[str, Any]:
    """For a new object: without the fields that must not be there."""
    return {
        key: without_none(value) if isinstance(value, dict) else value
        for key, value in wanted.items()
        if value is not None
    }
