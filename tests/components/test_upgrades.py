"""A later version of the library keeps what an earlier one deployed; see `recorded`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.components.host import leaves
from tests.components.plan import Resource, plan
from tests.components.programs import PROGRAMS
from tests.components.recorded import FOLDER, harm, registrations, releases, today

RECORDED = [(release, path.stem) for release in releases() for path in sorted((FOLDER / release).iterdir())]


@pytest.mark.parametrize(("release", "program"), RECORDED)
def test_an_upgrade_ends_nothing_that_holds_data_or_keys(release: str, program: str) -> None:
    assert harm(registrations(release, program), today(program)) == []


def test_every_program_was_recorded() -> None:
    assert {program for _, program in RECORDED} == set(PROGRAMS)


@pytest.mark.parametrize(("release", "program"), RECORDED)
def test_no_secret_is_recorded(release: str, program: str) -> None:
    found = registrations(release, program)
    for each in found:
        for path, value, _ in leaves(each.inputs):
            assert "-----BEGIN" not in str(value)
            if each.kind == "SecretPatch" and path.startswith(".data"):
                assert value == "[secret]", f"{each.urn}{path}"
            if each.kind == "Stash" and not each.name.endswith(("-identity", "-started", "-ready")):
                assert value == "[secret]", f"{each.urn}{path}"


Change = Callable[[Resource], Resource]


def setting(path: str, value: Any) -> Change:
    """Sets one field."""

    def change(each: Resource) -> Resource:
        def put(inner: dict[str, Any], keys: list[str]) -> dict[str, Any]:
            key, *rest = keys
            return {**inner, key: put(inner.get(key, {}), rest) if rest else value}

        return dataclasses.replace(each, inputs=put(each.inputs, path.split(".")))

    return change


def renaming(alias: bool) -> Change:
    """Another logical name, in later versions."""

    def change(each: Resource) -> Resource:
        return dataclasses.replace(each, urn=f"{each.urn}-new", aliases=[each.urn] if alias else [])

    return change


def changed(kind: str, change: Change) -> list[Resource]:
    """The registrations of k3s with a change of all resources of a kind."""
    return [change(each) if each.kind == kind else each for each in registrations("0.1.0", "k3s")]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("StatefulSet", setting("spec.serviceName", "other")),
        ("StatefulSet", setting("spec.selector.matchLabels.app", "other")),
        ("StatefulSet", setting("spec.volumeClaimTemplates", [])),
        ("StatefulSet", setting("spec.podManagementPolicy", "OrderedReady")),
        ("StatefulSet", setting("spec.revisionHistoryLimit", 5)),
        ("StatefulSet", setting("metadata.name", "other")),
        ("StatefulSet", setting("metadata.namespace", "other")),
        ("StatefulSet", renaming(alias=False)),
        ("PersistentVolumeClaim", setting("metadata.name", "other")),
        ("PersistentVolumeClaim", setting("spec.storageClassName", "other")),
        ("PersistentVolumeClaim", setting("spec.accessModes", ["ReadWriteMany"])),
        ("PersistentVolumeClaim", renaming(alias=False)),
        ("Secret", setting("metadata.name", "other")),
        ("Secret", setting("type", "kubernetes.io/tls")),
        ("Secret", setting("stringData.key", "value")),
        ("Secret", renaming(alias=False)),
        ("SecretPatch", setting("metadata.name", "other")),
        ("Namespace", setting("metadata.name", "other")),
        ("Namespace", renaming(alias=False)),
        ("ConfigMap", setting("data.key", "value")),
        ("Deployment", setting("spec.selector.matchLabels.app", "other")),
        ("Stash", renaming(alias=False)),
        ("Stash", lambda each: dataclasses.replace(each, ignores=[])),
        ("Stash", lambda each: dataclasses.replace(each, trigger=None if each.trigger else True)),
        ("kubernetes", setting("clusterIdentifier", "other")),
        ("kubernetes", renaming(alias=False)),
        ("VirtualCluster", renaming(alias=False)),
        ("VirtualClusterInside", renaming(alias=False)),
        ("RoleBinding", setting("roleRef.name", "other")),
    ],
)
def test_the_guard_stops_what_would_end_something(kind: str, change: Change) -> None:
    after = changed(kind, change)
    assert after != registrations("0.1.0", "k3s")
    assert harm(registrations("0.1.0", "k3s"), after)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("StatefulSet", setting("spec.template.spec.nodeSelector", {"pool": "planes"})),
        ("StatefulSet", setting("spec.updateStrategy.type", "OnDelete")),
        ("StatefulSet", renaming(alias=True)),
        ("PersistentVolumeClaim", setting("spec.resources.requests.storage", "10Gi")),
        ("SecretPatch", setting("data.key", "[secret]")),
        ("Namespace", setting("metadata.labels.more", "1")),
        ("ConfigMapPatch", setting("data.key", "value")),
        ("Stash", renaming(alias=True)),
        ("Service", setting("spec.type", "LoadBalancer")),
        ("ServiceAccount", renaming(alias=False)),  # no data, and no key
        ("kubernetes", setting("kubeconfig", "[secret]")),
        ("VirtualCluster", setting("version", "v1.35.0+k3s1")),
        ("VirtualCluster", renaming(alias=True)),
    ],
)
def test_the_guard_lets_pass_what_is_changed_in_place(kind: str, change: Change) -> None:
    assert harm(registrations("0.1.0", "k3s"), changed(kind, change)) == []


def test_children_are_found_under_the_old_name_of_their_parent() -> None:
    """As by the engine: tests/e2e/engine/test_rename.py proves that it does so."""
    before = registrations("0.1.0", "k3s")

    def renamed(each: Resource) -> Resource:
        def new(urn: str) -> str:
            head, _, name = urn.rpartition("::")
            return (
                f"{head}::{'new' + name.removeprefix('c') if name == 'c' or name.startswith('c-') else name}"
            )

        is_component = each.kind == "VirtualCluster"
        return dataclasses.replace(
            each, urn=new(each.urn), parent=new(each.parent), aliases=[each.urn] if is_component else []
        )

    after = [renamed(each) for each in before]
    assert {step.op for step in plan(before, after)} == {"same"}
    without = [dataclasses.replace(each, aliases=[]) for each in after]
    assert {step.op for step in plan(before, without)} == {"create", "delete"}
