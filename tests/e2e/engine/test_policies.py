"""Policies on the real engine: what previews refuse, what they show, and what is left after a destroy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import Host, unique
from tests.e2e.support.engine import Project
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.test_policy import KINDS, metadata, objects

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("engine")]

SECURITY = "pod-security.kubernetes.io/"
POLICY = """
import pulumi
from k3k_pulumi import VirtualClusterPolicy
made = VirtualClusterPolicy({name!r}, {args!r})
pulumi.export("constraints", made.constraints)
pulumi.export("namespaces", made.namespaces)
"""
CLUSTER = """
import pulumi
from k3k_pulumi import VirtualCluster
platform = pulumi.StackReference({platform!r})
args = dict({args!r}, create_namespace=False, distribution="kubernetes")
VirtualCluster("c", dict(args, namespace=platform.require_output("namespaces")[0], **{late}))
"""
SHARED = """
import pulumi
from k3k_pulumi import SharedModeNamespace
from pulumi_kubernetes.core.v1 import Namespace
from k3k_pulumi import VirtualClusterPolicy
SharedModeNamespace({name!r}, {{"quotas": {{"all": {{"hard": {{"pods": "2"}}}}}}, "tenants": [
    {{"kind": "User", "name": "ann"}}]}})
own = Namespace("own", metadata={{"name": {own!r}}})
VirtualClusterPolicy({name!r} + "-own", {{"namespaces": [own.metadata["name"]], "egress": "none"}})
"""


@pytest.fixture
def platform(variables: dict[str, str], tmp_path: Path) -> Iterator[Project]:
    """The platform team's project; what it has deployed goes when the test is over."""
    project = Project(tmp_path, "platform", variables)
    yield project
    project.stack.destroy()


def policy(name: str, *namespaces: str, **args: Any) -> str:
    return POLICY.format(name=name, args={"namespaces": list(namespaces), **args})


def test_previews_refuse_namespaces_that_are_not_free(
    host: Host, namespace: Kubectl, platform: Project
) -> None:
    name, missing, here = unique("p"), unique("t"), namespace.namespace
    said = platform.refusal(policy(name, missing))
    assert f"resource '{missing}' does not exist" in said
    namespace("label", "namespace", here, f"{SECURITY}enforce=privileged")
    said = platform.refusal(policy(name, here))
    assert f"namespaces: '{here}' has the label {SECURITY}enforce=privileged, set by kubectl-label" in said
    assert "Traceback" not in said
    namespace("label", "namespace", here, f"{SECURITY}enforce-")
    first = unique("p")
    direct.apply_policy(first, kubeconfig=host.kubeconfig, namespaces=[here])
    assert f"namespaces: '{here}' has the policy '{first}' already" in platform.refusal(policy(name, here))
    assert metadata(namespace)[0]["k3k-pulumi.io/policy"] == first


def test_up_a_change_an_empty_preview_and_destroy(namespace: Kubectl, platform: Project) -> None:
    name, here = unique("p"), namespace.namespace
    namespace("label", "namespace", here, "team=them", f"{SECURITY}audit=baseline")
    before = (metadata(namespace), objects(namespace))
    quota = {"a": {"hard": {"cpu": "1000m", "pods": 2}}}
    platform.write(policy(name, here, quotas=quota, limits=[{"type": "Pod", "max": {"cpu": 1}}]))
    assert platform.stack.up().outputs["namespaces"].value == [here]
    assert metadata(namespace)[0]["k3k-pulumi.io/policy"] == name
    first = objects(namespace)
    assert len(first) == 3
    assert set(platform.stack.preview(expect_no_changes=True).change_summary) <= {"same", "read"}

    platform.write(
        policy(name, here, quotas={"a": {"hard": {"pods": 3}}}, pod_security={"enforce": "restricted"})
    )
    platform.stack.up()
    assert metadata(namespace)[0][f"{SECURITY}enforce"] == "restricted"
    kept = {key: uid for key, uid in first.items() if key[0] != "LimitRange"}
    assert objects(namespace) == kept
    assert set(platform.stack.preview(expect_no_changes=True).change_summary) <= {"same", "read"}

    platform.stack.destroy()
    assert (metadata(namespace), objects(namespace)) == before


def test_a_cluster_of_another_stack_is_refused_in_its_preview(
    namespace: Kubectl, platform: Project, variables: dict[str, str], tmp_path: Path
) -> None:
    name, here = unique("p"), namespace.namespace
    platform.write(policy(name, here, egress="none", allowed_distributions=["kubernetes"]))
    platform.stack.up()
    team = Project(tmp_path, "team", variables)
    for late in ("{'policy': platform.require_output('constraints')}", "{'policy_from_namespace': True}"):

        def program(late: str = late, **args: Any) -> str:
            return CLUSTER.format(platform=platform.reference, args=args, late=late)

        said = team.refusal(program(egress="all"))
        assert f"egress: 'all' is more than VirtualClusterPolicy {name!r} allows" in said
        assert "Traceback" not in said
        team.write(program())
        assert team.stack.preview().change_summary["create"] > 20


def test_namespaces_made_in_the_same_program(host: Host, platform: Project) -> None:
    """The first preview has to pass: that a namespace is missing then is no mistake."""
    name, own = unique("s"), unique("t")
    platform.write(SHARED.format(name=name, own=own))
    platform.stack.preview()
    platform.stack.up()
    assert len(objects(host.kubectl.within(name))) == 3
    assert metadata(host.kubectl.within(own))[0]["k3k-pulumi.io/policy"] == f"{name}-own"
    assert set(platform.stack.preview(expect_no_changes=True).change_summary) <= {"same", "read"}
    platform.stack.destroy()
    for namespace in (name, own):
        assert b"NotFound" in host.kubectl.run("get", "namespace", namespace).stderr
    assert not host.kubectl.get(KINDS, "-A", "-l", f"k3k-pulumi.io/policy in ({name}, {name}-own)")
