"""Wording that every problem line shares."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

_LONGEST = 80


def show(value: Any) -> str:
    """A value as an error names it: short, text in quotes, and the type alone where it is no plain value."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
    elif isinstance(value, dict | list | tuple):
        text = repr(value) if _is_plain(value) else f"a {type(value).__name__}"
    elif type(value).__name__ == "Output":
        return "an Output (a value known only during the deployment)"
    else:
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def one_of(values: Iterable[str]) -> str:
    """`a, b or c`, in the order given."""
    *first, last = values
    return f"{', '.join(first)} or {last}" if first else last


def nearest(found: str, known: Iterable[str]) -> str:
    """What an unknown key is answered with: the key that was probably meant, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(found, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names)}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
