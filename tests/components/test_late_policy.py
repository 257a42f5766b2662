"""A cluster's policy: plain, as an Output, of another stack, and what a policy left on the namespace."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pulumi
import pytest

from k3k_pulumi import SharedModeNamespace, VirtualCluster
from k3k_pulumi.manifests.policy import namespace_fields
from k3k_pulumi.model import VirtualClusterPolicySpec
from tests.components.conftest import Deploy
from tests.components.host import UNKNOWN, leaves, run
from tests.components.test_input import bodies
from tests.run import ROOT

POLICY = VirtualClusterPolicySpec.parse(
    "p",
    {
        "namespaces": ["team"],
        "egress": "none",
        "pods": {"host_ports": True},
        "control_plane_required": {"node_selector": {"pool": "planes"}},
    },
)
CONSTRAINTS = POLICY.constraints
K3S = {"distribution": "k3s", "version": "v1.34.4-k3s1"}
BOTH = pytest.mark.parametrize("args", [{}, K3S], ids=["kubernetes", "k3s"])
EXISTING = {"create_namespace": False}


@BOTH
def test_an_output_makes_the_same_of_a_cluster_as_the_plain_value(
    deploy: Deploy, args: dict[str, Any]
) -> None:
    stashes: dict[str, Any] = {}
    plain = deploy(stashes, policy=CONSTRAINTS, **args)
    later = deploy(stashes, policy=pulumi.Output.from_input(CONSTRAINTS), **args)
    assert later.titles() == plain.titles()
    assert bodies(later) == bodies(plain)
    assert "planes" in str(later.one("StatefulSet", "c-server").plain)


def test_namespace_and_policy_may_both_be_outputs(deploy: Deploy) -> None:
    plain = deploy(policy=CONSTRAINTS)
    later = deploy(namespace=pulumi.Output.from_input("team"), policy=pulumi.Output.from_input(CONSTRAINTS))
    assert bodies(later) == bodies(plain)


@BOTH
def test_the_policy_makes_nothing_secret_and_no_secret_clear(deploy: Deploy, args: dict[str, Any]) -> None:
    done = deploy(policy=pulumi.Output.from_input(CONSTRAINTS), **args)
    for each in done.registrations:
        for path, value, secret in leaves(each.inputs):
            assert "PRIVATE KEY" not in str(value) or secret, f"{each.type} {each.name}{path}"
            if each.type.endswith((":StatefulSet", ":Deployment", ":ConfigMapPatch")):
                assert not secret, f"a preview would hide {each.name}{path}"


def test_what_there_is_is_known_before_the_policy_is(preview: bool, deploy: Deploy) -> None:
    if not preview:
        return  # everything is known in a deployment
    unknown = pulumi.Output.from_input("p").apply(lambda _: pulumi.Output.from_input(pulumi.UNKNOWN))
    done = deploy(policy=unknown)
    assert done.titles() == deploy().titles()
    for each in done.all("kubernetes:"):
        for path, value, _ in leaves(each.inputs):
            assert value != UNKNOWN or not path.startswith((".metadata", ".kind", ".apiVersion"))


def test_the_policy_of_another_stack(preview: bool) -> None:
    def program() -> dict[str, Any]:
        other = pulumi.StackReference("platform")
        cluster = VirtualCluster(
            "c",
            {
                "namespace": other.require_output("namespaces").apply(lambda names: str(names[0])),
                "policy": other.require_output("constraints"),
                "distribution": "kubernetes",
                **EXISTING,  # type: ignore[typeddict-item]
            },
        )
        return {"namespace": cluster.namespace}

    stacks = {"platform": {"constraints": CONSTRAINTS, "namespaces": ["team"]}}
    done = run(program, preview=preview, stacks=stacks)
    body = done.one("StatefulSet", "c-server").plain["spec"]["template"]["spec"]
    assert body["nodeSelector"] == {"pool": "planes"}
    assert done.outputs["namespace"].value == "team"


def test_a_namespace_tells_its_policy(deploy: Deploy) -> None:
    namespaces = {"team": namespace_fields(POLICY, "team")["metadata"]}
    plain = deploy(policy=CONSTRAINTS, **EXISTING)
    found = deploy(namespaces=namespaces, policy_from_namespace=True, **EXISTING)
    assert found.read == ["team"]
    assert bodies(found) == bodies(plain)


def test_a_shared_mode_namespace_and_a_cluster_in_one_program(preview: bool) -> None:
    def program() -> dict[str, Any]:
        shared = SharedModeNamespace("team", {"egress": "none"})
        for name in ("a", "b"):
            VirtualCluster(
                name,
                {
                    "namespace": shared.namespace,
                    "create_namespace": False,
                    "policy": shared.constraints,
                    "distribution": "kubernetes",
                },
            )
        return {}

    done = run(program, preview=preview)
    for name in ("a", "b"):
        assert done.one("StatefulSet", f"{name}-server").plain["metadata"]["namespace"] == (
            f"team-{name}-control-plane"
        )
        role = done.one(":Role", f"{name}-kubelet-workloads")
        assert role.plain["metadata"]["namespace"] == "team"
        assert not role.request.deletedWith
    assert [each.name for each in done.all("kubernetes:core/v1:Namespace") if each.name == "team"]


ENDS = """
import pulumi
from k3k_pulumi import VirtualCluster
from tests.components.host import run

def program():
    later = pulumi.Output.from_input
    VirtualCluster("c", {"namespace": "team", "create_namespace": False, "distribution": "kubernetes", ARGS})
    return {}

run(program, preview=PREVIEW, namespaces={"team": {"name": "team"}})
"""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            f"'egress': 'all', 'policy': later({CONSTRAINTS!r})",
            "VirtualCluster 'c': egress: 'all' is more than VirtualClusterPolicy 'p' allows",
        ),
        (
            "'policy': later({'name': 'p'})",
            "VirtualCluster 'c': policy.apiVersion: None must be",
        ),
        (
            "'policy': later({'apiVersion': 'k3k-pulumi.io/v1', 'name': 'p', 'sync': "
            "{'fromHost': {'storageClasses': {'enabled': True}}}})",
            "VirtualCluster 'c': 2 problems in the arguments:\n  - policy: what it says of sync adds "
            "ClusterRole k3k-pulumi.io:team-c-control-plane:c, and which objects there are has to be known "
            "before the policy is: set sync on the cluster itself, or give `policy` as a plain value",
        ),
        ("'policy': later(None)", "VirtualCluster 'c': policy: is None: does the other stack have"),
        (
            "'policy_from_namespace': True",
            "VirtualCluster 'c': policy_from_namespace: Namespace 'team' has no policy",
        ),
    ],
    ids=["more than it allows", "no constraints", "other objects", "nothing", "no policy there"],
)
def test_a_policy_that_does_not_fit_ends_the_program_with_a_line(preview: bool, args: str, said: str) -> None:
    program = ENDS.replace("ARGS", args).replace("PREVIEW", str(preview))
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 32, ended.stderr  # the engine's sign that the user has been told
    assert ended.stderr.startswith(said)
