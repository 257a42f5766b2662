"""Options of the components themselves, and what becomes of them in what they make."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes
import pytest

from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from tests.components.conftest import SOURCES
from tests.components.host import Deployment, Registration, run

RULES: dict[str, Any] = {
    "quotas": {"compute": {"hard": {"pods": "10"}}},
    "limits": [{"type": "Container", "default": {"memory": "64Mi"}}],
    "admission_policy": True,
}
TENANTS: Any = [{"kind": "User", "name": "ann"}]
Make = Callable[[pulumi.ResourceOptions], object]
EACH = pytest.mark.parametrize(
    "make",
    [
        lambda opts: VirtualCluster("c", {"namespace": "team", "expose": SOURCES}, opts).inside,
        lambda opts: VirtualClusterPolicy("p", {"namespaces": ["team"], **RULES}, opts),
        lambda opts: SharedModeNamespace("s", {"tenants": TENANTS, **RULES}, opts),
    ],
    ids=["VirtualCluster", "VirtualClusterPolicy", "SharedModeNamespace"],
)


def made(preview: bool, make: Make, **options: Any) -> tuple[Registration, list[Registration], Deployment]:
    """The component, its children, and all there is."""

    def program() -> dict[str, Any]:
        make(pulumi.ResourceOptions(**options))
        return {}

    done = run(program, preview=preview, namespaces={"team": {"name": "team"}})
    component, *children = done.registrations
    assert component.type.startswith("k3k-pulumi:index:")
    return component, children, done


@EACH
def test_protect_counts_for_all_that_a_component_makes(preview: bool, make: Make) -> None:
    component, children, _ = made(preview, make, protect=True)
    assert component.request.protect
    assert children
    assert all(each.request.protect for each in children)
    assert not any(each.request.protect for each in made(preview, make)[1])


@EACH
def test_what_the_engine_passes_on_no_child_overrides(preview: bool, make: Make) -> None:
    """The engine gives `retain_on_delete` to children that say nothing of it."""
    component, children, _ = made(preview, make, retain_on_delete=True)
    assert component.request.retainOnDelete
    assert not any(each.request.HasField("retainOnDelete") for each in children)


@EACH
def test_an_alias_is_the_components_alone(preview: bool, make: Make) -> None:
    """The engine derives the children's from it; a claim has the name of its own earlier."""
    component, children, _ = made(preview, make, aliases=[pulumi.Alias(name="old")])
    assert [alias.spec.name for alias in component.request.aliases] == ["old"]
    others = [each for each in children if not each.type.endswith(":PersistentVolumeClaim")]
    assert not any(each.request.aliases for each in others)
    assert all(each.name.startswith(component.name) for each in children)


@EACH
def test_objects_ask_for_the_librarys_version_of_the_provider(preview: bool, make: Make) -> None:
    _, _, done = made(preview, make)
    version = importlib.metadata.version("pulumi-kubernetes")
    assert {each.request.version for each in done.all("kubernetes:")} == {version}
    assert {each.version for each in done.reads} <= {version}


@EACH
@pytest.mark.parametrize(
    "options",
    [
        lambda host: {"provider": host},
        lambda host: {"providers": [host]},
        lambda host: {"providers": {"kubernetes": host}},
    ],
    ids=["provider", "list", "mapping"],
)
def test_a_provider_of_the_host_is_the_objects_alone(
    preview: bool, make: Make, options: Callable[[pulumi_kubernetes.Provider], dict[str, Any]]
) -> None:
    def program() -> dict[str, Any]:
        host = pulumi_kubernetes.Provider("host", kubeconfig="{}")
        make(pulumi.ResourceOptions(**options(host)))
        return {}

    done = run(program, preview=preview, namespaces={"team": {"name": "team"}})
    objects = [each.request.provider for each in done.all("kubernetes:")]
    used = [*objects, *(each.provider for each in done.reads)]
    assert {provider.split("::")[-2] if provider else "" for provider in used} == {"host"}
    assert not any(each.request.provider for each in done.all("pulumi:index:Stash"))


@EACH
def test_only_what_others_write_is_ignored_and_only_keys_are_secret(preview: bool, make: Make) -> None:
    for each in made(preview, make)[1]:
        ignored = {"pulumi:index:Stash": ["input"], "kubernetes:core/v1:Service": ["spec.ports"]}
        found = list(each.request.ignoreChanges)
        assert found in ([], ignored.get(each.type, [])), f"{each.type} {each.name}"
        secret = ["data", "metadata"] if each.type.endswith((":Secret", ":SecretPatch")) else []
        assert list(each.request.additionalSecretOutputs) == secret or each.type == "pulumi:index:Stash"
