"""Tolerations and node affinity, with the fields and the meaning of Kubernetes' own."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from k3k_kubelet.policy.document import Document, LabelKey

_Value = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=253)]
"""Value of a label, or name of a Node."""
_NODE_NAME = "metadata.name"
"""The one field of a Node that affinity can look at."""


class Toleration(Document, frozen=True):
    """A toleration, with the fields and meaning of Kubernetes' own."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None

    def __post_init__(self) -> None:
        if self.operator == "Exists" and self.value:
            raise ValueError("`value` must be left out with the operator Exists")
        if self.operator == "Equal" and not self.key:
            raise ValueError("`key` is missing: without one the operator must be Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("`tolerationSeconds` needs the effect NoExecute")


class NodeSelectorRequirement(Document, frozen=True):
    """A condition on a label of a Node, or on its name."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[_Value, ...] = ()

    def __post_init__(self) -> None:
        if self.operator in ("Exists", "DoesNotExist"):
            if self.values:
                raise ValueError(f"`values` must be left out with the operator {self.operator}")
        elif not self.values:
            raise ValueError(f"`values` is missing: the operator {self.operator} needs some")
        elif self.operator in ("Gt", "Lt") and not (len(self.values) == 1 and _is_integer(self.values[0])):
            raise ValueError(f"`values` must be one whole number with the operator {self.operator}")

    def holds(self, found: str | None) -> bool:
        """Whether it does for a label's value, None for a label that is not there."""
        if self.operator == "In":
            return found in self.values
        if self.operator == "NotIn":
            return found not in self.values
        if self.operator in ("Exists", "DoesNotExist"):
            return (found is not None) is (self.operator == "Exists")
        if found is None or not _is_integer(found):
            return False
        limit = int(self.values[0])
        return int(found) > limit if self.operator == "Gt" else int(found) < limit


class NodeSelectorTerm(Document, frozen=True):
    """Conditions of which all must hold."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()

    def __post_init__(self) -> None:
        if not self.match_expressions and not self.match_fields:
            raise ValueError("a term without `matchExpressions` and `matchFields` matches no node")
        for each in self.match_fields:
            if each.key != _NODE_NAME or each.operator not in ("In", "NotIn") or len(each.values) != 1:
                raise ValueError(
                    f"`matchFields` can only say {_NODE_NAME}, with In or NotIn and one name of a node"
                )

    def matches(self, node: str, labels: dict[str, str]) -> bool:
        """Whether a Node is meant."""
        return all(each.holds(labels.get(each.key)) for each in self.match_expressions) and all(
            each.holds(node) for each in self.match_fields
        )


class NodeSelector(Document, frozen=True):
    """Terms of which one must match."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()

    def matches(self, node: str, labels: dict[str, str]) -> bool:
        """Whether a Node is meant; every one is without terms."""
        terms = self.node_selector_terms
        return not terms or any(each.matches(node, labels) for each in terms)


class PreferredSchedulingTerm(Document, frozen=True):
    """A term that is better matched than not."""

    weight: Annotated[int, Meta(ge=1, le=100)]
    preference: NodeSelectorTerm


class NodeAffinity(Document, frozen=True):
    """Which Nodes a pod may run on, and which are better."""

    required_during_scheduling_ignored_during_execution: NodeSelector = NodeSelector()
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()


class Affinity(Document, frozen=True):
    """Affinity to nodes. Affinity to pods is the tenant's own."""

    node_affinity: NodeAffinity = NodeAffinity()

    def keys(self) -> frozenset[str]:
        """The labels of Nodes that it looks at."""
        affinity = self.node_affinity
        terms = [
            *affinity.required_during_scheduling_ignored_during_execution.node_selector_terms,
            *(each.preference for each in affinity.preferred_during_scheduling_ignored_during_execution),
        ]
        return frozenset(each.key for term in terms for each in term.match_expressions)

    def admits(self, node: Mapping[str, Any]) -> bool:
        """Whether a pod with it may run on a Node."""
        metadata = node["metadata"]
        required = self.node_affinity.required_during_scheduling_ignored_during_execution
        return required.matches(metadata["name"], metadata.get("labels") or {})


def _is_integer(text: str) -> bool:
    return text.isascii() and text.isdecimal()
