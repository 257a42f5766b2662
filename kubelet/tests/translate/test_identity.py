"""Who a host object belongs to."""

from typing import Any

import pytest
from k3k_kubelet.translate import Identity, identity

POD = {"metadata": {"name": "web", "namespace": "default", "uid": "pod-uid"}}


def test_labels_select_a_cluster_a_namespace_and_a_kind() -> None:
    assert identity.labels("team", "default", "token") == {
        "k3k-pulumi.io/cluster": "team",
        "k3k-pulumi.io/namespace": "default",
        "k3k-pulumi.io/component": "token",
    }


def test_annotations_lead_back_to_the_object() -> None:
    host_object = {"metadata": {"annotations": identity.annotations("team", POD)}}
    assert identity.owner_of(host_object) == Identity("team", "default", "web", "pod-uid")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"annotations": None},
        {"annotations": {"other": "x"}},
        {"annotations": {"k3k-pulumi.io/cluster": "team", "k3k-pulumi.io/name": "web"}},
        {"labels": identity.labels("team", "default")},
    ],
)
def test_an_object_without_all_annotations_is_nobodys(metadata: dict[str, Any]) -> None:
    assert identity.owner_of({"metadata": metadata}) is None


@pytest.mark.parametrize(("component", "token"), [("workload", False), ("token", True)])
def test_a_token_secret_is_known_by_its_label(component: Any, token: bool) -> None:
    host_object = {"metadata": {"labels": identity.labels("team", "default", component)}}
    assert identity.is_token(host_object) is token


def test_a_mark_brought_along_from_another_pod_says_nothing() -> None:
    own, other = ({"metadata": {"uid": uid}} for uid in ("own", "other"))
    copy = {"metadata": {"uid": "copy"}}
    for pod, found in ((own, "copy"), (other, None)):
        marked = {"metadata": {**pod["metadata"], "annotations": identity.copy_mark(own, copy)}}
        assert identity.uid_of_copy(marked) == found
    assert identity.uid_of_copy(own) is None
    odd = {"metadata": {"uid": "own", "annotations": {identity.HOST_POD_UID: "copy"}}}
    assert identity.uid_of_copy(odd) is None
