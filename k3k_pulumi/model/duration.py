"""Times as Pulumi's own options have them."""

from __future__ import annotations

import re

_FORM = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
_SECONDS = (3600, 60, 1)


def seconds(text: str) -> int:
    """`1h30m` in seconds.

    Raises:
        ValueError: Nothing of hours, minutes and seconds, or none of them above 0.
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    numbers = [int(part or 0) for part in found.groups()] if found else []
    total = sum(number * unit for number, unit in zip(numbers, _SECONDS, strict=False))
    if not total:
        raise ValueError("must be a time above 0 like 90s, 5m or 1h30m")
    return total


def checked(text: str) -> str:
    """The text, if `seconds` understands it.

    Raises:
        ValueError: It does not.
    """
    seconds(text)
    return text
