"""The admission policy before a real API server: what a kubelet may change in pods that are there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kubelet.tests.translate.builders import CLUSTER
from tests.e2e.support.raw import RawError
from tests.unit.admission.conftest import KUBELET, Host
from tests.unit.admission.test_api_server import CONTAINERS, field, host_pod, named, narrow

pytestmark = pytest.mark.xdist_group("admission")  # one API server for all of them

Object = dict[str, Any]
DEBUG = "ephemeralcontainers"


@pytest.fixture(scope="module")
def existing(host: Host) -> Object:
    """A pod of the narrow document that is there."""
    made: Object = host.create("narrow", narrow(), dry=False)
    return made


def refused_change(host: Host, pod: Object, change: Object, subresource: str = "") -> str:
    with pytest.raises(RawError, match="ValidatingAdmissionPolicy") as caught:
        host.patch(pod, change, subresource)
    return field(str(caught.value.status["message"]).partition("denied request: ")[2])


def test_changes_of_the_kubelets_life_pass(host: Host, existing: Object) -> None:
    main = existing["spec"]["containers"][0]["name"]
    host.patch(existing, {"metadata": {"labels": {"labels.k3k-pulumi.io/app": "b"}}})
    host.patch(existing, {"spec": {"containers": [{"name": main, "image": "nginx:2"}]}})
    host.patch(existing, {"spec": {"activeDeadlineSeconds": 60}})
    debug = copy.deepcopy(narrow()["spec"]["containers"][0]) | {"name": "debug"}
    host.patch(existing, {"spec": {"ephemeralContainers": [debug]}}, "ephemeralcontainers")


def test_a_change_past_the_whitelist_is_refused(host: Host, existing: Object) -> None:
    main = existing["spec"]["containers"][0]["name"]
    debug = copy.deepcopy(narrow()["spec"]["containers"][0]) | {"name": "debug"}
    image = f"{CONTAINERS}.image and spec.volumes[*].image.reference"
    other = {"spec": {"containers": [{"name": main, "image": "quay.io/a/b"}]}}
    assert refused_change(host, existing, other) == image
    debugs = [debug | {"image": "quay.io/a/b"}]
    assert refused_change(host, existing, {"spec": {"ephemeralContainers": debugs}}, DEBUG) == image
    debugs = [debug | {"securityContext": debug["securityContext"] | {"privileged": True}}]
    found = refused_change(host, existing, {"spec": {"ephemeralContainers": debugs}}, DEBUG)
    assert found == f"{CONTAINERS}.securityContext.privileged"
    for label in ("cluster", "component", "namespace"):
        key = f"k3k-pulumi.io/{label}"
        change = {"metadata": {"labels": {key: "other"}}}
        assert refused_change(host, existing, change) == f'metadata.labels["{key}"]'
    owners = {"metadata": {"ownerReferences": [{"$patch": "replace"}]}}
    assert refused_change(host, existing, owners) == "metadata.ownerReferences"


def test_a_taint_of_kubernetes_is_no_extended_resources(host: Host) -> None:
    found = {}
    for key in ("node-role.kubernetes.io/control-plane", "example.com/gpu"):
        made = host_pod({}, {"resources": {"limits": {key: "1"}, "requests": {key: "1"}}})
        more = {"key": key, "operator": "Exists", "effect": "NoSchedule"}
        made["spec"]["tolerations"] = [*(made["spec"].get("tolerations") or ()), more]
        found[key] = host.refusal("plain", made)
    assert field(found["node-role.kubernetes.io/control-plane"]) == "spec.tolerations"
    assert found["example.com/gpu"] == ""


def test_a_toleration_that_is_added_later_is_refused_as_well(host: Host) -> None:
    made = host.create("plain", named(host_pod(), "tolerant"), dry=False)
    own = made["spec"]["tolerations"]
    for more in ({"key": "a", "operator": "Exists"}, {"operator": "Exists", "effect": "NoExecute"}):
        change = {"spec": {"tolerations": [*own, more]}}
        assert refused_change(host, made, change) == "spec.tolerations"


def test_pods_of_others_are_not_the_kubelets_to_change(host: Host) -> None:
    """Neither those of another cluster in the namespace, nor those of somebody else."""
    container = {"name": "a", "image": "x", "resources": {"requests": {"cpu": "2m"}}}
    somebody = {"metadata": {"name": "db"}, "spec": {"containers": [container]}}
    made = host.create("plain", somebody, user="admin", dry=False)
    label = 'metadata.labels["k3k-pulumi.io/cluster"]'
    cluster = {"metadata": {"labels": {"k3k-pulumi.io/cluster": CLUSTER.name}}}
    for change in ({"metadata": {"labels": {"a": "b"}}}, cluster):
        assert refused_change(host, made, change) == label
    resources = {"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1m"}}}]}}
    assert refused_change(host, made, resources, "resize") == label
    other = KUBELET.replace(":team-", ":other-")
    assert field(host.refusal("plain", host_pod(), user=other)) == label
    host.patch(made, {"metadata": {"labels": {"a": "b"}}}, user="admin")


def test_a_policy_that_is_narrower_now_lets_older_pods_be_updated(host: Host) -> None:
    """What cannot be changed any more is looked at when a pod is made."""
    old = named(host_pod({}, {"image": "quay.io/a/b"}), "old")
    made = host.create("narrow", old, user="admin", dry=False)
    host.patch(made, {"metadata": {"labels": {"labels.k3k-pulumi.io/app": "b"}}})
    host.patch(made, {"spec": {"activeDeadlineSeconds": 60}})
