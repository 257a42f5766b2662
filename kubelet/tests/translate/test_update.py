"""Changes of a pod that its copy on the host follows."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from k3k_kubelet.policy import Policy
from k3k_kubelet.translate import Refused, metadata
from k3k_kubelet.translate import update as updates

from kubelet.tests.translate.builders import BASELINE, CLUSTER, allowing, on_host, pod

TOLERATED = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
OTHER = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
DEFAULTED = [{**TOLERATED, "tolerationSeconds": 300}, {**OTHER, "tolerationSeconds": 300}]


def before() -> dict[str, Any]:
    return pod(
        {"initContainers": [{"name": "init", "image": "busybox:1"}], "tolerations": [TOLERATED]},
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}}]},
        labels={"app": "web", "old": "x"},
        annotations={"note": "one", "silent": "x"},
    )


def update(new: dict[str, Any], host: dict[str, Any], policy: Policy = BASELINE) -> dict[str, Any] | None:
    """The patch without APPLIED, with a look that neither object was changed."""
    frozen = copy.deepcopy((new, host))
    patch = updates.changes(new, host, CLUSTER, policy).patch
    assert (new, host) == frozen
    if patch:
        patch["metadata"].get("annotations", {}).pop(updates.APPLIED, None)
    return patch


def test_a_pod_that_did_not_change_needs_no_patch() -> None:
    assert update(before(), on_host(before())) is None


Change = Callable[[dict[str, Any]], Any]
TIED: dict[str, Any] = {"uid": "host-uid"}
CASES: list[tuple[str, Change, dict[str, Any]]] = [
    (
        "image",
        lambda new: new["spec"]["containers"][0].update(image="nginx:2"),
        {
            "metadata": {**TIED, "annotations": {}},
            "spec": {"containers": [{"name": "main", "image": "nginx:2"}]},
        },
    ),
    (
        "image of an init container",
        lambda new: new["spec"]["initContainers"][0].update(image="busybox:2"),
        {
            "metadata": {**TIED, "annotations": {}},
            "spec": {"initContainers": [{"name": "init", "image": "busybox:2"}]},
        },
    ),
    (
        "deadline",
        lambda new: new["spec"].update(activeDeadlineSeconds=9),
        {"metadata": {**TIED, "annotations": {}}, "spec": {"activeDeadlineSeconds": 9}},
    ),
    (
        "toleration",
        lambda new: new["spec"]["tolerations"].append(OTHER),
        {
            "metadata": {**TIED, "annotations": {}, "resourceVersion": "7"},
            "spec": {"tolerations": [TOLERATED, OTHER]},
        },
    ),
    (
        "label added",
        lambda new: new["metadata"]["labels"].update(new="y"),
        {"metadata": {**TIED, "labels": {"labels.k3k-pulumi.io/new": "y"}}},
    ),
    (
        "label changed",
        lambda new: new["metadata"]["labels"].update(old="y"),
        {"metadata": {**TIED, "labels": {"labels.k3k-pulumi.io/old": "y"}}},
    ),
    (
        "label removed",
        lambda new: new["metadata"]["labels"].pop("old"),
        {"metadata": {**TIED, "labels": {"labels.k3k-pulumi.io/old": None}}},
    ),
    (
        "annotation that the pod reads",
        lambda new: new["metadata"]["annotations"].update(note="two"),
        {"metadata": {**TIED, "annotations": {"annotations.k3k-pulumi.io/note": "two"}}},
    ),
    (
        "annotation that the pod reads, removed",
        lambda new: new["metadata"]["annotations"].pop("note"),
        {"metadata": {**TIED, "annotations": {"annotations.k3k-pulumi.io/note": None}}},
    ),
]


@pytest.mark.parametrize(("change", "patch"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_change_is_passed_on(change: Change, patch: dict[str, Any]) -> None:
    new = before()
    change(new)
    assert update(new, on_host(before())) == patch


@pytest.mark.parametrize("change", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_after_the_patch_there_is_no_other(change: Change) -> None:
    new, host = before(), on_host(before())
    change(new)
    patch = updates.changes(new, host, CLUSTER, BASELINE).patch
    assert patch
    apply(host, patch)
    assert updates.changes(new, host, CLUSTER, BASELINE).patch is None


def apply(host: dict[str, Any], patch: dict[str, Any]) -> None:
    """Strategic merge, as far as these patches need it."""
    for kind in ("labels", "annotations"):
        for key, value in patch["metadata"].get(kind, {}).items():
            if value is None:
                host["metadata"][kind].pop(key)
            else:
                host["metadata"][kind][key] = value
    for key, value in patch.get("spec", {}).items():
        if key in ("containers", "initContainers"):
            by_name = {each["name"]: each for each in host["spec"][key]}
            for each in value:
                by_name[each["name"]].update(each)
        else:
            host["spec"][key] = value


UNTOLD: list[tuple[str, Change]] = [
    ("annotation that nobody reads", lambda new: new["metadata"]["annotations"].update(silent="y")),
    ("status", lambda new: new["status"].update(phase="Running")),
    ("owner", lambda new: new["metadata"].update(ownerReferences=[])),
    ("node", lambda new: new["spec"].update(nodeName="node-1")),
]


@pytest.mark.parametrize("change", [case[1] for case in UNTOLD], ids=[case[0] for case in UNTOLD])
def test_a_change_that_the_host_does_not_see(change: Change) -> None:
    new = before()
    change(new)
    assert update(new, on_host(before())) is None


def host_admission(host: dict[str, Any]) -> dict[str, Any]:
    """The host pod after webhooks, LimitRange and defaults of the host."""
    host["spec"]["containers"][0]["image"] = "mirror.example/nginx:1"
    host["spec"]["containers"].append({"name": "sidecar", "image": "mesh:1"})
    host["spec"]["tolerations"] = DEFAULTED
    host["spec"]["activeDeadlineSeconds"] = 100
    host["metadata"]["labels"]["mesh.example/injected"] = "true"
    host["metadata"]["annotations"]["mesh.example/status"] = "injected"
    return host


def test_what_the_hosts_admission_changed_is_left_alone() -> None:
    assert update(before(), host_admission(on_host(before()))) is None


def test_a_change_after_the_hosts_admission_touches_nothing_else() -> None:
    new, host = before(), host_admission(on_host(before()))
    new["spec"]["tolerations"].append({**OTHER, "tolerationSeconds": 7})
    new["metadata"]["labels"]["app"] = "api"
    assert update(new, host) == {
        "metadata": {
            **TIED,
            "labels": {"labels.k3k-pulumi.io/app": "api"},
            "annotations": {},
            "resourceVersion": "7",
        },
        "spec": {"tolerations": [DEFAULTED[0], {**OTHER, "tolerationSeconds": 7}]},
    }


def test_what_somebody_changed_of_ours_on_the_host_is_put_right() -> None:
    host = on_host(before())
    host["metadata"]["labels"]["k3k-pulumi.io/cluster"] = "other"
    del host["metadata"]["labels"]["labels.k3k-pulumi.io/app"]
    host["metadata"]["annotations"]["k3k-pulumi.io/name"] = "other"
    host["metadata"]["annotations"]["k3k-pulumi.io/unknown"] = "x"
    assert update(before(), host) == {
        "metadata": {
            **TIED,
            "labels": {"k3k-pulumi.io/cluster": "team", "labels.k3k-pulumi.io/app": "web"},
            "annotations": {"k3k-pulumi.io/name": "web", "k3k-pulumi.io/unknown": None},
        }
    }


@pytest.mark.parametrize("broken", ["not json", "[]", "1"])
def test_an_unreadable_record_is_written_anew_from_everything(broken: str) -> None:
    host = on_host(before())
    host["metadata"]["annotations"][updates.APPLIED] = broken
    assert update(before(), host) == {
        "metadata": {**TIED, "annotations": {}},
        "spec": {
            "containers": [{"name": "main", "image": "nginx:1"}],
            "initContainers": [{"name": "init", "image": "busybox:1"}],
        },
    }


def test_the_policy_lets_keys_through_and_takes_them_back() -> None:
    policy = allowing(labels=["app"], annotations=["silent"])
    host = on_host(before())
    patch = update(before(), host, policy)
    assert patch == {"metadata": {**TIED, "labels": {"app": "web"}, "annotations": {"silent": "x"}}}

    host = on_host(before(), policy)
    host["metadata"]["labels"]["foreign"] = "x"
    assert update(before(), host) == {
        "metadata": {**TIED, "labels": {"app": None}, "annotations": {"silent": None}}
    }


def test_a_new_toleration_of_the_policy_reaches_running_pods() -> None:
    gpu = {"key": "gpu", "operator": "Exists"}
    assert update(before(), on_host(before()), allowing(required={"tolerations": [gpu]})) == {
        "metadata": {**TIED, "annotations": {}, "resourceVersion": "7"},
        "spec": {"tolerations": [TOLERATED, gpu]},
    }


def test_a_new_toleration_that_is_not_allowed_is_told_once() -> None:
    gpu, disk = {"key": "gpu", "operator": "Exists"}, {"key": "disk", "operator": "Exists"}
    old, new = before(), before()
    old["spec"]["tolerations"].append(gpu)
    new["spec"]["tolerations"] += [gpu, disk]
    host = on_host(old)
    assert updates.changes(old, host, CLUSTER, BASELINE) == updates.Changes(None, (), None, {})
    found = updates.changes(new, host, CLUSTER, BASELINE)
    assert [each.path for each in found.dropped] == ["spec.tolerations[1]", "spec.tolerations[2]"]
    assert found.patch is not None
    assert found.patch.keys() == {"metadata"}
    apply(host, found.patch)
    assert updates.changes(new, host, CLUSTER, BASELINE) == updates.Changes(None, (), None, {})


REGISTRY = {"imageRegistries": ["docker.io/library/nginx", "docker.io/library/busybox"]}


@pytest.mark.parametrize("image", ["evil.example/nginx:1", "other", "0" * 64, "sha256:" + "a" * 64, ""])
def test_an_image_of_another_registry_stays_inside_and_all_else_follows(image: str) -> None:
    policy, new, host = allowing(**REGISTRY), before(), on_host(before(), allowing(**REGISTRY))
    new["spec"]["containers"][0]["image"] = image
    new["spec"]["initContainers"][0]["image"] = "busybox:2"
    new["metadata"]["labels"]["app"] = "api"
    found = updates.changes(new, host, CLUSTER, policy)
    assert [each.path for each in found.refused] == ["spec.containers[0].image"]
    assert found.spec
    assert found.patch is not None
    assert found.patch["spec"] == {"initContainers": [{"name": "init", "image": "busybox:2"}]}
    assert found.patch["metadata"]["labels"] == {"labels.k3k-pulumi.io/app": "api"}
    apply(host, found.patch)
    assert updates.own_containers(host) == {"main", "init"}
    again = updates.changes(new, host, CLUSTER, policy)
    assert (again.patch, len(again.refused), again.spec) == (None, 1, True)

    new["spec"]["containers"][0]["image"] = "nginx:1"
    assert updates.changes(new, host, CLUSTER, policy) == updates.Changes(None, (), None, {})


def test_an_image_of_the_policys_registries_follows() -> None:
    new = before()
    new["spec"]["containers"][0]["image"] = "docker.io/nginx:2"
    patch = update(new, on_host(before()), allowing(**REGISTRY))
    assert patch is not None
    assert patch["spec"] == {"containers": [{"name": "main", "image": "docker.io/nginx:2"}]}


def test_an_image_from_before_the_policy_stays() -> None:
    other = allowing(imageRegistries=["registry.example.com/"])
    assert updates.changes(before(), on_host(before()), CLUSTER, other) == updates.Changes(None, (), None, {})


def test_the_record_holds_what_the_tenant_asked_for() -> None:
    host = on_host(before(), allowing(labels=["app"]))
    record = json.loads(host["metadata"]["annotations"][updates.APPLIED])
    assert record == {
        "images": {"init": "busybox:1", "main": "nginx:1"},
        "labels": ["app"],
        "tolerations": [TOLERATED],
    }


def test_annotations_that_no_longer_fit_are_refused() -> None:
    new = before()
    new["metadata"]["annotations"]["note"] = "x" * metadata.MAX_ANNOTATIONS
    with pytest.raises(Refused, match=r"^metadata\.annotations: "):
        updates.changes(new, on_host(before()), CLUSTER, BASELINE)


def sized(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> dict[str, Any]:
    """`before` with resources of its container."""
    given = {"requests": requests, "limits": limits}
    made = before()
    made["spec"]["containers"][0]["resources"] = {key: value for key, value in given.items() if value}
    return made


RESIZES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any] | None]] = [
    ("none", sized({"cpu": "1"}), sized({"cpu": "1"}), None),
    (
        "another amount, and no other",
        sized({"cpu": "1", "memory": "1Gi"}, {"memory": "1Gi"}),
        sized({"cpu": "2", "memory": "1Gi"}, {"memory": "1Gi"}),
        {"requests": {"cpu": "2"}},
    ),
    ("one more", sized({"cpu": "1"}), sized({"cpu": "1"}, {"cpu": "2"}), {"limits": {"cpu": "2"}}),
    (
        "one less",
        sized({"cpu": "1", "memory": "1Gi"}, {"cpu": "2"}),
        sized({"cpu": "1"}),
        {"limits": {"cpu": None}, "requests": {"memory": None}},
    ),
    ("what cannot be resized", sized({"example.com/gpu": "1"}), sized({"example.com/gpu": "2"}), None),
]


@pytest.mark.parametrize(
    ("old", "new", "resources"), [case[1:] for case in RESIZES], ids=[case[0] for case in RESIZES]
)
def test_resources_are_resized_by_what_the_tenant_changed(
    old: dict[str, Any], new: dict[str, Any], resources: dict[str, Any] | None
) -> None:
    host = on_host(old)
    # The host's LimitRange has given the container what the tenant did not.
    host["spec"]["containers"][0]["resources"] = {"limits": {"memory": "5Gi"}, "requests": {"cpu": "7"}}
    found = updates.changes(new, host, CLUSTER, BASELINE)
    assert found.patch is None
    if resources is None:
        assert (found.resize, found.resized, found.spec) == (None, {}, False)
        return
    assert found.resize == {
        "metadata": TIED,
        "spec": {"containers": [{"name": "main", "resources": resources}]},
    }
    assert found.spec
    apply(host, updates.note(host, found.resized))
    assert updates.changes(new, host, CLUSTER, BASELINE) == updates.Changes(None, (), None, {})


def test_a_resize_of_the_whole_pod_and_of_a_sidecar() -> None:
    old, new = before(), before()
    for made, amount in ((old, "1"), (new, "2")):
        made["spec"]["resources"] = {"limits": {"cpu": amount}}
        made["spec"]["initContainers"][0]["resources"] = {"requests": {"cpu": amount}}
    found = updates.changes(new, on_host(old), CLUSTER, BASELINE)
    assert found.resize is not None
    assert found.resize["spec"] == {
        "resources": {"limits": {"cpu": "2"}},
        "initContainers": [{"name": "init", "resources": {"requests": {"cpu": "2"}}}],
    }


def test_a_resize_is_on_record_only_once_the_host_has_taken_it() -> None:
    host, new = on_host(sized({"cpu": "1"})), sized({"cpu": "2"})
    new["spec"]["containers"][0]["image"] = "nginx:2"
    found = updates.changes(new, host, CLUSTER, BASELINE)
    assert found.patch is not None
    apply(host, found.patch)
    assert json.loads(host["metadata"]["annotations"][updates.APPLIED])["resources"] == {
        "main": {"requests": {"cpu": "1"}}
    }
    again = updates.changes(new, host, CLUSTER, BASELINE)
    assert (again.patch, again.resize) == (None, found.resize)


def test_ephemeral_containers_are_those_that_the_host_pod_was_not_given() -> None:
    """One of the host's administrator is not the tenant's, though it has the same name."""
    new, host = before(), on_host(before())
    new["spec"]["ephemeralContainers"] = [{"name": name, "image": "x"} for name in ("one", "two", "three")]
    host["spec"]["ephemeralContainers"] = [{"name": "three"}]
    for left in (("one", "two", "three"), ("two", "three"), ("three",)):
        found = updates.changes(new, host, CLUSTER, BASELINE)
        assert found == updates.Changes(None, left, None, {})
        assert found.spec
        assert not updates.own_containers(host) & set(left)
        apply(host, updates.note(host, updates.joined(host, left[0])))
    assert not updates.changes(new, host, CLUSTER, BASELINE).spec
    assert updates.own_containers(host) == {"main", "init", "one", "two", "three"}


def test_notes_of_one_round_do_not_undo_each_other() -> None:
    host, new = on_host(sized({"cpu": "1"})), sized({"cpu": "2"})
    new["spec"]["containers"][0]["image"] = "nginx:2"
    new["spec"]["ephemeralContainers"] = [{"name": "one", "image": "x"}]
    found = updates.changes(new, host, CLUSTER, BASELINE)
    assert found.patch is not None
    apply(host, found.patch)
    apply(host, updates.note(host, updates.joined(host, "one")))
    apply(host, updates.note(host, found.resized))
    assert updates.changes(new, host, CLUSTER, BASELINE) == updates.Changes(None, (), None, {})


def test_a_container_that_is_made_up_inside_reaches_nothing_of_the_hosts() -> None:
    """A tenant owns his API server: it may say that a running pod has one container more."""
    new, host = before(), host_admission(on_host(before()))
    new["spec"]["containers"].append(
        {"name": "sidecar", "image": "mine", "resources": {"limits": {"cpu": "9"}}}
    )
    assert updates.changes(new, host, CLUSTER, BASELINE) == updates.Changes(None, (), None, {})
    assert "sidecar" not in updates.own_containers(host)


@pytest.mark.parametrize(
    ("change", "spec"), [(case[1], "spec" in case[2]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_only_changes_of_the_spec_hold_its_generation_back(change: Change, spec: bool) -> None:
    new = before()
    change(new)
    assert updates.changes(new, on_host(before()), CLUSTER, BASELINE).spec is spec
