"""Rules for the fields of a PodDisruptionBudget."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Cluster, Object
from k3k_kubelet.translate.rules import scheduling
from k3k_kubelet.translate.schema import OMIT


@dataclass(slots=True)
class BudgetNotes(Notes):
    """The translation of one budget.

    Attributes:
        cluster: the virtual cluster.
        namespace: the budget's namespace inside.
        needed: how many pods have to be there, as the virtual cluster's controller says.
    """

    cluster: Cluster
    namespace: str
    needed: int


def omit(value: Any, context: BudgetNotes, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """Left to `finish`."""
    return OMIT


def selector(value: Object, context: BudgetNotes, path: str, parent: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """The pods of the budget's namespace inside, and no others of the host."""
    chosen = scheduling.selector(value)
    scheduling.limit(chosen, context.cluster.name, [context.namespace])
    return chosen


def finish(spec: Object, context: BudgetNotes, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A number in place of whatever the tenant has written."""
    return {**spec, "minAvailable": context.needed}
