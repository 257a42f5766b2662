"""Pods that are refused whatever the policy says: unknown fields, wrong types."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused

from kubelet.tests.translate.builders import BASELINE, pod, to_host

WRONG_TYPES: list[tuple[dict[str, Any], str, str]] = [
    ({"hostname": {"a": 1}}, "spec.hostname", "dict found where a string is expected"),
    ({"containers": {}}, "spec.containers", "dict found where a list is expected"),
    ({"containers": ["main"]}, "spec.containers[0]", "str found where an object is expected"),
    ({"nodeSelector": {"a": {"b": 1}}}, "spec.nodeSelector['a']", "dict found where a string is expected"),
    ({"nodeSelector": []}, "spec.nodeSelector", "list found where a map is expected"),
    ({"shareProcessNamespace": 1}, "spec.shareProcessNamespace", "int found where a boolean is expected"),
    (
        {"activeDeadlineSeconds": True},
        "spec.activeDeadlineSeconds",
        "bool found where an integer is expected",
    ),
]


@pytest.mark.parametrize(("field", "path", "reason"), WRONG_TYPES, ids=[case[1] for case in WRONG_TYPES])
def test_a_value_of_another_type_is_refused(field: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod(field))
    assert (caught.value.path, caught.value.reason) == (path, reason)


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ({"newField": 1}, "spec.newField"),
        ({"dnsConfig": {"newField": 1}}, "spec.dnsConfig.newField"),
        ({"affinity": {"nodeAffinity": {"newField": []}}}, "spec.affinity.nodeAffinity.newField"),
        ({"containers": [{"name": "a", "x": 1}]}, "spec.containers[0].x"),
        (
            {"containers": [{"name": "a"}, {"name": "b", "securityContext": {"x": 1}}]},
            "spec.containers[1].securityContext.x",
        ),
        ({"volumes": [{"name": "a", "newKind": {}}]}, "spec.volumes[0].newKind"),
    ],
)
def test_an_unknown_field_is_refused_with_its_path(field: dict[str, Any], path: str) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod(field))
    assert caught.value.path == path
    assert caught.value.allowed == "leave it out"


def test_a_refusal_reads_as_one_sentence_for_an_event() -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod({"schedulingGates": [{"name": "example.com/wait"}]}), BASELINE)
    reason = "the pod has no copy on the host before its gates are all removed; remove them"
    assert str(caught.value) == f"spec.schedulingGates: {reason}"


@pytest.mark.parametrize(
    ("spec", "container", "path"),
    [
        ({"schedulingGroup": {"podGroupName": "a"}}, {}, "spec.schedulingGroup"),
        (
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            {},
            "spec.securityContext.windowsOptions",
        ),
        (
            {},
            {"securityContext": {"windowsOptions": {"gmsaCredentialSpecName": "x"}}},
            "spec.containers[0].securityContext.windowsOptions",
        ),
    ],
)
def test_what_no_policy_allows(spec: dict[str, Any], container: dict[str, Any], path: str) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod(spec, container))
    assert caught.value.path == path


def test_a_message_fits_an_event() -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod({"runtimeClassName": "ü" * 5000}))
    assert len(str(caught.value).encode()) <= 1000
    assert str(caught.value).startswith("spec.runtimeClassName: 'üü")


def test_a_pod_does_not_fill_the_tenants_events() -> None:
    many = [{"key": f"taint-{n}", "operator": "Exists"} for n in range(1000)]
    assert len(to_host(pod({"tolerations": many})).dropped) == 10
