"""docs/changes.md says of every argument what a change of it does, and says it right."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.args import VirtualClusterArgs
from k3k_pulumi.identity import OF_A_CLUSTER, OF_A_NAMESPACE, OF_A_STARTED_CLUSTER
from k3k_pulumi.policy_args import SharedModeNamespaceArgs, VirtualClusterPolicyArgs
from tests.components.changes import COMPONENTS, ELSEWHERE, PAGE, Change, steps, table

ARGUMENTS = {
    "VirtualCluster": VirtualClusterArgs,
    "VirtualClusterPolicy": VirtualClusterPolicyArgs,
    "SharedModeNamespace": SharedModeNamespaceArgs,
}


def paths(arguments: Any, prefix: str = "") -> set[str]:
    """All arguments, those of groups one by one."""
    found: set[str] = set()
    for name, annotation in arguments.__annotations__.items():
        group = next((each for each in getattr(annotation, "__args__", ()) if is_group(each)), None)
        # One row has all keys.
        found |= paths(group, f"{prefix}{name}.") if group and name != "pki" else {f"{prefix}{name}"}
    return found


def is_group(annotation: Any) -> bool:
    return hasattr(annotation, "__total__")


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_argument_has_a_row(name: str) -> None:
    others = {"namespaces"} if name == "SharedModeNamespace" else set()  # of the rules, and refused
    assert {change.argument for change in COMPONENTS[name].changes} == paths(ARGUMENTS[name]) - others


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_page_says_what_a_change_does(name: str) -> None:
    """`python -m tests.components.changes` writes the tables."""
    assert table(name) in PAGE.read_text()


def test_what_is_refused_is_what_the_components_refuse() -> None:
    """tests/components/test_identity.py proves that they do."""
    others = {"mode", "servers", *ELSEWHERE}
    assert COMPONENTS["VirtualCluster"].refused.keys() == {*OF_A_CLUSTER, *OF_A_STARTED_CLUSTER} | others
    assert COMPONENTS["SharedModeNamespace"].refused.keys() == set(OF_A_NAMESPACE)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (Change("persistence.storage_class", "fast"), "PersistentVolumeClaim"),
        (Change("persistence.type", "ephemeral"), "StatefulSet"),
        (Change("control_plane_namespace", "planes"), "Secret"),
        (Change("create_namespace", False), "Namespace"),
    ],
)
def test_without_the_refusal_data_would_be_lost(
    change: Change, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k3k_pulumi.identity.Identity._check", lambda *_: None)
    component = COMPONENTS["VirtualCluster"]
    found = steps(component, component.base, change.after(component.base))
    assert kind in {step.resource.kind for step in found if step.op in ("replace", "delete")}
