"""The Job that proves NetworkPolicies, as data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from k3k_kubelet import probe

from k3k_pulumi.manifests import network_probe, waits_for_ready
from tests.unit.support import containers, find, manifests


def job(**args: Any) -> dict[str, Any]:
    return find(manifests("c", require_network_policy=True, **args), "Job", "c-network-probe", "team")


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert "network-probe" not in json.dumps(manifests())


def test_a_cluster_is_ready_when_it_has_succeeded() -> None:
    awaited = [each for each in manifests(require_network_policy=True) if waits_for_ready(each)]
    assert [each["metadata"]["name"] for each in awaited][-1] == "c-network-probe"


def test_its_pods_have_no_rights_and_are_what_every_namespace_admits() -> None:
    pod = job()["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "c-workload"
    assert pod["automountServiceAccountToken"] is False
    assert "volumes" not in pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    # A quota may ask for any of them.
    assert (
        set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
    )


def test_what_it_is_sure_of_ends_the_job() -> None:
    (rule,) = job()["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [network_probe.NOT_ENFORCED] == [probe.NOT_ENFORCED]


def test_one_pod_finds_the_other_by_the_service_of_its_index() -> None:
    made = manifests("c", require_network_policy=True)
    selector = find(made, "Service", "c-network-probe", "team")["spec"]["selector"]
    labels = job()["spec"]["template"]["metadata"]["labels"]
    assert selector.items() - labels.items() == {("batch.kubernetes.io/job-completion-index", "0")}
    (container,) = containers(job()["spec"]["template"]).values()
    assert {"name": "K3K_PROBE_HOST", "value": "$(C_NETWORK_PROBE_SERVICE_HOST)"} in container["env"]
    kinds = [each["kind"] for each in made if each["metadata"]["name"] == "c-network-probe"]
    assert kinds == ["NetworkPolicy", "Service", "Job"]  # the environment has Services that were there before


@pytest.mark.parametrize(
    ("args", "same"),
    [
        ({}, True),
        ({"labels": {"team": "a"}}, False),
        ({"images": {"kubelet": "example.com/kubelet:2"}}, False),
    ],
)
def test_a_job_with_other_pods_has_another_checksum(args: dict[str, Any], *, same: bool) -> None:
    key = "k3k-pulumi.io/config-checksum"
    assert (job()["metadata"]["annotations"][key] == job(**args)["metadata"]["annotations"][key]) is same
