"""What a component was made as, kept in the stack's state, and the changes of it that would lose data.

A program does not know what it deployed before. A Stash does: it keeps its first input, also in previews.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pulumi

from k3k_pulumi.errors import InputError
from k3k_pulumi.inputs import ended, is_later

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

T = TypeVar("T")

_EMPTY = "another one would be an empty cluster, and this one's data deleted"
_OWNER = "what becomes of the namespace in the end was settled then"
OF_A_CLUSTER: Mapping[str, str] = {
    "cluster_name": _EMPTY,
    "namespace": _EMPTY,
    "control_plane_namespace": _EMPTY,
    "create_namespace": _OWNER,
    "create_control_plane_namespace": _OWNER,
    "mode": _EMPTY,
    "distribution": _EMPTY,
    "persistence.type": _EMPTY,
}
"""Arguments that say which cluster it is, and why each cannot change."""
OF_A_STARTED_CLUSTER: Mapping[str, str] = {
    "persistence.storage_class": _EMPTY,
    "service_cidr": "API servers keep the range that they were started with",
}
"""The same from when its servers were ready first: a wrong value may be what kept them from it."""
OF_A_NAMESPACE: Mapping[str, str] = dict.fromkeys(
    ("policy_name", "namespace"),
    "another one would be an empty namespace, and this one deleted with all in it",
)
"""The same of a SharedModeNamespace."""


class Identity:
    """What a component was made as: the values that some of its arguments had then."""

    def __init__(
        self,
        component: pulumi.Resource,
        name: str,
        values: Mapping[str, pulumi.Input[str]],
        why: Mapping[str, str],
        once: pulumi.Resource | None = None,
    ) -> None:
        """Registers the Stash that keeps them. Where one is another now, the program ends and says so.

        Args:
            component: The component.
            name: Its name.
            values: The arguments' values of now, by their paths.
            why: Why they cannot change, by the same paths; of the values, these are kept.
            once: Kept only when this resource is ready: a deployment without a preview tells of another
                value too late.
        """
        values = {path: values[path] for path in why}
        self._about = f"{component.pulumi_resource_type.rpartition(':')[2]} {name!r}"
        self._why = why
        opts = pulumi.ResourceOptions(parent=component, ignore_changes=["input"], depends_on=once)
        title = f"{name}-{'identity' if once is None else 'started'}"
        stash = pulumi.Stash(title, input=values, opts=opts)
        known = {path: value for path, value in values.items() if not is_later(value)}
        later = {path: value for path, value in values.items() if is_later(value)}

        def check(values: Mapping[str, Any]) -> pulumi.Output[None]:
            kept = stash.output
            return kept.apply(lambda first: component.urn.apply(lambda urn: self._check(urn, first, values)))

        # By themselves: those that are unknown in a preview hide no change of the others.
        self._checks = [check(known)]
        if later:
            self._checks.append(cast("pulumi.Output[None]", pulumi.Output.all(**later).apply(check)))

    def _check(self, urn: str, first: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        changed = [
            f"{path}: is {value!r}, and it was made with {first[path]!r}: {self._why[path]}"
            for path, value in values.items()
            if first.get(path, value) != value  # what an earlier version did not note may be anything
        ]
        if changed:
            changed[-1] += (
                f"; for another one in its place: pulumi destroy --target '{urn}' --target-dependents"
            )
            raise ended(InputError(self._about, changed))

    def held(self, value: T) -> pulumi.Output[T]:
        """The value, which a deployment has only when it is known that nothing has changed."""

        async def held() -> T:
            for check in self._checks:
                # A preview deploys nothing, and is to show what it can.
                await (check.is_known() if pulumi.runtime.is_dry_run() else check.future())
            return value

        return cast("pulumi.Output[T]", pulumi.Output.from_input(held()))


def cluster_values(spec: VirtualClusterSpec) -> dict[str, str]:
    """The values of a cluster's arguments that are not to change, "" for None."""
    values = {
        "cluster_name": spec.name,
        "namespace": spec.namespace,
        "control_plane_namespace": spec.control_plane_namespace,
        "create_namespace": spec.create_namespace,
        "create_control_plane_namespace": spec.create_control_plane_namespace,
        "mode": spec.mode,
        "distribution": spec.distribution,
        "persistence.type": spec.persistence.type,
        "persistence.storage_class": spec.persistence.storage_class,
        "service_cidr": spec.service_cidr,
    }
    return {path: "" if value is None else str(value) for path, value in values.items()}
