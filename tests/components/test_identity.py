"""What a component was made as: changes that would lose its data end the program, in previews already."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pulumi
import pytest

from k3k_pulumi import SharedModeNamespace
from k3k_pulumi.identity import OF_A_CLUSTER, OF_A_STARTED_CLUSTER, cluster_values
from k3k_pulumi.model import VirtualClusterSpec
from tests.components.conftest import Deploy
from tests.components.host import run
from tests.run import ROOT

MADE_AS = {
    "cluster_name": "c",
    "namespace": "team",
    "control_plane_namespace": "team-c-control-plane",
    "create_namespace": "True",
    "create_control_plane_namespace": "True",
    "mode": "shared",
    "distribution": "kubernetes",
    "persistence.type": "dynamic",
}
STARTED_WITH = {"persistence.storage_class": "", "service_cidr": ""}


def test_it_is_noted_and_no_later_value_is(deploy: Deploy) -> None:
    stash = deploy().one("Stash", "c-identity")
    assert stash.plain["input"] == MADE_AS
    assert list(stash.request.ignoreChanges) == ["input"]
    assert not stash.request.HasField("replacement_trigger")


def test_what_may_have_kept_it_from_starting_is_noted_when_it_has_started(deploy: Deploy) -> None:
    stash = deploy().one("Stash", "c-started")
    assert stash.plain["input"] == STARTED_WITH
    assert list(stash.request.ignoreChanges) == ["input"]
    assert [urn.split("::", 2)[2].rpartition(":")[0] for urn in stash.request.dependencies] == [
        urn.split("::", 2)[2].rpartition(":")[0]
        for urn in stash.request.dependencies
        if "StatefulSet::c-server" in urn
    ]
    assert stash.request.dependencies


def test_every_value_has_its_reason() -> None:
    spec = VirtualClusterSpec.parse("c", {"namespace": "team"})
    assert cluster_values(spec).keys() == {*OF_A_CLUSTER, *OF_A_STARTED_CLUSTER}


def test_the_same_cluster_passes_and_so_does_what_was_not_noted_then(deploy: Deploy) -> None:
    stashes: dict[str, Any] = {"c-identity": {"distribution": "kubernetes"}}
    assert deploy(stashes).titles() == deploy().titles()
    changed = {"version": "v1.33.5", "persistence": {"size": "9Gi"}, "labels": {"a": "b"}, "egress": "none"}
    stashes = {"c-identity": MADE_AS, "c-started": STARTED_WITH}
    assert deploy(stashes, **changed).titles() == deploy().titles()


ENDS = """
import json
import sys

import pulumi
from k3k_pulumi import SharedModeNamespace, VirtualCluster
from tests.components import host

register, seen = host.Monitor.RegisterResource, []

def note(self, request):
    seen.append(request.type.rpartition(":")[2])
    return register(self, request)

host.Monitor.RegisterResource = note
unknown = pulumi.Output.from_input(pulumi.UNKNOWN)

def program():
    MAKE
    return {}

try:
    host.run(program, preview=PREVIEW, stashes=STASHES)
finally:
    print(json.dumps(seen))
"""


def ends(preview: bool, make: str, made_as: dict[str, Any]) -> tuple[str, list[str]]:
    """What a program says that has to end, and the kinds that it had registered by then."""
    program = ENDS.replace("MAKE", make).replace("PREVIEW", str(preview))
    command = [
        sys.executable,
        "-c",
        program.replace("STASHES", repr({"c-identity": made_as, "c-started": STARTED_WITH})),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 32, ended.stderr  # the engine's sign that the user has been told
    return ended.stderr, json.loads(ended.stdout)


def cluster(args: dict[str, Any]) -> str:
    return f"VirtualCluster('c', { ({'namespace': 'team', 'distribution': 'kubernetes'} | args)!r})"


def test_another_cluster_in_its_place_is_refused_before_anything_that_holds_data_is_touched(
    preview: bool,
) -> None:
    args = {
        "namespace": "other",
        "cluster_name": "d",
        "create_control_plane_namespace": False,
        "distribution": "k3s",
        "persistence": {"type": "ephemeral"},
    }
    said, registered = ends(preview, cluster(args), MADE_AS)
    lines = said.strip().splitlines()
    assert lines[0] == "VirtualCluster 'c': 6 problems in the arguments:"
    assert [line.split(":")[0] for line in lines[1:7]] == [  # Python may complain at its end
        "  - cluster_name",
        "  - namespace",
        "  - control_plane_namespace",
        "  - create_control_plane_namespace",
        "  - distribution",
        "  - persistence.type",
    ]
    assert lines[5] == (
        "  - distribution: is 'k3s', and it was made with 'kubernetes': another one would be an empty "
        "cluster, and this one's data deleted"
    )
    advice = "; for another one in its place: pulumi destroy --target 'urn:pulumi:stack::project::"
    assert advice in lines[6]
    if not preview:
        assert not {"Namespace", "PersistentVolumeClaim", "StatefulSet"} & set(registered)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"create_namespace": False}, "create_namespace"),
        ({"persistence": {"storage_class": "fast"}}, "persistence.storage_class"),
        ({"service_cidr": "10.96.0.0/12"}, "service_cidr"),
    ],
)
def test_each_of_them_is_refused_by_itself(args: dict[str, Any], path: str) -> None:
    said, _ = ends(True, cluster(args), MADE_AS)
    assert said.startswith(f"VirtualCluster 'c': {path}: is '")


def test_a_renamed_resource_without_the_clusters_name_is_refused(preview: bool) -> None:
    said, _ = ends(preview, cluster({}), {**MADE_AS, "cluster_name": "old"})
    assert "VirtualCluster 'c': cluster_name: is 'c', and it was made with 'old'" in said


def test_an_unknown_namespace_hides_no_change_of_the_rest() -> None:
    make = "VirtualCluster('c', {'namespace': unknown, 'distribution': 'k3s'})"
    said, _ = ends(True, make, MADE_AS)
    assert said.startswith("VirtualCluster 'c': distribution: is 'k3s', and it was made with 'kubernetes'")
    assert " namespace:" not in said


def test_a_shared_mode_namespace_is_no_other_one(preview: bool) -> None:
    made_as = {"policy_name": "c", "namespace": "team"}
    said, registered = ends(preview, "SharedModeNamespace('c', {'policy_name': 'd'})", made_as)
    assert said.startswith("SharedModeNamespace 'c': 2 problems in the arguments:")
    assert "  - policy_name: is 'd', and it was made with 'c': another one would be an empty" in said
    assert "  - namespace: is 'd', and it was made with 'team'" in said
    assert preview or "Namespace" not in registered


def test_a_shared_mode_namespace_notes_what_it_is(preview: bool) -> None:
    def program() -> dict[str, pulumi.Output[str]]:
        return {"namespace": SharedModeNamespace("p", {"namespace": "team"}).namespace}

    stash = run(program, preview=preview).one("Stash", "p-identity")
    assert stash.plain["input"] == {"policy_name": "p", "namespace": "team"}
    assert list(stash.request.ignoreChanges) == ["input"]
