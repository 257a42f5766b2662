"""What the downward API finds on the host pod."""

from typing import Any

import pytest
from k3k_kubelet.translate.downward import format_map, quote

from kubelet.tests.translate.builders import pod, to_host


def reading(*paths: str) -> dict[str, Any]:
    """A volume that reads fields."""
    items = [{"path": str(n), "fieldRef": {"fieldPath": path}} for n, path in enumerate(paths)]
    return {"volumes": [{"name": "v", "downwardAPI": {"items": items}}]}


IN_PROJECTION = {
    "volumes": [
        {
            "name": "v",
            "projected": {
                "sources": [
                    {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
                ]
            },
        }
    ]
}
METADATA = {"labels": {"b": "2", "a": "1"}, "annotations": {"x/y": 'say "hi"\n', "z": ""}}

CASES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("nothing is read", reading("metadata.name"), {}),
    ("all labels", reading("metadata.labels"), {"k3k-pulumi.io/labels": 'a="1"\nb="2"'}),
    ("all labels, projected", IN_PROJECTION, {"k3k-pulumi.io/labels": 'a="1"\nb="2"'}),
    ("one label, which the host pod has anyway", reading("metadata.labels['a']"), {}),
    (
        "all annotations",
        reading("metadata.annotations"),
        {"k3k-pulumi.io/annotations": 'x/y="say \\"hi\\"\\n"\nz=""'},
    ),
    (
        "one annotation",
        reading("metadata.annotations['x/y']"),
        {"x.annotations.k3k-pulumi.io/y": 'say "hi"\n'},
    ),
    ("an annotation that is not there", reading("metadata.annotations['other']"), {}),
]


@pytest.mark.parametrize(
    ("spec", "annotations"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_annotations_for_the_downward_api(spec: dict[str, Any], annotations: dict[str, str]) -> None:
    plain = to_host(pod(**METADATA)).manifest["metadata"]["annotations"]
    assert to_host(pod(spec, **METADATA)).manifest["metadata"]["annotations"] == plain | annotations


def test_a_map_without_entries_is_an_empty_file() -> None:
    found = to_host(pod(reading("metadata.labels", "metadata.annotations"))).manifest["metadata"][
        "annotations"
    ]
    assert (found["k3k-pulumi.io/labels"], found["k3k-pulumi.io/annotations"]) == ("", "")


def test_what_we_write_on_the_virtual_pod_is_not_shown() -> None:
    marked = pod(reading("metadata.annotations"), annotations={"a": "1", "k3k-pulumi.io/host-pod-uid": "x"})
    assert to_host(marked).manifest["metadata"]["annotations"]["k3k-pulumi.io/annotations"] == 'a="1"'


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ('"\\', '"\\"\\\\"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x1f\x7f", '"\\x00\\x1f\\x7f"'),
        ("ü€語🚀", '"ü€語🚀"'),
        ("\u0080\u00a0\u200b\ufeff\u2028", '"\\u0080\\u00a0\\u200b\\ufeff\\u2028"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("'$`", '"\'$`"'),
    ],
)
def test_quoting_is_that_of_go(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_a_map_is_sorted_by_bytes() -> None:
    assert format_map({"b": "", "B": "", "a/b": "", "a.b": ""}) == 'B=""\na.b=""\na/b=""\nb=""'
