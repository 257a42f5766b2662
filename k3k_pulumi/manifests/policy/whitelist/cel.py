"""Pieces of CEL, the language of ValidatingAdmissionPolicies.

Fields that an object lacks are asked for with `.?field` and `orValue`, so that an expression has an answer
for every pod (optional types: Kubernetes 1.29).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

Validation = dict[str, str]
NEVER, ALWAYS = "false", "true"


def literal(value: str | bool | int | Iterable[str]) -> str:
    """A text, boolean, number or list of texts."""
    plain = value if isinstance(value, (str, bool, int)) else list(value)
    return json.dumps(plain, ensure_ascii=False)


def any_of(*parts: str) -> str:
    """Whether one of the expressions holds; none does where there is none."""
    return " || ".join(f"({part})" for part in parts) or NEVER


def all_of(*parts: str) -> str:
    """Whether all of the expressions hold."""
    return " && ".join(f"({part})" for part in parts) or ALWAYS


def each(items: str, name: str, holds: str) -> str:
    """Whether something holds of each of the items.

    Args:
        items: expression of a list.
        name: of an item, in `holds`.
        holds: expression.
    """
    return f"{items}.all({name}, {holds})"


def found(items: str) -> str:
    """A list that may be missing, by its expression with `.?`."""
    return f"{items}.orValue([])"


def one_of(value: str, allowed: Iterable[str]) -> str:
    """Whether a text that may be missing, by its expression with `.?`, is missing, empty or among some."""
    return f'{value}.orValue("") in {literal(["", *allowed])}'


def validation(field: str, holds: str, allowed: str) -> Validation:
    """One validation: the field's path, what holds of a pod that passes, and what is allowed, in words."""
    return {"expression": holds, "message": f"{field}: {allowed}", "reason": "Forbidden"}


def new(field: str, holds: str, allowed: str) -> Validation:
    """A validation of a pod that is made, about what nobody can change in it later."""
    return validation(field, f"!variables.created || ({holds})", allowed)


def listed(key: str, values: Sequence[str]) -> str:
    """What a list of the document's part `pods` allows, in words."""
    return f"pods.{key} allows {', '.join(values) or 'none'}"
