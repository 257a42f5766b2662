"""Labels and annotations of a host pod."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused
from k3k_kubelet.translate.metadata import MAX_ANNOTATIONS

from kubelet.tests.translate.builders import allowing, pod, to_host

METADATA: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, str], dict[str, str]]] = [
    ("nothing", {}, {}, {}, {}),
    (
        "labels that look like ours",
        {"labels": {"k3k-pulumi.io/cluster": "other", "labels.k3k-pulumi.io/app": "x"}},
        {},
        {
            "k3k-pulumi.io.labels.k3k-pulumi.io/cluster": "other",
            "labels.k3k-pulumi.io.labels.k3k-pulumi.io/app": "x",
        },
        {},
    ),
    (
        "labels for the host's webhooks",
        {"labels": {"sidecar.istio.io/inject": "false", "azure.workload.identity/use": "true"}},
        {},
        {
            "sidecar.istio.io.labels.k3k-pulumi.io/inject": "false",
            "azure.workload.identity.labels.k3k-pulumi.io/use": "true",
        },
        {},
    ),
    (
        "annotations for the host's runtime and network",
        {
            "annotations": {
                "container.apparmor.security.beta.kubernetes.io/main": "unconfined",
                "k8s.v1.cni.cncf.io/networks": "host-net",
                "io.kubernetes.cri.untrusted-workload": "false",
                "kubernetes.io/config.mirror": "x",
                "k3k-pulumi.io/uid": "stolen",
                "k3k-pulumi.io/applied": "{}",
            }
        },
        {},
        {},
        {},
    ),
    (
        "labels that the policy lets through",
        {"labels": {"team": "a", "cost.example.com/center": "7", "costs": "8"}},
        {"labels": ["team", "cost.example.com/"]},
        {
            "team": "a",
            "cost.example.com/center": "7",
            "labels.k3k-pulumi.io/team": "a",
            "cost.example.com.labels.k3k-pulumi.io/center": "7",
            "labels.k3k-pulumi.io/costs": "8",
        },
        {},
    ),
    (
        "annotations that the policy lets through",
        {"annotations": {"prometheus.io/scrape": "true", "other.io/scrape": "true"}},
        {"annotations": ["prometheus.io/"]},
        {},
        {"prometheus.io/scrape": "true"},
    ),
]


@pytest.mark.parametrize(
    ("metadata", "policy", "labels", "annotations"),
    [case[1:] for case in METADATA],
    ids=[case[0] for case in METADATA],
)
def test_labels_and_annotations(
    metadata: dict[str, Any], policy: dict[str, Any], labels: dict[str, str], annotations: dict[str, str]
) -> None:
    plain = to_host(pod()).manifest["metadata"]
    found = to_host(pod(**metadata), allowing(**policy)).manifest["metadata"]
    found["annotations"].pop("k3k-pulumi.io/applied")
    plain["annotations"].pop("k3k-pulumi.io/applied")
    assert found["labels"] == plain["labels"] | labels
    assert found["annotations"] == plain["annotations"] | annotations


def test_annotations_that_do_not_fit_the_host_are_refused_with_their_size() -> None:
    env = {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a']"}}}]}
    with pytest.raises(Refused) as caught:
        to_host(pod(container=env, annotations={"a": "ü" * (MAX_ANNOTATIONS // 2 - 100)}))
    assert caught.value.path == "metadata.annotations"
    assert str(MAX_ANNOTATIONS) in str(caught.value)
