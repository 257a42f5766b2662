"""What is made inside a virtual cluster: where it lands, from another stack too, and how it goes.

The tests are the steps of one stack's life, in order; each needs those before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from tests.e2e.conftest import Host, unique, watch
from tests.e2e.support.clusters import variant
from tests.e2e.support.engine import Project, environment
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.operations import Operations, title
from tests.e2e.support.polling import eventually

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("inside")]

PLATFORM = """
import pulumi
from k3k_pulumi import VirtualCluster
from pulumi_kubernetes.core.v1 import ConfigMap
cluster = VirtualCluster("c", {args!r})
def place(name, opts):
    metadata = {{"name": name, "namespace": cluster.namespace if name == "on-the-host" else "default"}}
    ConfigMap(name, metadata=metadata, opts=opts)
place("by-parent", pulumi.ResourceOptions(parent=cluster.inside))
place("by-provider", pulumi.ResourceOptions(provider=cluster.provider))
place("on-the-host", pulumi.ResourceOptions(parent=cluster))
pulumi.export("kubeconfig", cluster.kubeconfig)
"""
# The documented way: docs/pulumi.md, "From another stack".
TEAM = """
import pulumi
import pulumi_kubernetes
from pulumi_kubernetes.core.v1 import Namespace
platform = pulumi.StackReference({platform!r})
inside = pulumi_kubernetes.Provider(
    "team-a",
    kubeconfig=platform.require_output("kubeconfig"),
    cluster_identifier="team-a/c",
    skip_update_unreachable=True,
)
Namespace("shop", metadata={{"name": "shop"}}, opts=pulumi.ResourceOptions(provider=inside))
"""


@dataclass(frozen=True)
class Stacks:
    """The platform team's stack with a cluster, and that of a team which uses it."""

    folder: Path
    platform: Project
    team: Project
    host: Kubectl

    @property
    def control_plane(self) -> Kubectl:
        return self.host.within(f"{self.host.namespace}-c-control-plane")

    @property
    def inside(self) -> Kubectl:
        return Kubectl(self.folder / "kubeconfig")

    def up(self, **options: list[str]) -> None:
        made = self.platform.stack.up(**options)
        (self.folder / "kubeconfig").write_text(made.outputs["kubeconfig"].value)

    def resources(self) -> dict[str, str]:
        """The resources in the state of the platform team's stack: title -> URN."""
        exported: Any = self.platform.stack.export_stack().deployment
        return {title(each["urn"]): each["urn"] for each in exported["resources"]}


@pytest.fixture(scope="module")
def stacks(host: Host, kubelet_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    del kubelet_image  # just has to be on the host
    folder, namespace = tmp_path_factory.mktemp("inside"), unique("i")
    variables = environment(folder, host.kubeconfig)
    platform, team = (Project(folder, name, variables) for name in ("platform", "team"))
    args = {
        "namespace": namespace,
        "expose": {"source_cidrs": ["0.0.0.0/0"]},
        **variant("kubernetes"),
    }
    platform.write(PLATFORM.format(args=args))
    team.write(TEAM.format(platform=platform.reference))
    yield Stacks(folder, platform, team, host.kubectl.within(namespace))
    variables["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
    for project in (team, platform):
        project.stack.destroy()


@pytest.fixture(autouse=True)
def shown_on_failure(stacks: Stacks, request: pytest.FixtureRequest) -> None:
    watch(request.node, stacks.control_plane)


def names(kubectl: Kubectl) -> set[str]:
    found = {each["metadata"]["name"] for each in kubectl.get("configmaps")}
    return found & {"by-parent", "by-provider", "on-the-host"}


def test_the_parent_or_the_provider_say_where_a_resource_lands(stacks: Stacks) -> None:
    """With the cluster itself as the parent it lands on the host, which is seldom what was meant."""
    stacks.up()
    assert names(stacks.inside) == {"by-parent", "by-provider"}
    assert names(stacks.host) == {"on-the-host"}


def test_another_stack_makes_resources_inside(stacks: Stacks) -> None:
    stack = stacks.team.stack
    stack.up()
    before = stacks.inside.get("namespace", "shop")["metadata"]["uid"]
    (state,) = (stacks.folder / "backend").rglob("stacks/team/it.json")
    assert "ciphertext" in state.read_text()
    assert "client-key-data" not in state.read_text()

    stacks.up(replace=[stacks.resources()["Stash c-admin"]])
    operations = Operations()
    stack.up(on_event=operations)
    assert operations.of == {"update": {"Provider team-a"}}
    assert stacks.inside.get("namespace", "shop")["metadata"]["uid"] == before
    stack.destroy()
    eventually(lambda: stacks.inside.run("get", "namespace", "shop").returncode)


def test_new_authorities_after_a_restart(stacks: Stacks) -> None:
    """Pods go on with the keys they started with, until somebody has them made anew."""
    before = names(stacks.inside)
    replaced = [f"Stash c-{each}" for each in ("client-ca", "server-ca")]
    urns = stacks.resources()
    stacks.up(replace=[urns[each] for each in replaced])
    for workload in ("statefulset/c-server", "deployment/c-kubelet", "deployment/c-dns"):
        stacks.control_plane("rollout", "restart", workload)
        stacks.control_plane("rollout", "status", workload, "--timeout=120s")
    assert eventually(lambda: names(stacks.inside)) == before
    command = ("--command", "--", "sleep", "1000")
    stacks.inside("run", "pod", "--image=docker.io/library/busybox:1.36", *command)
    eventually(lambda: stacks.inside.get("pod", "pod")["status"].get("phase") == "Running")


def test_destroy_of_what_is_inside_an_unreachable_cluster(stacks: Stacks) -> None:
    """What has the parent `inside` goes with its cluster; what has the provider alone wants to be deleted."""
    stacks.control_plane("delete", "networkpolicy", "c-server")
    eventually(lambda: stacks.inside.run("version", "--request-timeout=2s").returncode)
    with pytest.raises(automation.CommandError) as refused:
        stacks.platform.stack.destroy(color="never")
    assert 'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"' in str(refused.value)
    left = stacks.resources()
    assert "ConfigMap by-provider" in left
    assert "ConfigMap by-parent" not in left
    stacks.platform.stack.workspace.env_vars["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
    stacks.platform.stack.destroy()
    prefix = stacks.host.namespace
    eventually(lambda: prefix not in str(stacks.host.get("namespaces")))
