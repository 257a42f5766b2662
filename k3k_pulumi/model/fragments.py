"""Fragments of Kubernetes objects from users: normalised to camelCase, unknown keys refused by path.

The generic Pulumi resources that carry them pass unknown and snake_case keys on without a word, and the API
server drops them, so a misspelt toleration would simply not be there. The tables follow the core/v1 API of
Kubernetes 1.34.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k3k_pulumi.model import quantity
from k3k_pulumi.model.text import nearest, one_of, show

Check = Callable[[Any], str | None]
"""Says what a value must be, None where it is that."""


class MapOf:
    """A map with free keys, which `key` may check."""

    def __init__(self, value: Any, key: Check | None = None) -> None:
        self.value = value
        self.key = key


class ListOf:
    """A list of one kind of item. `check` looks at the list as a whole, once all items are right."""

    def __init__(self, item: Any, check: Check | None = None) -> None:
        self.item = item
        self.check = check


class Fields(dict[str, Any]):
    """An object's keys, some `required`. `check` looks at it as a whole, once all values are right."""

    def __init__(
        self, fields: Mapping[str, Any], required: Iterable[str] = (), check: Check | None = None
    ) -> None:
        super().__init__(fields)
        self.required = tuple(required)
        self.check = check


@dataclass(frozen=True)
class Choice:
    """Checks for one of some strings."""

    allowed: tuple[str, ...]

    def __call__(self, value: Any) -> str | None:
        """What it must be."""
        if isinstance(value, str) and value in self.allowed:
            return None
        return f"must be {one_of(each or repr(each) for each in self.allowed)}"


@dataclass(frozen=True)
class Form:
    """Checks for a string of some form.

    Attributes:
        pattern: What `re.search` finds in it.
        allowed: The same in words, as in "must be ...".
        longest: Characters at most, None for any number.
        check: Looks at one that has the form.
    """

    pattern: str
    allowed: str
    longest: int | None = None
    check: Check | None = None

    def __call__(self, value: Any) -> str | None:
        """What it must be."""
        if not isinstance(value, str):
            return f"must be a string: {self.allowed}"
        if self.longest is not None and len(value) > self.longest:
            return f"must have {self.longest} characters at most"
        if not re.search(self.pattern, value):
            return f"must be {self.allowed}"
        return self.check(value) if self.check else None


@dataclass(frozen=True)
class Within:
    """Checks for a whole number in a range; Pulumi's floats count as in `integer`."""

    least: int
    most: int

    def __call__(self, value: Any) -> str | None:
        """What it must be."""
        if _is_whole(value) and self.least <= value <= self.most:
            return None
        return f"must be a whole number from {self.least} to {self.most}"


def text(value: Any) -> str | None:
    """Checks for a string."""
    return None if isinstance(value, str) else "must be a string"


def integer(value: Any) -> str | None:
    """Checks for a whole number; one that arrives as a float (Pulumi's plugins do that) counts as one."""
    return None if _is_whole(value) else "must be a whole number"


def boolean(value: Any) -> str | None:
    """Checks for true or false."""
    return None if isinstance(value, bool) else "must be true or false"


def amount(value: Any) -> str | None:
    """Checks for a quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "must be a quantity like 500m, 256Mi or 2Gi"
    try:
        quantity.parse(value)
    except ValueError as error:
        return str(error)
    return None


def choice(*allowed: str) -> Check:
    """Checks for one of some strings."""
    return Choice(allowed)


_SELECTOR_OPERATOR = choice("In", "NotIn", "Exists", "DoesNotExist")
_LABEL_SELECTOR = {
    "matchLabels": MapOf(text),
    "matchExpressions": ListOf({"key": text, "operator": _SELECTOR_OPERATOR, "values": ListOf(text)}),
}
_NODE_REQUIREMENT = {
    "key": text,
    "operator": choice("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
    "values": ListOf(text),
}
_NODE_TERM = {"matchExpressions": ListOf(_NODE_REQUIREMENT), "matchFields": ListOf(_NODE_REQUIREMENT)}
_POD_TERM = {
    "labelSelector": _LABEL_SELECTOR,
    "namespaceSelector": _LABEL_SELECTOR,
    "namespaces": ListOf(text),
    "topologyKey": text,
    "matchLabelKeys": ListOf(text),
    "mismatchLabelKeys": ListOf(text),
}
_POD_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": ListOf(_POD_TERM),
    "preferredDuringSchedulingIgnoredDuringExecution": ListOf(
        {"weight": integer, "podAffinityTerm": _POD_TERM}
    ),
}

AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": ListOf(_NODE_TERM)},
        "preferredDuringSchedulingIgnoredDuringExecution": ListOf(
            {"weight": integer, "preference": _NODE_TERM}
        ),
    },
    "podAffinity": _POD_AFFINITY,
    "podAntiAffinity": _POD_AFFINITY,
}
TOLERATIONS = ListOf(
    {
        "key": text,
        "operator": choice("Equal", "Exists"),
        "value": text,
        "effect": choice("NoSchedule", "PreferNoSchedule", "NoExecute"),
        "tolerationSeconds": integer,
    }
)
RESOURCES = {"requests": MapOf(amount), "limits": MapOf(amount)}
QUOTA_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
QUOTA = {
    "hard": MapOf(amount),
    "scopes": ListOf(choice(*QUOTA_SCOPES)),
    "scopeSelector": {
        "matchExpressions": ListOf(
            {"scopeName": choice(*QUOTA_SCOPES), "operator": _SELECTOR_OPERATOR, "values": ListOf(text)}
        )
    },
}
"""A ResourceQuota's spec."""
LIMITS = ListOf(
    {
        "type": choice("Container", "Pod", "PersistentVolumeClaim"),
        "max": MapOf(amount),
        "min": MapOf(amount),
        "default": MapOf(amount),
        "defaultRequest": MapOf(amount),
        "maxLimitRequestRatio": MapOf(amount),
    }
)
"""A LimitRange's `spec.limits`."""


def normalise(value: Any, schema: Any, path: str, problems: list[str]) -> Any:
    """Returns `value` with camelCase keys as `schema` knows them; adds a line to `problems` for each defect.

    A key whose value is None counts as absent, as it does in Pulumi programs.
    """
    if isinstance(schema, Mapping):
        return _normalise_object(value, schema, path, problems)
    if isinstance(schema, MapOf):
        if not isinstance(value, Mapping):
            problems.append(f"{path}: {show(value)} must be a map")
            return None
        return {
            _free_key(key, schema, path, problems): normalise(item, schema.value, f"{path}.{key}", problems)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(schema, ListOf):
        if isinstance(value, str) or not isinstance(value, Sequence):
            problems.append(f"{path}: {show(value)} must be a list")
            return None
        before = len(problems)
        items = [
            normalise(item, schema.item, f"{path}[{index}]", problems) for index, item in enumerate(value)
        ]
        _check_whole(items, schema.check, path, problems, before)
        return items
    wrong = schema(value)
    if wrong:
        problems.append(f"{path}: {show(value)} {wrong}")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def camel_case(key: str, known: Iterable[str]) -> str:
    """`toleration_seconds` as `tolerationSeconds`, and `host_pid` as the one that is `known`, `hostPID`."""
    if "_" not in key:
        return key
    camel = re.sub(r"_([a-z])", lambda match: match[1].upper(), key)
    return next((name for name in known if name.lower() == camel.lower()), camel)


def _normalise_object(
    value: Any, schema: Mapping[str, Any], path: str, problems: list[str]
) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.append(f"{path}: {show(value)} must be a map with keys of {one_of(schema)}")
        return {}
    result: dict[str, Any] = {}
    before = len(problems)
    for key, item in value.items():
        name = camel_case(_key(key, path, problems), schema)
        if item is None:
            continue
        if name not in schema:
            problems.append(f"{path}.{key}: unknown key; {nearest(name, schema)}")
        elif name in result:
            problems.append(f"{path}.{key}: given twice, in snake_case and in camelCase: leave one out")
        else:
            result[name] = normalise(item, schema[name], f"{path}.{name}", problems)
    if isinstance(schema, Fields):
        problems += [f"{path}.{name}: is required" for name in schema.required if name not in result]
        _check_whole(result, schema.check, path, problems, before)
    return result


def _check_whole(value: Any, check: Check | None, path: str, problems: list[str], before: int) -> None:
    """Checks what has had no problem below it: there were `before` problems in all."""
    wrong = check(value) if check and len(problems) == before else None
    if wrong:
        problems.append(f"{path}: {wrong}")


def _free_key(key: Any, schema: MapOf, path: str, problems: list[str]) -> str:
    name = _key(key, path, problems)
    wrong = schema.key(name) if schema.key else None
    if wrong:
        problems.append(f"{path}: key {show(key)} {wrong}")
    return name


def _key(key: Any, path: str, problems: list[str]) -> str:
    if not isinstance(key, str):
        problems.append(f"{path}: key {show(key)} must be a string")
    return str(key)


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )
