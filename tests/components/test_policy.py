"""Policies as components: what is read, refused, patched and made in namespaces, known and unknown ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi_kubernetes.core.v1 import Namespace

from k3k_pulumi import InputError, SharedModeNamespace, VirtualClusterPolicy
from k3k_pulumi.manifests.policy import namespace_fields, namespace_objects
from k3k_pulumi.model import VirtualClusterPolicySpec
from tests.components.host import UNKNOWN, Deployment, run
from tests.run import ROOT

RULES: dict[str, Any] = {
    "quotas": {"compute": {"hard": {"pods": "10"}}},
    "limits": [{"type": "Container", "default": {"memory": "64Mi"}}],
    "egress": "none",
}
FREE = {"team": {"name": "team"}, "other": {"name": "other"}}
KINDS = ["NetworkPolicy", "LimitRange", "ResourceQuota"]


def spec(**args: Any) -> VirtualClusterPolicySpec:
    return VirtualClusterPolicySpec.parse("p", {"namespaces": ["team"], **RULES, **args})


def bind(
    preview: bool,
    given: Callable[[], list[Any]],
    namespaces: dict[str, Any] | None = None,
    opts: Callable[[], pulumi.ResourceOptions] | None = None,
    **args: Any,
) -> Deployment:
    """Runs a program of one policy `p` bound to the given namespaces."""

    def program() -> dict[str, Any]:
        rules = {**RULES, **args}
        made = VirtualClusterPolicy("p", {"namespaces": given(), **rules}, opts() if opts else None)
        assert made.constraints == spec(**args).constraints  # plain: other components need not wait
        return {"namespaces": made.namespaces}

    return run(program, preview=preview, namespaces=FREE if namespaces is None else namespaces)


def test_each_namespace_is_read_patched_and_filled(preview: bool) -> None:
    done = bind(preview, lambda: ["team", "other"])
    assert sorted(done.read) == ["other", "team"]
    for namespace in ("team", "other"):
        title = f"p[{namespace}]"
        patch = done.one(":NamespacePatch", title)
        assert patch.plain == json.loads(json.dumps(namespace_fields(spec(), namespace)))
        for manifest in namespace_objects(spec(), namespace):
            suffix = manifest["metadata"]["name"].removeprefix("p")
            made = done.one(f":{manifest['kind']}", f"{title}{suffix}")
            assert made.plain == json.loads(json.dumps(manifest))
            assert any(urn.endswith(f"NamespacePatch::{title}") for urn in made.request.dependencies)
    assert len(done.all("kubernetes:")) == 2 * (1 + len(KINDS))
    assert done.outputs["namespaces"].value == ["team", "other"]


def test_what_a_policy_has_once_on_the_host_is_made_once(preview: bool) -> None:
    done = bind(preview, lambda: ["team", "other"], admission_policy=True)
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        (made,) = [each for each in done.registrations if each.type.endswith(f":{kind}")]
        assert (made.name, made.plain["metadata"]["name"]) == ("p", "p.k3k-pulumi.io")


def test_nothing_else_of_the_namespace_is_touched(preview: bool) -> None:
    metadata = {"name": "team", "labels": {"theirs": "1"}, "annotations": {"theirs": "2"}}
    patch = bind(preview, lambda: ["team"], {"team": metadata}).one(":NamespacePatch", "p[team]").plain
    assert patch.keys() == {"apiVersion", "kind", "metadata"}
    assert "theirs" not in json.dumps(patch)


def test_a_namespace_may_be_an_output(preview: bool) -> None:
    done = bind(preview, lambda: ["team", pulumi.Output.from_input("other")])
    assert sorted(done.read) == ["other", "team"]
    assert done.one(":NamespacePatch", "p[1]").plain["metadata"]["name"] == "other"
    assert done.one(":ResourceQuota", "p[1].compute").plain["metadata"]["namespace"] == "other"
    assert done.outputs["namespaces"].value == ["team", "other"]


@pytest.mark.parametrize(
    ("take", "unnamed"),
    [(lambda made: made.metadata["name"], False), (lambda made: made.id, True)],
    ids=["name", "id"],
)
def test_a_namespace_of_the_same_program_is_read_once_it_is_made(
    preview: bool, take: Callable[[Namespace], pulumi.Output[str]], unnamed: bool
) -> None:
    """Its name is known in the first preview, when there is no such Namespace yet."""
    namespaces = {} if preview else {"team": {"name": "team"}}

    def given() -> list[Any]:
        made = Namespace("team", metadata={"name": "team"})
        return [take(made).apply(lambda name: name.removesuffix("-id"))]

    done = bind(preview, given, namespaces)
    titles = [each.name for each in done.registrations if each.type.startswith("kubernetes:")]
    assert {"p[0]", "p[0].compute", "p[0].default-deny"} <= set(titles)
    # The provider refuses a patch of an object without a name, in previews too.
    shown = done.one(":NamespacePatch", "p[0]").plain["metadata"]["name"]
    assert shown == ("known-once-it-is-made" if unnamed and preview else "team")
    assert done.outputs["namespaces"].known is not preview
    assert bool(done.read) is not preview


def test_a_namespace_that_is_not_known_yet_makes_no_other_one_unknown() -> None:
    """The preview would show all that is in the others as replaced."""

    def given() -> list[Any]:
        return ["team", Namespace("made").metadata["name"].apply(str)]

    done = bind(True, given, {"team": {"name": "team"}})
    for kind, name in (("NetworkPolicy", ".default-deny"), ("LimitRange", ""), ("ResourceQuota", ".compute")):
        assert done.one(f":{kind}", f"p[team]{name}").plain["metadata"]["namespace"] == "team"
        assert done.one(f":{kind}", f"p[1]{name}").plain["metadata"]["namespace"] == UNKNOWN
    assert done.one(":NamespacePatch", "p[team]").plain["metadata"]["name"] == "team"


def test_no_two_resources_have_the_same_urn(preview: bool) -> None:
    """Names that run together, of one policy and of several; a namespace may be called as a number, too."""
    quota = {"hard": {"pods": "1"}}
    names = ["team-a", "team-a-dev", "a-prod", "prod", "0"]

    def program() -> dict[str, Any]:
        both = {"compute": quota, "dev-compute": quota}
        later = pulumi.Output.from_input("team-a")
        VirtualClusterPolicy("teams", {"namespaces": [later, "team-a-dev", "0"], "quotas": both})
        VirtualClusterPolicy("others", {"namespaces": ["team-a", "team-a-dev"], "quotas": both})
        VirtualClusterPolicy("team", {"namespaces": ["a-prod"], "quotas": both})
        VirtualClusterPolicy("team-a", {"namespaces": ["prod"], "quotas": both})
        SharedModeNamespace("team", {"quotas": {"a-x": quota}})
        SharedModeNamespace("team-a", {"quotas": {"x": quota}})
        return {}

    done = run(program, preview=preview, namespaces={name: {"name": name} for name in names})
    # The type of a component is part of its children's URNs.
    urns = [(each.request.parent.split("::")[2], each.type, each.name) for each in done.registrations]
    assert len(set(urns)) == len(urns) > 30


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"namespaces": None}, "namespaces: missing; it is required"),
        ({"namespaces": "team"}, "namespaces: 'team' must be a list"),
        ({"namespaces": ["Team"]}, "namespaces[0]: 'Team' must be"),
        ({"namespaces": ["team"], "egress": "some"}, "egress: 'some' must be"),
        ({"namespaces": ["team"], "quota": {}}, "quota: unknown argument; did you mean 'quotas'?"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_registered(
    preview: bool, args: dict[str, Any], problem: str
) -> None:
    def program() -> dict[str, Any]:
        with pytest.raises(InputError) as caught:
            VirtualClusterPolicy("p", args)  # type: ignore[arg-type]
        assert isinstance(caught.value, pulumi.RunError)  # a line for the user and no traceback
        assert str(caught.value).startswith("VirtualClusterPolicy 'p': ")
        assert problem in str(caught.value)
        return {}

    assert run(program, preview=preview).registrations == []


ENDS = """
import pulumi
from k3k_pulumi import VirtualClusterPolicy
from tests.components.host import run

def program():
    VirtualClusterPolicy("p", {"namespaces": ["team", pulumi.Output.from_input(OTHER)]})
    return {}

done = run(program, preview=PREVIEW, namespaces=NAMESPACES)
"""


def ends(preview: bool, namespaces: dict[str, Any], other: str = "other") -> str:
    """What a program says that has to end."""
    program = ENDS.replace("PREVIEW", str(preview)).replace("OTHER", repr(other))
    command = [sys.executable, "-c", program.replace("NAMESPACES", repr(namespaces))]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 32, ended.stderr  # the engine's sign that the user has been told
    return ended.stderr


def test_namespaces_that_are_not_free_end_the_program_with_a_line_for_each(preview: bool) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    bound = {"k3k-pulumi.io/policy": "q"}
    said = ends(
        preview, {"team": {"name": "team", "labels": labels}, "other": {"name": "other", "labels": bound}}
    )
    assert said.startswith("VirtualClusterPolicy 'p': 2 problems in the arguments:")
    assert "namespaces: 'team' has the label pod-security.kubernetes.io/enforce=privileged" in said
    assert "namespaces: 'other' has the policy 'q' already" in said


def test_a_bad_name_in_an_output_ends_the_program_with_a_line(preview: bool) -> None:
    said = ends(preview, {"team": {"name": "team"}, "Other": {"name": "Other"}}, other="Other")
    assert said.startswith("VirtualClusterPolicy 'p': namespaces[1]: 'Other' must be")


def test_a_shared_mode_namespace_is_made_with_everything_in_it(preview: bool) -> None:
    def program() -> dict[str, Any]:
        tenants: Any = [{"kind": "Group", "name": "team"}]
        made = SharedModeNamespace("team", {"tenants": tenants, **RULES})
        assert made.constraints == {**spec().constraints, "name": "team"}
        return {"namespace": made.namespace}

    done = run(program, preview=preview)
    namespace = done.one("core/v1:Namespace", "team")
    inside = {
        ("ResourceQuota", "team.compute"),
        ("LimitRange", "team"),
        ("NetworkPolicy", "team.default-deny"),
        ("RoleBinding", "team.tenants"),
    }
    for kind, name in inside:
        made = done.one(f":{kind}", name)
        assert made.plain["metadata"]["namespace"] == "team"
        assert made.request.deletedWith.endswith("core/v1:Namespace::team")
        assert made.request.deletedWith in made.request.dependencies
    assert len(done.all("kubernetes:")) == 1 + len(inside)
    assert namespace.plain["metadata"]["labels"]["k3k-pulumi.io/policy"] == "team"
    assert (done.outputs["namespace"].value, done.outputs["namespace"].known) == ("team", True)
    assert done.read == []


def test_bad_arguments_of_a_shared_mode_namespace_are_refused(preview: bool) -> None:
    def program() -> dict[str, Any]:
        with pytest.raises(
            InputError, match=r"^SharedModeNamespace 'team': tenants: 'ann' must be"
        ) as caught:
            SharedModeNamespace("team", {"tenants": "ann"})  # type: ignore[typeddict-item]
        assert isinstance(caught.value, pulumi.RunError)
        return {}

    assert run(program, preview=preview).registrations == []
