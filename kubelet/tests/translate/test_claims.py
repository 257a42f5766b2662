"""PersistentVolumeClaims on their way to the host: what they may ask for, and what they never can."""

import copy
from typing import Any

import pytest
from k3k_kubelet import policy
from k3k_kubelet.translate import Refused, claim, identity, names

from kubelet.tests.translate.builders import BASELINE, CLUSTER, OWNER

DATA = names.host_name("team", "default", "data")
OTHER = names.host_name("team", "default", "other")
STORAGE = {"requests": {"storage": "1Gi"}}


def allowing(**claims: Any) -> policy.Policy:
    """A policy whose part about claims says this, in JSON's names."""
    document = {"apiVersion": "k3k-pulumi.io/v1", "sync": {"toHost": {"persistentVolumeClaims": claims}}}
    return policy.load(policy.msgspec.json.encode(document))


def asked(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A claim `default/data` with more fields of spec and metadata."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default", "uid": "claim-uid", **metadata},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": STORAGE, **(spec or {})},
        "status": {"phase": "Pending"},
    }


def bound(made: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A copy as the host has it once it has a volume."""
    whole = copy.deepcopy(made)
    whole["metadata"] |= {"uid": "host-uid", "resourceVersion": "7"}
    whole["spec"] |= {"volumeName": "pvc-host-uid", "volumeMode": "Filesystem", **spec}
    whole["status"] = {
        "phase": "Bound",
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
    }
    return whole


def manifest(found: dict[str, Any], policy: policy.Policy = BASELINE, host: Any = None) -> dict[str, Any]:
    """Translate, and see that the input stays as it was."""
    before = copy.deepcopy((found, host))
    made = claim.to_host(found, CLUSTER, policy, host)
    assert (found, host) == before
    return made.manifest


def spec(found: dict[str, Any], policy: policy.Policy = BASELINE, host: Any = None) -> dict[str, Any]:
    """The copy's spec."""
    made: dict[str, Any] = manifest(found, policy, host)["spec"]
    return made


def test_a_claim_becomes_one_of_the_host_that_asks_for_the_same() -> None:
    found = asked(
        {"storageClassName": "fast", "volumeMode": "Block", "accessModes": ["ReadWriteMany"]},
        labels={"app": "db"},
        annotations={"volume.kubernetes.io/selected-node": "node-1", "note": "x"},
        finalizers=["kubernetes.io/pvc-protection"],
        ownerReferences=[{"kind": "StatefulSet", "name": "db"}],
    )
    assert manifest(found) == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": DATA,
            "namespace": "tenants",
            "labels": {"labels.k3k-pulumi.io/app": "db", **identity.labels("team", "default")},
            "annotations": identity.annotations("team", found),
            "ownerReferences": [OWNER],
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": STORAGE,
            "storageClassName": "fast",
            "volumeMode": "Block",
        },
    }


CLASSES = [
    # policy, claim's class, on the host (None: left to the host)
    (["*"], None, None),
    (["*"], "any", "any"),
    (["fast", "slow"], "slow", "slow"),
    (["fast", "slow"], None, "fast"),
    (["fast", "*"], None, "fast"),
    (["fast", "*"], "any", "any"),
    (["*", "fast"], None, None),
]


@pytest.mark.parametrize(("classes", "wanted", "given"), CLASSES)
def test_a_class_is_given_by_its_name_where_the_policy_has_it(
    classes: list[str], wanted: str | None, given: str | None
) -> None:
    found = asked({} if wanted is None else {"storageClassName": wanted})
    assert spec(found, allowing(storageClasses=classes)).get("storageClassName") == given


@pytest.mark.parametrize("classes", [["*"], ["fast"], ["fast", "*"], []])
def test_no_policy_lets_a_claim_without_a_class_reach_volumes_of_the_host(classes: list[str]) -> None:
    with pytest.raises(Refused, match=r'spec\.storageClassName: "" binds a volume that is there'):
        manifest(asked({"storageClassName": ""}), allowing(storageClasses=classes))


@pytest.mark.parametrize("wanted", ["slow", "*", "fast ", "FAST", None])
def test_another_class_is_refused_with_what_is_allowed(wanted: str | None) -> None:
    classes = ["fast", "large"] if wanted else []
    with pytest.raises(Refused) as refused:
        manifest(asked({"storageClassName": wanted}), allowing(storageClasses=classes))
    assert refused.value.path == "spec.storageClassName"
    expected = "fast, large" if wanted else "none"
    assert str(refused.value).endswith(
        f"sync.toHost.persistentVolumeClaims.storageClasses of the cluster's policy has: {expected}"
    )


@pytest.mark.parametrize("beside", [None, "fast"])
def test_the_older_annotation_names_the_class_as_in_kubernetes(beside: str | None) -> None:
    old = {claim.CLASS_ANNOTATION: "slow"}
    found = asked({"storageClassName": beside} if beside else {}, annotations=old)
    assert spec(found)["storageClassName"] == "slow"
    with pytest.raises(Refused):
        manifest(found, allowing(storageClasses=["fast"]))
    empty = asked({"storageClassName": "fast"}, annotations={claim.CLASS_ANNOTATION: ""})
    with pytest.raises(Refused):
        manifest(empty)


def test_a_volume_made_inside_is_none_of_the_hosts() -> None:
    with pytest.raises(Refused, match=r"spec\.volumeName: the volume 'pv-of-another' .* does not exist"):
        manifest(asked({"volumeName": "pv-of-another"}))
    ours = asked({"volumeName": "pvc-claim-uid"})
    assert "volumeName" not in spec(ours)
    assert "volumeName" not in spec(ours, host=bound(manifest(ours)))


def test_a_selector_picks_no_volume_of_the_host() -> None:
    with pytest.raises(Refused, match=r"spec\.selector: it picks among volumes that are there"):
        manifest(asked({"selector": {"matchLabels": {"team": "other"}}}))


def test_amounts_of_storage_alone_are_asked_for() -> None:
    resources = {"requests": {"storage": "1Gi", "cpu": "1"}, "limits": {"storage": "2Gi"}}
    made = claim.to_host(asked({"resources": resources}), CLUSTER, BASELINE)
    assert made.manifest["spec"]["resources"] == {
        "requests": {"storage": "1Gi"},
        "limits": {"storage": "2Gi"},
    }
    assert [each.path for each in made.dropped] == ["spec.resources.requests['cpu']"]


SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "golden"}
OWN = {"kind": "PersistentVolumeClaim", "name": "other"}


@pytest.mark.parametrize("source", [OWN, {**OWN, "apiGroup": ""}])
def test_a_clone_is_made_of_the_copy_of_a_claim_of_the_own_namespace(source: dict[str, Any]) -> None:
    both = {"dataSource": source, "dataSourceRef": source}
    made = {**source, "name": OTHER}
    found = spec(asked(both))
    assert (found["dataSource"], found["dataSourceRef"]) == (made, made)


SOURCES = [
    SNAPSHOT,
    {**OWN, "apiGroup": "example.com"},
    {**OWN, "kind": "Secret"},
    {**OWN, "name": "../../other"},
    {**OWN, "name": ""},
    {"kind": "PersistentVolumeClaim"},
    {},
]


@pytest.mark.parametrize("field", ["dataSource", "dataSourceRef"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_nothing_else_fills_a_claim(field: str, source: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        manifest(asked({field: source}))
    assert refused.value.path.startswith(f"spec.{field}")


def test_a_claim_of_another_namespace_fills_none() -> None:
    with pytest.raises(Refused, match=r"spec\.dataSourceRef\.namespace"):
        manifest(asked({"dataSourceRef": {**OWN, "namespace": "tenants"}}))


def test_what_the_policy_names_fills_claims_by_its_name_on_the_host() -> None:
    allowed = allowing(dataSources=[SNAPSHOT, {"kind": "PersistentVolumeClaim", "name": "template"}])
    assert spec(asked({"dataSource": SNAPSHOT}), allowed)["dataSource"] == SNAPSHOT
    template = {"kind": "PersistentVolumeClaim", "name": "template"}
    assert spec(asked({"dataSource": template}), allowed)["dataSource"] == template
    with pytest.raises(Refused, match="VolumeSnapshot golden, PersistentVolumeClaim template"):
        manifest(asked({"dataSource": {**SNAPSHOT, "name": "other"}}), allowed)


def test_a_class_of_attributes_is_the_policys_to_give() -> None:
    found = asked({"volumeAttributesClassName": "gold"})
    with pytest.raises(Refused, match=r"spec\.volumeAttributesClassName: the class 'gold' is not allowed"):
        manifest(found)
    assert spec(found, allowing(volumeAttributesClasses=["gold"]))["volumeAttributesClassName"] == "gold"
    assert "volumeAttributesClassName" not in spec(asked({"volumeAttributesClassName": ""}))


def test_a_field_of_a_newer_kubernetes_is_refused() -> None:
    with pytest.raises(Refused, match=r"spec\.hostVolume: this field .* is not known"):
        manifest(asked({"hostVolume": "x"}))


def test_a_copy_keeps_what_claims_cannot_change() -> None:
    found = asked({"storageClassName": "fast", "dataSource": OWN})
    host = bound(manifest(found))
    grown = asked({**found["spec"], "resources": {"requests": {"storage": "2Gi"}}})
    assert spec(grown, allowing(storageClasses=["slow"]), host) == {
        "accessModes": ["ReadWriteOnce"],
        "dataSource": {**OWN, "name": OTHER},
        "resources": {"requests": {"storage": "2Gi"}},
        "storageClassName": "fast",
    }


@pytest.mark.parametrize("phase", ["Pending", "Bound"])
@pytest.mark.parametrize("inside", [None, "the-default"])
@pytest.mark.parametrize("classes", [["*"], ["first"]])
def test_what_the_host_fills_in_is_never_applied(phase: str, inside: str | None, classes: list[str]) -> None:
    """A write that changes nothing would still be in the way of the host's scheduler."""
    first = manifest(asked(), allowing(storageClasses=classes))
    given = first["spec"].get("storageClassName", "the-default")
    host = bound(first, storageClassName=given, dataSourceRef=OWN)
    host["status"]["phase"] = phase
    filled = asked({} if inside is None or classes != ["*"] else {"storageClassName": inside})
    assert manifest(filled, allowing(storageClasses=classes), host) == first


def test_a_policy_that_got_narrower_takes_no_volume_away() -> None:
    found = asked({"storageClassName": "fast"})
    host = bound(manifest(found))
    narrow = allowing(storageClasses=["slow"])
    assert spec(found, narrow, host)["storageClassName"] == "fast"
    waiting = {**host, "status": {"phase": "Pending"}}
    with pytest.raises(Refused, match="'fast' is not allowed"):
        manifest(found, narrow, waiting)


@pytest.mark.parametrize("phase", ["Bound", "Lost"])
def test_a_claim_that_lost_its_copy_gets_no_empty_one(phase: str) -> None:
    found = {**asked({"volumeName": "pvc-claim-uid"}), "status": {"phase": phase}}
    with pytest.raises(Refused, match="is gone, and the volume with it; delete this one and make it anew"):
        manifest(found)


def test_a_claim_that_took_a_volume_made_inside_never_had_a_copy() -> None:
    found = {**asked({"volumeName": "made-inside"}), "status": {"phase": "Bound"}}
    with pytest.raises(Refused, match="the volume 'made-inside' of the virtual cluster does not exist"):
        manifest(found)


def test_with_its_copy_a_claim_gets_its_volumes_name_and_the_hosts_class() -> None:
    found = asked()
    host = bound(manifest(found), storageClassName="the-default")
    expected = {"volumeName": "pvc-claim-uid", "storageClassName": "the-default"}
    assert claim.spec_changes(found, host) == expected
    named = asked({"storageClassName": "fast"})
    assert claim.spec_changes(named, host) == {"volumeName": "pvc-claim-uid"}
    old = asked(annotations={claim.CLASS_ANNOTATION: "fast"})
    assert claim.spec_changes(old, host) == {"volumeName": "pvc-claim-uid"}
    late = asked({"volumeName": "pvc-claim-uid"})  # the host has chosen a moment later
    assert claim.spec_changes(late, host) == {"storageClassName": "the-default"}
    assert claim.spec_changes(bound(late), host) is None


def test_the_status_says_how_far_a_resize_is() -> None:
    found = {**asked(), "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    host = bound(manifest(asked()))
    resizing = {
        "type": "Resizing",
        "status": "True",
        "lastTransitionTime": "2026-11-21T12:00:00Z",
        "message": f"expanding {DATA}",
    }
    own = {"type": "example.com/Mine", "status": "True"}
    host["status"] |= {
        "allocatedResources": {"storage": "2Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
        "conditions": [resizing, {"type": "example.com/Theirs", "status": "True"}],
        "phase": "Bound",
    }
    found["status"]["conditions"] = [own]
    changed = claim.status_to_virtual(host, found, lambda text: text.replace(DATA, "data"))
    assert changed == {
        "allocatedResources": {"storage": "2Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
        "conditions": [{**resizing, "message": "expanding data"}, own],
    }
    done = {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"]}
    found["status"] |= changed
    assert claim.status_to_virtual({**host, "status": done}, found, str) == {
        "allocatedResources": None,
        "allocatedResourceStatuses": None,
        "capacity": {"storage": "2Gi"},
        "conditions": [own],
    }


def test_a_status_that_is_the_hosts_already_is_not_written() -> None:
    found = {**asked(), "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    assert claim.status_to_virtual(bound(manifest(asked())), found, str) is None
