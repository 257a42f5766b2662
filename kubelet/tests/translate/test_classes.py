"""Classes of the host as they are shown inside."""

from typing import Any

import pytest
from k3k_kubelet.translate import classes

METADATA: dict[str, Any] = {
    "name": "fast",
    "annotations": {"example.com/owner": "team"},
    "labels": {"a": "b"},
}
STORAGE: dict[str, Any] = {
    "metadata": METADATA,
    "provisioner": "disk.example.com",
    "parameters": {"csi.storage.k8s.io/provisioner-secret-name": "root-of-all"},
    "reclaimPolicy": "Retain",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
    "mountOptions": ["nosuid"],
    "allowedTopologies": [{"matchLabelExpressions": [{"key": "rack", "values": ["7"]}]}],
}
INGRESS: dict[str, Any] = {
    "metadata": METADATA,
    "spec": {
        "controller": "example.com/ingress",
        "parameters": {"kind": "Secret", "name": "x", "namespace": "infra", "scope": "Namespace"},
    },
}
PRIORITY: dict[str, Any] = {
    "metadata": METADATA,
    "value": 1000,
    "preemptionPolicy": "Never",
    "description": "for batches",
    "globalDefault": True,
}


def test_a_storage_class_says_how_claims_behave_and_nothing_of_the_hosts_storage() -> None:
    assert classes.storage_class(STORAGE) == {
        "provisioner": "disk.example.com",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": None}},
    }


def test_an_ingress_class_says_whose_it_is() -> None:
    made = classes.ingress_class(INGRESS)
    assert made["spec"] == {"controller": "example.com/ingress", "parameters": None}


@pytest.mark.parametrize(("kind", "host"), [("storage", STORAGE), ("ingress", INGRESS)])
def test_the_default_class_is_the_default_class(kind: str, host: dict[str, Any]) -> None:
    key = f"{kind}class.kubernetes.io/is-default-class"
    shown = classes.storage_class if kind == "storage" else classes.ingress_class
    made = shown({**host, "metadata": {"name": "fast", "annotations": {key: "true", "other": "x"}}})
    assert made["metadata"]["annotations"] == {key: "true"}
    assert shown(host)["metadata"]["annotations"] == {key: None}


def test_a_priority_class_has_its_value_and_is_never_the_default() -> None:
    assert classes.priority_class(PRIORITY) == {
        "value": 1000,
        "preemptionPolicy": "Never",
        "description": "for batches",
        "globalDefault": False,
    }


def test_a_class_made_by_its_name_claims_nothing_of_the_host() -> None:
    assert classes.storage_class(None)["provisioner"] == "k3k-pulumi.io/host"
    assert classes.storage_class(None)["allowVolumeExpansion"]
    assert classes.ingress_class(None) == {"spec": {"controller": "k3k-pulumi.io/host"}}
    assert classes.priority_class(None)["value"] == 0


def test_kubernetes_own_priority_classes_are_not_made() -> None:
    assert classes.may_be_priority_class("low")
    assert not classes.may_be_priority_class("system-node-critical")
