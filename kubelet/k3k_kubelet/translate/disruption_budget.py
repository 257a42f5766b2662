"""PodDisruptionBudgets: the tenant's to the host's.

The host cannot work a budget out by itself: its pods have no controller with a scale, so `maxUnavailable` and
percentages would block every eviction for ever (getExpectedPodCount in
k8s.io/kubernetes/pkg/controller/disruption). The virtual cluster's own controller does, and says in the
budget's status how many pods have to be there.
"""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import metadata
from k3k_kubelet.translate.objects import Cluster, HostObject, Refused
from k3k_kubelet.translate.rules.disruption_budget import BudgetNotes
from k3k_kubelet.translate.table.disruption_budget import BUDGET_SPEC


def to_host(budget: Mapping[str, Any], cluster: Cluster) -> HostObject | None:
    """The host's copy of a PodDisruptionBudget.

    Args:
        budget: the budget as the virtual API server has it.
        cluster: the virtual cluster.

    Returns:
        None for one that the virtual cluster's controller has not looked at yet, and for one without a
        selector, which is about no pod.

    Raises:
        Refused: the controller could not work out how many pods have to be there, or the budget has a field
            that is not known.
    """
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("selector") is None:
        return None
    failed = next((each for each in status.get("conditions") or () if _is_failure(each)), None)
    if failed is not None:
        raise Refused(
            "status",
            f"nobody knows how many pods have to be there ({failed.get('message', '')}): the host has no "
            "budget for them",
            "give minAvailable a number, or the pods a controller that can be scaled",
        )
    if not status.get("observedGeneration"):
        return None
    notes = BudgetNotes(cluster, budget["metadata"]["namespace"], status.get("desiredHealthy") or 0)
    manifest = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata.of_object(budget, cluster),
        "spec": BUDGET_SPEC.copy(spec, notes, "spec"),
    }
    return HostObject(manifest, dropped=tuple(notes.dropped))


def _is_failure(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") == "DisruptionAllowed" and condition.get("reason") == "SyncFailed"
