"""ResourceClaims of the host: by the names that the policy has, for the pods that name them."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused, update

from kubelet.tests.translate.builders import BASELINE, CLUSTER, allowing, host_spec, on_host, pod, to_host

GPU = {"name": "gpu", "resourceClaimName": "shared-gpu"}
OWN = {"name": "own", "resourceClaimTemplateName": "one-gpu"}
USES = {"resources": {"claims": [{"name": "gpu"}, {"name": "own", "request": "half"}]}}


def test_claims_and_templates_that_the_policy_has_reach_the_host_as_they_are() -> None:
    policy = allowing(resourceClaims=["shared-gpu"], resourceClaimTemplates=["one-gpu"])
    spec = host_spec(pod({"resourceClaims": [GPU, OWN]}, USES), policy)
    assert spec["resourceClaims"] == [GPU, OWN]
    assert spec["containers"][0]["resources"] == USES["resources"]


@pytest.mark.parametrize(
    ("claim", "policy", "path"),
    [
        (GPU, {}, "resourceClaimName"),
        (GPU, {"resourceClaims": ["other"]}, "resourceClaimName"),
        (GPU, {"resourceClaimTemplates": ["shared-gpu"]}, "resourceClaimName"),
        (OWN, {}, "resourceClaimTemplateName"),
        (OWN, {"resourceClaims": ["one-gpu"]}, "resourceClaimTemplateName"),
    ],
)
def test_any_other_one_is_refused_and_the_list_is_named(
    claim: dict[str, str], policy: dict[str, Any], path: str
) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod({"resourceClaims": [claim]}), allowing(**policy))
    assert caught.value.path == f"spec.resourceClaims[0].{path}"
    assert f"pods.{path.removesuffix('Name')}s" in caught.value.allowed


def test_a_field_of_a_newer_kubernetes_is_refused() -> None:
    with pytest.raises(Refused, match=r"spec\.resourceClaims\[0\]\.groupClaimName"):
        to_host(pod({"resourceClaims": [{"name": "a", "groupClaimName": "b"}]}))


def test_a_pod_that_runs_keeps_its_claims_when_the_policy_takes_them_away() -> None:
    policy = allowing(resourceClaims=["shared-gpu"])
    tenant = pod({"resourceClaims": [GPU]}, {"resources": {"claims": [{"name": "gpu"}]}})
    changes = update.changes(tenant, on_host(tenant, policy), CLUSTER, BASELINE)
    assert changes.patch is None
    assert changes.resize is None
