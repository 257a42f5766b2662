"""The pages made from the kubelet's own tables say what these say."""

import re

import pytest
from k3k_kubelet import policy
from k3k_kubelet.translate.schema import SAME, Field, rows

from kubelet.docs import services, sync
from kubelet.docs.__main__ import PAGE, SERVICES, SYNC
from kubelet.docs.page import GROUPS, Group, named, render, settings, target


def test_the_pages_are_up_to_date() -> None:
    pages = PAGE.read_text(), SYNC.read_text(), SERVICES.read_text()
    up_to_date = (render(), sync.render(), services.render()) == pages
    assert up_to_date, "run: python -m kubelet.docs"


def section(group: Group) -> str:
    """A section of the page, without the next one."""
    page = SERVICES if group in services.GROUPS else PAGE
    _, found, rest = page.read_text().partition(f"### {group.title}\n")
    assert found, group.title
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def said(field: Field) -> str:
    """What happens to a field, in the page's words."""
    return {"policy": "by policy"}.get(field.rule, field.rule)


@pytest.mark.parametrize("group", [*GROUPS, *services.GROUPS], ids=lambda group: group.title)
def test_a_section_names_every_field_with_its_treatment_and_reason(group: Group) -> None:
    text = section(group)
    spoken = dict(named(group))
    elsewhere = tuple(path for path, field in spoken.items() if target(field.shape))
    for path, _, field in rows(group.struct):
        if path.startswith(tuple(f"{each}{end}" for each in elsewhere for end in (".", "["))):
            continue
        if path in spoken:
            if field.why.endswith("see there") and f"`{path}`" not in text:
                continue  # its fields say it
            line = next(line for line in text.splitlines() if f"`{path}`" in line)
            assert said(field) in line.lower(), path
            assert field.why == SAME or field.why.split("pods.")[0].split("see there")[0] in line, path
        else:
            assert field.rule == "copied", path  # goes with the nearest field above it that is named
            assert any(path.startswith(above) for above in spoken), path


def test_the_page_has_every_key_of_the_policy_with_its_default() -> None:
    text = PAGE.read_text()
    for key, value in policy.schema()["$defs"]["Pods"]["properties"].items():
        assert f"| `pods.{key}` |" in text
        assert value["description"] in text
    keys = set(re.findall(r"`pods\.(\w+)`", text))
    assert keys <= policy.schema()["$defs"]["Pods"]["properties"].keys()


def test_the_page_has_every_key_of_what_the_policy_gives_pods() -> None:
    text = PAGE.read_text()
    found = dict(settings())
    assert {key.partition(".")[0] for key in found} == policy.schema()["$defs"]["PodSettings"][
        "properties"
    ].keys()
    assert [key for key, description in found.items() if f"| `{key}` | {description} |" not in text] == []
    named_there = set(re.findall(r"`pods\.(?:defaults|required)\.([\w.]+)`", text))
    assert named_there <= {*found, "securityContext"}


@pytest.mark.parametrize("direction", ["toHost", "fromHost"])
def test_the_page_has_every_key_of_sync(direction: str) -> None:
    lines = SYNC.read_text().splitlines()
    kinds = policy.schema()["$defs"]["Sync" + direction[0].upper() + direction[1:]]["properties"]
    assert kinds.keys() == sync.keys(direction).keys()
    for kind, keys in sync.keys(direction).items():
        assert {"enabled", "selector"} <= keys.keys()
        for key, value in keys.items():
            line = next(line for line in lines if f"`sync.{direction}.{kind}.{key}`" in line)
            assert value["description"] in line
