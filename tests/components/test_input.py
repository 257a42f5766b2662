"""Arguments: what is refused before anything is registered, and a namespace that is known only later."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pulumi
import pytest

from k3k_pulumi import InputError, VirtualCluster
from k3k_pulumi.inputs import VirtualClusterInputError
from tests.components.conftest import SOURCES, Deploy
from tests.components.host import UNKNOWN, Deployment, leaves, run
from tests.run import ROOT


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"namespace": "Team"}, "namespace: "),
        ({"namespace": None}, "namespace: "),
        ({"mode": "sharde"}, "mode: "),
        ({"version": "1.34"}, "version: "),
        ({"servers": 3}, "servers: "),
        ({"service_cidr": "10.0.0.0/8"}, "service_cidr: "),
        ({"version": pulumi.Output.from_input("v1.34.4")}, "an Output"),
        ({"expose": {"type": "NodePort", **SOURCES}}, "host"),
        ({"tolerations": [{"Operator": "Exists"}]}, "tolerations"),
        ({"no_such": 1}, "no_such"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_registered(
    preview: bool, args: dict[str, Any], problem: str
) -> None:
    refused: list[VirtualClusterInputError] = []

    def program() -> dict[str, Any]:
        with pytest.raises(VirtualClusterInputError) as caught:
            VirtualCluster("c", {"namespace": "team", "distribution": "kubernetes", **args})
        refused.append(caught.value)
        return {}

    assert run(program, preview=preview).registrations == []
    (error,) = refused
    assert isinstance(error, pulumi.RunError)  # a line for the user and no traceback
    assert isinstance(error, InputError)
    assert str(error).startswith("VirtualCluster 'c': ")
    assert problem in str(error)


def test_each_problem_has_a_line(preview: bool) -> None:
    def program() -> dict[str, Any]:
        with pytest.raises(VirtualClusterInputError) as caught:
            VirtualCluster("C", {"namespace": "Team", "mode": "hosted"})
        assert len(str(caught.value).splitlines()) == 1 + len(caught.value.problems)
        assert [problem.split(":")[0] for problem in caught.value.problems] == ["name", "namespace", "mode"]
        return {}

    run(program, preview=preview)


def bodies(done: Deployment) -> dict[tuple[str, str], Any]:
    """Inputs of all Kubernetes objects but the keys, and the digests of texts with the namespace."""
    found = {}
    for each in done.all("kubernetes:"):
        if not each.type.endswith(":SecretPatch"):
            body = each.plain
            template = body.get("spec", {}).get("template", {})
            template.get("metadata", {}).get("annotations", {}).pop("k3k-pulumi.io/config-checksum", None)
            found[each.type, each.name] = body
    return found


def test_a_namespace_may_be_an_output(deploy: Deploy) -> None:
    plain, later = deploy(), deploy(namespace=pulumi.Output.from_input("team"))
    assert bodies(later) == bodies(plain)
    assert later.outputs["namespace"].value == "team"


def test_text_that_looks_like_an_unknown_namespace_stays_as_it_is(deploy: Deploy) -> None:
    done = deploy(annotations={"note": "k3k0ns"})
    notes = {
        each.plain["metadata"]["annotations"].get("note") for each in done.all("kubernetes:core/v1:Service")
    }
    assert notes == {"k3k0ns"}


def test_with_an_unknown_namespace_only_what_holds_it_is_unknown(preview: bool, deploy: Deploy) -> None:
    if not preview:
        return  # everything is known in a deployment
    unknown = pulumi.Output.from_input("team").apply(
        lambda _: pulumi.Output.from_input(pulumi.UNKNOWN)  # as in a preview of the stack that makes it
    )
    plain, later = deploy(), deploy(namespace=unknown)
    assert later.titles() == plain.titles()
    known = {(each.type, each.name): dict_of(each.inputs) for each in plain.registrations}
    for each in later.registrations:
        for path, value, _ in leaves(each.inputs):
            if value == UNKNOWN:
                assert "team" in str(known[each.type, each.name][path])
            assert "k3k0ns" not in str(value), f"{each.type} {each.name}{path}"


def dict_of(inputs: Any) -> dict[str, Any]:
    return {path: value for path, value, _ in leaves(inputs)}


ENDS = """
import pulumi
from k3k_pulumi import VirtualCluster
from tests.components.host import run

def program():
    VirtualCluster("c", {"namespace": pulumi.Output.from_input("Team"), "distribution": "kubernetes"})
    return {}

run(program, preview=PREVIEW)
"""


def test_a_bad_namespace_in_an_output_ends_the_program_with_a_line(preview: bool) -> None:
    program = ENDS.replace("PREVIEW", str(preview))
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 32  # the engine's sign that the user has been told
    assert ended.stderr.startswith("VirtualCluster 'c': namespace: 'Team' must be lower-case")
