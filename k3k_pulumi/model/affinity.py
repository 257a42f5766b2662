"""Affinities of pods that hold together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NODE = "nodeAffinity"


def both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """An affinity that is kept to where two are; either's preferences count."""
    made: dict[str, Any] = {}
    for kind in (_NODE, "podAffinity", "podAntiAffinity"):
        found = [affinity[kind] for affinity in (one, other) if affinity.get(kind)]
        if len(found) == 2:
            made[kind] = _both_of(kind, *found)
        elif found:
            made[kind] = found[0]
    return made


def _both_of(kind: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    preferred = [*one.get(_PREFERRED, ()), *other.get(_PREFERRED, ())]
    if preferred:
        made[_PREFERRED] = preferred
    if kind != _NODE:
        required = [*one.get(_REQUIRED, ()), *other.get(_REQUIRED, ())]
        if required:
            made[_REQUIRED] = required
        return made
    selectors = [each[_REQUIRED] for each in (one, other) if _REQUIRED in each]
    if len(selectors) == 2:
        made[_REQUIRED] = {"nodeSelectorTerms": _terms(*selectors)}
    elif selectors:
        made[_REQUIRED] = selectors[0]
    return made


def _terms(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Terms, of which one must match, that match what both selectors do.

    A term without conditions matches no node; joined with another one it would no longer be without.
    """
    joined = []
    for first in filter(_has_conditions, one.get("nodeSelectorTerms", ())):
        for second in filter(_has_conditions, other.get("nodeSelectorTerms", ())):
            term = {}
            for key in ("matchExpressions", "matchFields"):
                conditions = [*first.get(key, ()), *second.get(key, ())]
                if conditions:
                    term[key] = conditions
            joined.append(term)
    return joined or [{}]


def _has_conditions(term: Mapping[str, Any]) -> bool:
    return any(term.values())
