"""The table of rules: every key of the policy document has one, with the virtual kubelet's default."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.model.document import DOCUMENT
from k3k_pulumi.model.fragments import ListOf, MapOf
from k3k_pulumi.model.narrowing import NARROWING, complete
from tests.unit.test_document import SCHEMA, resolved
from tests.unit.test_narrowing import found_at, narrowed, put


def leaves(table: Any, schema: dict[str, Any], path: str) -> list[tuple[str, Any, Any]]:
    """Every rule with its path and the kubelet's schema of it."""
    schema = {**resolved(schema), **({"default": schema["default"]} if "default" in schema else {})}
    if not isinstance(table, dict):
        return [(path, table, schema)]
    return [
        leaf
        for key, below in table.items()
        for leaf in leaves(below, schema["properties"].get(key, {}), f"{path}.{key}")
    ]


RULES = {
    path: (rule, schema)
    for part, table in NARROWING.items()
    for path, rule, schema in leaves(table, resolved(SCHEMA)["properties"][part], part)
}


def document_leaves(table: Any, rules: Any, path: str) -> list[str]:
    """Every key of the document, none below one that has a rule."""
    if isinstance(table, dict) and (rules is None or isinstance(rules, dict)):
        return [
            leaf
            for key, below in table.items()
            for leaf in document_leaves(below, (rules or {}).get(key), f"{path}.{key}")
        ]
    return [path]


def test_every_key_of_the_document_has_a_rule() -> None:
    assert set(RULES) == {
        leaf for part, table in DOCUMENT.items() for leaf in document_leaves(table, NARROWING[part], part)
    }


def says_nothing(value: Any) -> bool:
    return all(map(says_nothing, value.values())) if isinstance(value, dict) else value in ([], None)


@pytest.mark.parametrize("path", RULES)
def test_the_default_of_a_key_is_that_of_the_kubelet(path: str) -> None:
    rule, schema = RULES[path]
    default = schema.get("default")
    assert rule.default == ({} if isinstance(default, dict) and says_nothing(default) else default)


@pytest.mark.parametrize("part", DOCUMENT)
def test_a_document_without_keys_is_complete_with_all_defaults(part: str) -> None:
    made = complete(part, {})
    assert {
        path: found_at(path.removeprefix(f"{part}."), made) for path in RULES if path.startswith(part)
    } == {
        path: None if rule.default == {} else rule.default
        for path, (rule, _) in RULES.items()
        if path.startswith(part)
    }


def test_a_complete_document_keeps_what_was_given() -> None:
    made = complete("pods", {"hostNetwork": True, "required": {"hostUsers": False}})
    assert (made["hostNetwork"], made["hostPID"], made["required"]["hostUsers"]) == (True, False, False)
    assert made["required"]["securityContext"]["capabilities"]["drop"] == []


def samples(table: Any, path: str) -> list[tuple[str, list[Any]]]:
    """Values for every key, one of which the document's default does not have."""
    if isinstance(table, dict):
        return [leaf for key, below in table.items() for leaf in samples(below, f"{path}.{key}")]
    return [(path, _values(table))]


def _values(check: Any) -> list[Any]:
    if isinstance(check, MapOf):
        return [{}, {"a": "x"}, {"a": "y"}]
    if isinstance(check, dict):
        return [{}, {key: _values(below)[-1] for key, below in check.items()}]
    if isinstance(check, ListOf):
        return [[], [_values(check.item)[-1]]]
    for candidates in ([False, True], [0, 1000], [1, 100]):
        if all(check(each) is None for each in candidates):
            return candidates
    known = ["a", "x", "", "RuntimeDefault", "Default", "Unmasked", "secret", "NodePort", "Equal", "In"]
    known += ["NoExecute", "ALL", "192.0.2.0/24", "registry.example.com/team", "/srv", "b"]
    return [each for each in known if check(each) is None]


SAMPLES = {path: values for part, table in DOCUMENT.items() for path, values in samples(table, part)}
TERMS = [{"matchExpressions": [{"key": "pool", "operator": "In", "values": [value]}]} for value in "ab"]
SAMPLES |= {
    f"pods.{part}.affinity.nodeAffinity.{when}": [[], *([item] for item in items)]
    for part in ("defaults", "required")
    for when, items in (
        ("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", TERMS),
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            [{"weight": 1, "preference": term} for term in TERMS],
        ),
    )
}
SAMPLES |= {
    "pods.hostPaths": [[], [{"path": "/srv"}], [{"path": "/srv", "readOnly": False}]],
    "sync.toHost.services.externalIPs": [[], ["192.0.2.0/24"], ["::/0"]],
    "sync.toHost.services.sourceRanges": [[], ["192.0.2.0/24"], ["::/0"]],
}


@pytest.mark.parametrize(("path", "values"), SAMPLES.items())
def test_what_holds_is_never_more_than_the_policy_alone_gives(path: str, values: list[Any]) -> None:
    """What holds under a policy is itself something that the policy allows."""
    for policy in [None, *values]:
        for cluster in [None, *values]:
            made, problems = narrowed(put(path, cluster), put(path, policy))
            if not problems:
                assert narrowed(made, put(path, policy))[1] == [], (policy, cluster)
