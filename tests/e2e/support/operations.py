"""What an operation of the Pulumi engine did to each resource, from its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pulumi.automation import EngineEvent

_STEPS_OF_A_REPLACEMENT = {"create-replacement", "delete-replaced"}
_READS = {"read", "discard", "refresh"}
"""Of what is looked at alone: a Namespace of the host that a policy or cluster reads."""


@dataclass
class Operations:
    """Called with each event of an operation; keeps what becomes of the resources.

    Attributes:
        of: Operation (`create`, `update`, `replace`, `delete`) -> the resources, as `StatefulSet a-server`.
        same: The resources that stay as they are.
    """

    of: dict[str, set[str]] = field(default_factory=dict)
    same: set[str] = field(default_factory=set)

    def __call__(self, event: EngineEvent) -> None:
        """Notes a step that begins."""
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            self._note(step.op.value, step.urn)

    def __iter__(self) -> Iterator[str]:
        """The resources that do not stay as they are."""
        return (each for resources in self.of.values() for each in resources)

    def _note(self, operation: str, urn: str) -> None:
        if operation == "same":
            self.same.add(title(urn))
        elif operation not in _READS | _STEPS_OF_A_REPLACEMENT:
            self.of.setdefault(operation, set()).add(title(urn))


def title(urn: str) -> str:
    """Kind and logical name of a resource."""
    types, name = urn.split("::")[2:4]
    kind = types.rpartition("$")[2]
    return f"{'Provider' if kind.startswith('pulumi:providers:') else kind.rpartition(':')[2]} {name}"
