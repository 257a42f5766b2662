"""The field table of a PodDisruptionBudget."""

from k3k_kubelet.translate.rules import disruption_budget
from k3k_kubelet.translate.schema import INT_OR_STRING, STRING, Struct, copied, translated
from k3k_kubelet.translate.table.scheduling import LABEL_SELECTOR

_NUMBER = "minAvailable as a number: `status.desiredHealthy` inside"

BUDGET_SPEC = Struct(
    "PodDisruptionBudgetSpec",
    {
        "maxUnavailable": translated(INT_OR_STRING, _NUMBER, disruption_budget.omit),
        "minAvailable": translated(INT_OR_STRING, _NUMBER, disruption_budget.omit),
        "selector": translated(
            LABEL_SELECTOR,
            "the labels' keys on the host, this cluster and namespace",
            disruption_budget.selector,
        ),
        "unhealthyPodEvictionPolicy": copied(STRING),
    },
    disruption_budget.finish,
)
