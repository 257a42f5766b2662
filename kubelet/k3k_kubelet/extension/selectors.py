"""Label and field selectors of list requests (apimachinery's labels.Parse and fields.ParseSelector)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Check = Callable[[Mapping[str, str]], bool]

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,315}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMA = re.compile(r",(?![^(]*\))")
_FIELD = re.compile(r"([^=!]+)(==|=|!=)(.*)")
_LONGEST = 4096


def labels(text: str) -> Check:
    """Whether an object's labels match a label selector.

    Raises:
        ValueError: It is none; the text says which part.
    """
    checks = [_requirement(part.strip()) for part in _parts("labelSelector", text, _COMMA)]
    return lambda found: all(check(found) for check in checks)


def fields(text: str, allowed: tuple[str, ...]) -> Check:
    """Whether an object's fields, name -> value, match a field selector.

    Raises:
        ValueError: It is none, or names another field than the allowed ones.
    """
    checks = [_field(part.strip(), allowed) for part in _parts("fieldSelector", text, re.compile(","))]
    return lambda found: all(check(found) for check in checks)


def _parts(name: str, text: str, separator: re.Pattern[str]) -> list[str]:
    if len(text) > _LONGEST:
        raise ValueError(f"{name}: {len(text)} characters, at most {_LONGEST} are allowed")
    return [part for part in separator.split(text) if part.strip()]


def _requirement(text: str) -> Check:
    if match := _EQUALITY.fullmatch(text):
        key, operator, value = match.groups()
        wanted = operator != "!="
        return lambda found: (found.get(key) == value) is wanted
    if match := _SET.fullmatch(text):
        key, operator, listed = match.groups()
        values = frozenset(value.strip() for value in listed.split(","))
        wanted = operator == "in"
        return lambda found: (found.get(key) in values) is wanted
    if match := _EXISTS.fullmatch(text):
        absent, key = match.groups()
        return lambda found: (key in found) is not bool(absent)
    raise ValueError(f"labelSelector: unable to parse requirement {text[:80]!r}")


def _field(text: str, allowed: tuple[str, ...]) -> Check:
    match = _FIELD.fullmatch(text)
    if match is None or match[1] not in allowed:
        raise ValueError(f"fieldSelector: {text[:80]!r} is not supported, only {' and '.join(allowed)}")
    key, operator, value = match.groups()
    wanted = operator != "!="
    return lambda found: (found.get(key, "") == value) is wanted
