from typing import Any

import pytest

from k3k_pulumi.model.affinity import both

REQUIRED, PREFERRED = (f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("required", "preferred"))


def term(*keys: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}


def named(node: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}


def nodes(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}


def preferred(key: str) -> dict[str, Any]:
    return {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": term(key)}]}}


def pods(kind: str, when: str, key: str) -> dict[str, Any]:
    return {kind: {when: [{"topologyKey": key}]}}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, {}),
        (nodes(term("a")), {}, nodes(term("a"))),
        ({}, nodes(term("a")), nodes(term("a"))),
        (nodes(term("a")), nodes(term("b")), nodes(term("a", "b"))),
        # Terms are alternatives, their conditions are not.
        (
            nodes(term("a"), term("b")),
            nodes(term("c"), named("n")),
            nodes(term("a", "c"), {**term("a"), **named("n")}, term("b", "c"), {**term("b"), **named("n")}),
        ),
        # A term without conditions matches no node.
        (nodes({}, term("a")), nodes(term("b")), nodes(term("a", "b"))),
        (nodes({}), nodes(term("b")), nodes({})),
        (nodes(), nodes(term("b")), nodes({})),
        (nodes({"matchExpressions": []}), nodes(term("b")), nodes({})),
        (
            nodes(term("a")),
            preferred("b"),
            {"nodeAffinity": nodes(term("a"))["nodeAffinity"] | preferred("b")["nodeAffinity"]},
        ),
        (
            preferred("a"),
            preferred("b"),
            {
                "nodeAffinity": {
                    PREFERRED: preferred("a")["nodeAffinity"][PREFERRED]
                    + preferred("b")["nodeAffinity"][PREFERRED]
                }
            },
        ),
        (
            pods("podAffinity", REQUIRED, "a"),
            pods("podAffinity", REQUIRED, "b"),
            {"podAffinity": {REQUIRED: [{"topologyKey": "a"}, {"topologyKey": "b"}]}},
        ),
        (
            pods("podAntiAffinity", REQUIRED, "a"),
            nodes(term("b")),
            {**pods("podAntiAffinity", REQUIRED, "a"), **nodes(term("b"))},
        ),
    ],
)
def test_both_affinities_hold(one: Any, other: Any, expected: Any) -> None:
    assert both(one, other) == expected
