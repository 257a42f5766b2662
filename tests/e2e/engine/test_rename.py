"""Resources that get another name in their program: nothing on the host changes, and nothing inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Host, unique
from tests.e2e.support.clusters import variant
from tests.e2e.support.engine import Project
from tests.e2e.support.kubectl import Kubectl

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("engine")]

PROGRAM = """
import pulumi
from k3k_pulumi import SharedModeNamespace, VirtualCluster, VirtualClusterPolicy
from pulumi_kubernetes.core.v1 import ConfigMap

def opts(kind):
    return pulumi.ResourceOptions(aliases=[pulumi.Alias(name=kind)] if {new} else [])

def name(kind):
    return "new-" + kind if {new} else kind

def naming(argument, kind):
    return {{argument: kind}} if {new} else {{}}

shared = SharedModeNamespace(name({shared!r}), {{
    "quotas": {{"all": {{"hard": {{"pods": "50"}}}}}}, "tenants": [{{"kind": "User", "name": "ann"}}],
    **naming("policy_name", {shared!r})}}, opts({shared!r}))
VirtualClusterPolicy(name({policy!r}), {{
    "namespaces": [{existing!r}], "quotas": {{"all": {{"hard": {{"pods": "5"}}}}}},
    **naming("policy_name", {policy!r})}}, opts({policy!r}))
cluster = VirtualCluster(name("c"), {{
    **{args!r}, "namespace": shared.namespace, "create_namespace": False, "policy": shared.constraints,
    **naming("cluster_name", "c")}}, opts("c"))
ConfigMap("hello", metadata={{"name": "hello"}}, opts=pulumi.ResourceOptions(parent=cluster.inside))
ConfigMap("there", metadata={{"name": "there"}}, opts=pulumi.ResourceOptions(provider=cluster.provider))
pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("ca", cluster.ca_certificate_pem)
"""
KINDS = (
    "configmaps,secrets,services,serviceaccounts,persistentvolumeclaims,statefulsets,deployments,"
    "networkpolicies,roles,rolebindings,resourcequotas,pods"
)


@pytest.fixture
def project(variables: dict[str, str], tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path, "rename", variables)
    yield made
    made.stack.destroy()


def uids(*kubectls: Kubectl) -> dict[str, str]:
    """The identities of all objects of these namespaces, and of the Namespaces."""
    found: dict[str, str] = {}
    for kubectl in kubectls:
        objects = [kubectl.get("namespace", kubectl.namespace), *kubectl.get(KINDS)]
        for each in objects:
            metadata = each["metadata"]
            title = f"{each['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
            found[title] = metadata["uid"]
    return found


def steps(project: Project, **options: Any) -> dict[str, str]:
    """What a preview would do, by type and name of each resource that it would not leave alone."""
    planned: dict[str, str] = {}

    def note(event: Any) -> None:
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            if metadata.op not in ("same", "read"):
                *_, type_, name = metadata.urn.split("::")
                planned[f"{type_.rpartition('$')[2]}::{name}"] = metadata.op.value

    project.stack.preview(on_event=note, **options)
    return planned


def test_renamed_resources_keep_everything(
    host: Host, kubelet_image: str, namespace: Kubectl, project: Project, tmp_path: Path
) -> None:
    del kubelet_image
    shared, policy = unique("s"), unique("p")
    args = {**variant("kubernetes"), "expose": {"source_cidrs": ["0.0.0.0/0"]}}
    values = {"shared": shared, "policy": policy, "existing": namespace.namespace, "args": args}
    project.write(PROGRAM.format(new=False, **values))
    first = project.stack.up().outputs
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(first["kubeconfig"].value)
    halves = [host.kubectl.within(shared), host.kubectl.within(f"{shared}-c-control-plane"), namespace]
    inside = Kubectl(kubeconfig)
    before = uids(*halves), uids(inside)
    assert len(before[0]) > 40

    project.write(PROGRAM.format(new=True, **values))
    # The components' own records, which have the new argument: they are nothing on the host.
    records = {
        f"k3k-pulumi:index:SharedModeNamespace::new-{shared}": "update",
        f"k3k-pulumi:index:VirtualClusterPolicy::new-{policy}": "update",
        "k3k-pulumi:index:VirtualCluster::new-c": "update",
    }
    assert steps(project) == records
    second = project.stack.up()
    assert set(second.summary.resource_changes or {}) <= {"same", "read", "update"}
    assert (second.summary.resource_changes or {}).get("update") == len(records)
    assert second.outputs["ca"].value == first["ca"].value
    assert second.outputs["kubeconfig"].value == first["kubeconfig"].value
    assert (uids(*halves), uids(inside)) == before
    # The state has the new names alone, so that the aliases may go.
    project.write(PROGRAM.format(new=True, **values).replace("if {new} else []", "if False else []"))
    assert steps(project) == {}
