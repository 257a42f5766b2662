"""What resources are called in the stack and their objects on the host, so that either may be renamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from k3k_pulumi import InputError, SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from tests.components.conftest import SOURCES
from tests.components.host import COMPONENT, Deployment, run
from tests.components.test_input import bodies

K3S = {"distribution": "k3s", "version": "v1.34.4-k3s1"}
BOTH = pytest.mark.parametrize("args", [{}, K3S], ids=["kubernetes", "k3s"])
ALL = {
    "expose": SOURCES,
    "mirror_host_nodes": True,
    "admission_policy": True,
    "require_network_policy": True,
}
HERE = {"team": {"name": "team"}}
RULES: dict[str, Any] = {
    "quotas": {"compute": {"hard": {"pods": "10"}}},
    "limits": [{"type": "Container", "default": {"memory": "64Mi"}}],
    "admission_policy": True,
}


def cluster(name: str, preview: bool, stashes: dict[str, Any], **args: Any) -> Deployment:
    """Runs a program of one cluster with everything it may have, and something inside it."""

    def program() -> dict[str, Any]:
        made = VirtualCluster(name, {"namespace": "team", "distribution": "kubernetes", **ALL, **args})
        opts = pulumi.ResourceOptions(parent=made.inside)
        pulumi.CustomResource("kubernetes:core/v1:ConfigMap", "hello", {}, opts)
        return {"ca": made.ca_certificate_pem}

    return run(program, preview=preview, stashes=stashes)


def policy(name: str, preview: bool, **args: Any) -> Deployment:
    def program() -> dict[str, Any]:
        VirtualClusterPolicy(name, {"namespaces": ["team"], **RULES, **args})
        return {}

    return run(program, preview=preview, namespaces=HERE)


def shared_mode_namespace(name: str, preview: bool, **args: Any) -> Deployment:
    def program() -> dict[str, Any]:
        tenants: Any = [{"kind": "User", "name": "ann"}]
        SharedModeNamespace(name, {"tenants": tenants, **RULES, **args})
        return {}

    return run(program, preview=preview)


def renamed(found: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """As the engine looks for what a resource `new` was when its parent was called `old`."""
    return {
        (type_, "old" + name.removeprefix("new") if name.startswith("new") else name): body
        for (type_, name), body in found.items()
    }


@BOTH
def test_names_in_the_stack_begin_with_the_resources_name(preview: bool, args: dict[str, Any]) -> None:
    """The engine looks for children of a renamed parent under the old name at the beginning of theirs."""
    done = cluster("res", preview, {}, cluster_name="c", **args)
    names = {each.name for each in done.registrations} - {"hello"}
    assert {name for name in names if name != "res" and not name.startswith("res-")} == set()
    assert {"res-server", "res-data-server-0", "res-client-ca", "res-nodes", "res-admission"} <= names


@BOTH
def test_a_renamed_cluster_keeps_its_objects(preview: bool, args: dict[str, Any]) -> None:
    stashes: dict[str, Any] = {}
    before = cluster("old", preview, stashes, **args)
    known = {f"new{name.removeprefix('old')}": value for name, value in stashes.items()}
    after = cluster("new", preview, known, cluster_name="old", **args)
    assert renamed(bodies(after)) == bodies(before)
    assert len(known) == len(stashes)  # no other Stash was made
    assert after.outputs["ca"].value == before.outputs["ca"].value
    identifiers = {
        done.all("pulumi:providers:kubernetes")[0].plain["clusterIdentifier"] for done in (before, after)
    }
    assert identifiers == {"team/old"}


@pytest.mark.parametrize("make", [policy, shared_mode_namespace])
def test_a_renamed_policy_keeps_its_objects(preview: bool, make: Callable[..., Deployment]) -> None:
    before, after = make("old", preview), make("new", preview, policy_name="old")
    assert renamed(bodies(after)) == bodies(before)
    assert all(each.name.startswith("new") for each in after.registrations)


def test_clusters_of_one_stack_may_be_called_alike_in_different_namespaces(preview: bool) -> None:
    def program() -> dict[str, Any]:
        for team in ("a", "b"):
            args: Any = {"namespace": f"team-{team}", "cluster_name": "dev", **ALL}
            assert VirtualCluster(f"{team}-dev", {"distribution": "kubernetes", **args}).inside
        return {}

    done = run(program, preview=preview)
    urns = [(each.request.parent.split("::")[2:3], each.type, each.name) for each in done.registrations]
    assert len({str(each) for each in urns}) == len(urns)
    objects = [each.plain for each in done.all("kubernetes:") if not each.type.endswith("Patch")]
    titles = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(set(titles)) == len(titles)
    assert ("StatefulSet", "team-b-dev-control-plane", "dev-server") in titles


def test_a_claim_is_found_under_its_earlier_name(preview: bool) -> None:
    claim = cluster("res", preview, {}, cluster_name="c").one(":PersistentVolumeClaim", "res-data-server-0")
    assert [alias.spec.name for alias in claim.request.aliases] == ["data-c-server-0"]


@pytest.mark.parametrize(
    ("make", "about", "line"),
    [
        (
            lambda: VirtualCluster("Team/A", {"namespace": "team"}),
            "VirtualCluster 'Team/A'",
            "name: 'Team/A' must be lower-case letters, digits and '-', begin with a letter, end with a "
            "letter or digit, and have at most 45 characters: Services and labels of pods are named after "
            "it; or set cluster_name",
        ),
        (
            lambda: VirtualCluster("c", {"namespace": "team", "cluster_name": "C"}),
            "VirtualCluster 'c'",
            "cluster_name: 'C' must be lower-case letters, digits and '-', begin with a letter, end with a "
            "letter or digit, and have at most 45 characters: Services and labels of pods are named after it",
        ),
        (
            lambda: VirtualCluster("c", {"namespace": "team", "cluster_name": 5}),  # type: ignore[typeddict-item]
            "VirtualCluster 'c'",
            "cluster_name: 5 must be a string",
        ),
        (
            lambda: VirtualCluster("c", {"namespace": "team", "cluster_name": pulumi.Output.from_input("c")}),  # type: ignore[typeddict-item]
            "VirtualCluster 'c'",
            "cluster_name: an Output (a value known only during the deployment) must be a string",
        ),
        (
            lambda: VirtualClusterPolicy("p", {"namespaces": ["team"], "policy_name": "P"}),
            "VirtualClusterPolicy 'p'",
            "policy_name: 'P' must be",
        ),
        (
            lambda: SharedModeNamespace("P", {"namespace": "team"}),
            "SharedModeNamespace 'P'",
            "name: 'P' must be",
        ),
    ],
)
def test_a_bad_name_is_that_of_an_argument_and_the_error_is_about_the_resource(
    preview: bool, make: Callable[[], object], about: str, line: str
) -> None:
    def program() -> dict[str, Any]:
        with pytest.raises(InputError) as caught:
            make()
        assert str(caught.value).startswith(f"{about}: {line}")
        return {}

    assert run(program, preview=preview).registrations == []


def test_a_resource_may_be_called_anything_where_the_cluster_has_a_name(preview: bool) -> None:
    assert cluster("Team A", preview, {}, cluster_name="a").one(COMPONENT, "Team A")
