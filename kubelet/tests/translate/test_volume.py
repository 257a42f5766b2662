"""PersistentVolumes inside: what a host's claim tells of the volume it is bound to."""

from typing import Any

from k3k_kubelet.translate import volume

from kubelet.tests.translate.test_claims import asked, bound, manifest


def made(**status: Any) -> dict[str, Any]:
    """The volume of a claim whose copy is bound with this status."""
    host = bound(manifest(asked()), storageClassName="fast")
    host["status"] |= status
    found = volume.to_virtual(host, asked())
    assert found is not None
    return found


def test_a_volume_is_what_the_hosts_claim_says() -> None:
    assert made(accessModes=["ReadWriteOnce", "ReadOnlyMany"], capacity={"storage": "10Gi"}) == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": "pvc-claim-uid",
            "annotations": {"pv.kubernetes.io/provisioned-by": "k3k-pulumi.io"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "capacity": {"storage": "10Gi"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": "data",
                "namespace": "default",
                "uid": "claim-uid",
            },
            "csi": {"driver": "k3k-pulumi.io", "volumeHandle": "host-uid"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "fast",
            "volumeMode": "Filesystem",
        },
    }


def test_a_claim_that_is_not_bound_on_the_host_has_no_volume() -> None:
    host = bound(manifest(asked()))
    for phase in ("Pending", "Lost"):
        host["status"]["phase"] = phase
        assert volume.to_virtual(host, asked()) is None


def test_a_class_of_attributes_shows() -> None:
    assert made(currentVolumeAttributesClassName="gold")["spec"]["volumeAttributesClassName"] == "gold"


def test_what_a_tenant_wrote_into_it_is_put_right() -> None:
    wanted = made()
    found = made()
    found["spec"] |= {
        "capacity": {"storage": "1Ti"},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {**wanted["spec"]["claimRef"], "namespace": "other", "resourceVersion": "7"},
        "mountOptions": ["ro"],
    }
    found["metadata"] = {"name": "pvc-claim-uid", "annotations": {"own": "x"}}
    spec = wanted["spec"]
    assert volume.changes(found, wanted) == {
        "metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "k3k-pulumi.io"}},
        "spec": {key: spec[key] for key in ("capacity", "persistentVolumeReclaimPolicy", "claimRef")},
    }


def test_what_its_controller_adds_is_left_alone() -> None:
    wanted, found = made(), made()
    found["spec"]["claimRef"]["resourceVersion"] = "7"
    found["metadata"]["annotations"] |= {"pv.kubernetes.io/bound-by-controller": "yes"}
    found["metadata"]["finalizers"] = ["kubernetes.io/pv-protection"]
    found["status"] = {"phase": "Bound"}
    assert volume.changes(found, wanted) is None


def test_a_claim_is_woken_once_when_its_volume_is_bound() -> None:
    found = {**made(), "status": {"phase": "Bound"}}
    found["metadata"]["uid"] = "volume-uid"
    change = {"annotations": {volume.VOLUME_UID: "volume-uid"}}
    assert volume.wake(asked(), found) == change
    assert volume.wake(asked(annotations=change["annotations"]), found) is None
    assert volume.wake(asked(annotations={volume.VOLUME_UID: "before"}), found) == change
    assert volume.wake(asked(), {**found, "status": {"phase": "Available"}}) is None
    assert volume.wake({**asked(), "status": {"phase": "Bound"}}, found) is None


def test_volumes_of_the_tenants_own_are_not_ours() -> None:
    assert volume.is_ours(made())
    for source in ({"hostPath": {"path": "/"}}, {"csi": {"driver": "example.com"}}, {}):
        assert not volume.is_ours({"spec": source})
