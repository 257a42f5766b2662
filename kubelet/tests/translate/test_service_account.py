"""Who a pod is on the host: nobody, or the account that the policy maps its own to."""

from typing import Any

import pytest

from kubelet.tests.translate.builders import allowing, host_spec, pod

MAPPED = {"namespace": "payments", "name": "uploader", "hostServiceAccount": "s3-writer"}
OTHER = {"namespace": "default", "name": "default", "hostServiceAccount": "reader"}
POLICY = allowing(serviceAccounts=[MAPPED, OTHER])

CASES: list[tuple[str, dict[str, Any], str]] = [
    ("payments", {"serviceAccountName": "uploader"}, "s3-writer"),
    ("payments", {"serviceAccountName": "uploader", "automountServiceAccountToken": True}, "s3-writer"),
    ("payments", {"serviceAccountName": "default"}, "team-workload"),
    ("payments", {}, "team-workload"),
    ("default", {"serviceAccountName": "uploader"}, "team-workload"),
    ("default", {"serviceAccountName": "default"}, "reader"),
    ("default", {}, "reader"),
    ("other", {"serviceAccountName": "uploader"}, "team-workload"),
    ("other", {"serviceAccountName": "s3-writer"}, "team-workload"),
    ("other", {"serviceAccountName": "payments/uploader"}, "team-workload"),
    ("payments", {"serviceAccountName": "other", "serviceAccount": "uploader"}, "team-workload"),
    ("payments", {"serviceAccount": "uploader"}, "team-workload"),
]


@pytest.mark.parametrize(("namespace", "spec", "expected"), CASES)
def test_the_account_on_the_host(namespace: str, spec: dict[str, Any], expected: str) -> None:
    found = host_spec(pod(spec, namespace=namespace), POLICY)
    assert found["serviceAccountName"] == expected
    assert found["automountServiceAccountToken"] is False
    assert "serviceAccount" not in found


def test_without_a_mapping_nobody_is_anybody() -> None:
    found = host_spec(pod({"serviceAccountName": "uploader"}, namespace="payments"))
    assert found["serviceAccountName"] == "team-workload"
