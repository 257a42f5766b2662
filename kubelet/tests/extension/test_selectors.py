"""Selectors of lists, as apimachinery reads them."""

from __future__ import annotations

import pytest
from k3k_kubelet.extension import selectors

LABELS = {"app": "web", "tier": "", "example.com/part-of": "shop"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("none!=web", True),
        ("app in (db, web)", True),
        ("app notin (db,web)", False),
        ("none notin (x)", True),
        ("app in (web),example.com/part-of=shop", True),
        ("app", True),
        ("!app", False),
        ("!none", True),
        ("none", False),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    assert selectors.labels(text)(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["app=web=db", "app in web", "=web", "app>1", "a b", "app in (a,(b))", "x" * 5000]
)
def test_what_is_no_label_selector(text: str) -> None:
    with pytest.raises(ValueError, match="labelSelector: "):
        selectors.labels(text)


def test_field_selectors_know_their_fields_alone() -> None:
    allowed = ("metadata.name", "metadata.namespace")
    fields = {"metadata.name": "web", "metadata.namespace": "default"}
    assert selectors.fields("metadata.name=web,metadata.namespace!=other", allowed)(fields)
    assert not selectors.fields("metadata.name==db", allowed)(fields)
    with pytest.raises(ValueError, match=r"'spec\.nodeName=x' is not supported, only metadata\.name and"):
        selectors.fields("spec.nodeName=x", allowed)
