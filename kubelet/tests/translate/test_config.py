"""ConfigMaps, Secrets, tokens."""

from typing import Any

import pytest
from k3k_kubelet.translate import config, identity, token

from kubelet.tests.translate.builders import CLUSTER, OWNER, pod

METADATA = {
    "name": "cfg",
    "namespace": "default",
    "uid": "cfg-uid",
    "resourceVersion": "9",
    "labels": {"app": "web"},
    "annotations": {"kubernetes.io/service-account.name": "admin", "k3k-pulumi.io/uid": "stolen"},
    "finalizers": ["example.com/keep"],
    "ownerReferences": [{"kind": "Deployment", "name": "x", "uid": "y"}],
}
ON_HOST = {
    "name": "cfg-default-jgmwfpaqit6gxqcy",
    "namespace": "tenants",
    "labels": {
        "k3k-pulumi.io/cluster": "team",
        "k3k-pulumi.io/namespace": "default",
        "k3k-pulumi.io/component": "workload",
    },
    "annotations": {
        "k3k-pulumi.io/cluster": "team",
        "k3k-pulumi.io/namespace": "default",
        "k3k-pulumi.io/name": "cfg",
        "k3k-pulumi.io/uid": "cfg-uid",
    },
    "ownerReferences": [OWNER],
}


def test_a_config_map() -> None:
    found = config.config_map_to_host(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": METADATA,
            "data": {"a": "1"},
            "binaryData": {"b": "AA=="},
            "immutable": True,
        },
        CLUSTER,
    )
    assert found == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ON_HOST,
        "data": {"a": "1"},
        "binaryData": {"b": "AA=="},
    }


def test_an_empty_config_map() -> None:
    assert config.config_map_to_host({"metadata": METADATA, "data": {}}, CLUSTER) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ON_HOST,
    }


@pytest.mark.parametrize(
    ("kind", "on_host"),
    [
        (None, "Opaque"),
        ("Opaque", "Opaque"),
        ("kubernetes.io/service-account-token", "Opaque"),
        ("bootstrap.kubernetes.io/token", "Opaque"),
        ("helm.sh/release.v1", "Opaque"),
        ("kubernetes.io/tls", "kubernetes.io/tls"),
        ("kubernetes.io/dockercfg", "kubernetes.io/dockercfg"),
        ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockerconfigjson"),
    ],
)
def test_a_secret(kind: str | None, on_host: str) -> None:
    secret: dict[str, Any] = {"metadata": METADATA, "data": {"a": "MQ=="}, "immutable": True, "type": kind}
    assert config.secret_to_host(secret, CLUSTER) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": ON_HOST,
        "type": on_host,
        "data": {"a": "MQ=="},
    }


def test_the_root_certificate_stands_under_the_name_of_its_config_map() -> None:
    found = config.root_ca(CLUSTER, "default", "PEM")
    assert found["metadata"]["name"] == "kube-root-ca-crt-default-cko4uwtfh33qrvp5"
    assert found["data"] == {"ca.crt": "PEM"}
    assert identity.owner_of(found) == identity.Identity("team", "default", "kube-root-ca.crt", "")


def test_the_secret_with_a_pods_tokens() -> None:
    assert token.secret(pod(), CLUSTER, {"token-0": "abc"}) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "web-default-7uksoqce2rjfcem6",
            "namespace": "tenants",
            "labels": {**ON_HOST["labels"], "k3k-pulumi.io/component": "token"},
            "annotations": {
                **ON_HOST["annotations"],
                "k3k-pulumi.io/name": "web",
                "k3k-pulumi.io/uid": "pod-uid",
            },
            "ownerReferences": [OWNER],
        },
        "type": "Opaque",
        "data": {"token-0": "YWJj"},
    }
