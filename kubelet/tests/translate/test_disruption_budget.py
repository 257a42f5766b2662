"""PodDisruptionBudgets: a number of pods for the host, of this cluster and namespace alone."""

import copy
from typing import Any

import pytest
from k3k_kubelet.translate import HostObject, Refused, disruption_budget, identity, names
from k3k_kubelet.translate.schema import rows
from k3k_kubelet.translate.table.disruption_budget import BUDGET_SPEC

from kubelet.tests.translate.builders import CLUSTER, OWNER
from kubelet.tests.translate.test_table import struct_differences


def budget(desired: int | None = 2, observed: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "budget-uid",
            "labels": {"app": "web", "k3k-pulumi.io/cluster": "other"},
            "annotations": {"example.com/a": "1"},
        },
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1, **spec},
        "status": {
            "observedGeneration": observed,
            **({} if desired is None else {"desiredHealthy": desired}),
        },
    }


def to_host(obj: dict[str, Any]) -> HostObject:
    before = copy.deepcopy(obj)
    made = disruption_budget.to_host(obj, CLUSTER)
    assert obj == before
    assert made is not None
    return made


def test_the_host_gets_the_number_that_was_worked_out_inside() -> None:
    made = to_host(budget(unhealthyPodEvictionPolicy="AlwaysAllow"))
    assert made.manifest["spec"] == {
        "minAvailable": 2,
        "selector": {
            "matchLabels": {
                names.label_key("app"): "web",
                identity.CLUSTER: "team",
                identity.NAMESPACE: "shop",
            }
        },
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    assert made.manifest["metadata"] == {
        "name": names.host_name("team", "shop", "web"),
        "namespace": "tenants",
        "labels": {
            names.label_key("app"): "web",
            names.label_key("k3k-pulumi.io/cluster"): "other",
            **identity.labels("team", "shop"),
        },
        "annotations": {
            identity.CLUSTER: "team",
            identity.NAMESPACE: "shop",
            identity.NAME: "web",
            identity.UID: "budget-uid",
        },
        "ownerReferences": [OWNER],
    }


@pytest.mark.parametrize("spec", [{"minAvailable": "50%", "maxUnavailable": None}, {"maxUnavailable": "30%"}])
def test_percentages_become_numbers(spec: dict[str, Any]) -> None:
    made = to_host(budget(desired=3, **spec)).manifest["spec"]
    assert made["minAvailable"] == 3
    assert "maxUnavailable" not in made


def test_a_budget_that_needs_no_pod_is_zero() -> None:
    assert to_host(budget(desired=None)).manifest["spec"]["minAvailable"] == 0


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"matchLabels": {identity.CLUSTER: "other", identity.NAMESPACE: "bank"}},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]},
        {"matchExpressions": [{"key": identity.CLUSTER, "operator": "Exists"}]},
    ],
)
def test_whatever_a_selector_says_it_is_about_pods_of_this_cluster_and_namespace(
    selector: dict[str, Any],
) -> None:
    made = to_host(budget(selector=selector)).manifest["spec"]["selector"]
    assert made["matchLabels"][identity.CLUSTER] == "team"
    assert made["matchLabels"][identity.NAMESPACE] == "shop"
    for each in made.get("matchExpressions", ()):
        assert not each["key"].startswith("k3k-pulumi.io/")


def test_what_is_about_no_pod_or_not_worked_out_yet_has_no_copy() -> None:
    assert disruption_budget.to_host(budget(selector=None), CLUSTER) is None
    assert disruption_budget.to_host(budget(observed=0), CLUSTER) is None
    no_status = budget()
    del no_status["status"]
    assert disruption_budget.to_host(no_status, CLUSTER) is None


def test_a_budget_that_cannot_be_worked_out_is_refused_in_the_controllers_words() -> None:
    failed = budget()
    failed["status"]["conditions"] = [
        {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}
    ]
    with pytest.raises(Refused, match=r"status: nobody knows .*\(no scale\).*minAvailable a number"):
        disruption_budget.to_host(failed, CLUSTER)


def test_a_field_of_a_newer_kubernetes_is_refused() -> None:
    with pytest.raises(Refused, match=r"spec\.force"):
        disruption_budget.to_host(budget(force=True), CLUSTER)


def test_the_table_has_every_field_of_kubernetes_with_its_type() -> None:
    kind = "V1PodDisruptionBudgetSpec"
    assert list(struct_differences(kind, BUDGET_SPEC, kind)) == []
    assert all(field.why for _, _, field in rows(BUDGET_SPEC))
