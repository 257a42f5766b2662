"""Changes of arguments on the real engine: what a preview refuses, and data that changes in place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pulumi import automation

from tests.components.changes import COMPONENTS
from tests.e2e.conftest import Host, unique
from tests.e2e.support.engine import Project, environment

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("engine-changes")]

PROGRAM = """
import json
import pulumi
import k3k_pulumi
for kind, name, args, opts in json.loads({components!r}):
    made = getattr(k3k_pulumi, kind)(name, args, pulumi.ResourceOptions(**opts))
    if kind == "VirtualCluster":
        assert made.inside
        pulumi.export("kubeconfig", made.kubeconfig)
"""
SERVICE_ACCOUNT_KEY = "c-service-account-key"


@dataclass
class Deployed:
    """A stack of one component of each kind."""

    host: Host
    project: Project
    names: dict[str, str]
    args: dict[str, dict[str, Any]]
    kubeconfig: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, **args: dict[str, Any]) -> None:
        """Makes this the program, other arguments of the named components in place of those it has."""
        made = [
            (kind, name, args.get(kind, self.args[kind]), self.options if kind == "VirtualCluster" else {})
            for kind, name in self.names.items()
        ]
        self.project.write(PROGRAM.format(components=json.dumps(made)))

    def uids(self, *kinds: str) -> dict[str, str]:
        """Identities of the cluster's objects in both its namespaces."""
        namespace = self.args["VirtualCluster"]["namespace"]
        halves = [self.host.kubectl.within(name) for name in (namespace, f"{namespace}-c-control-plane")]
        objects = [each["metadata"] for half in halves for each in half.get(",".join(kinds))]
        return {f"{each['namespace']}/{each['name']}": each["uid"] for each in objects}


@pytest.fixture(scope="module")
def deployed(host: Host, kubelet_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    del kubelet_image
    bound, folder = unique("t"), tmp_path_factory.mktemp("changes")
    host.kubectl("create", "namespace", bound)
    project = Project(folder, "changes", environment(folder, host.kubeconfig))
    names = {"VirtualCluster": "c", "VirtualClusterPolicy": unique("p"), "SharedModeNamespace": unique("s")}
    args = {kind: dict(component.base) for kind, component in COMPONENTS.items()}
    args["VirtualCluster"]["namespace"] = unique("t")
    args["VirtualClusterPolicy"]["namespaces"] = [bound]
    made = Deployed(host, project, names, args)
    try:
        made.write()
        made.kubeconfig = project.stack.up().outputs["kubeconfig"].value
        yield made
    finally:
        made.options = {}
        made.write()
        project.stack.destroy()
        host.kubectl("delete", "namespace", bound, "--wait=false")


def test_a_preview_refuses_a_smaller_volume_and_another_name(deployed: Deployed) -> None:
    shrunk = {**deployed.args["VirtualCluster"], "persistence": {"size": "1Gi"}}
    renamed = {**deployed.args["VirtualClusterPolicy"], "policy_name": "other"}
    deployed.write(VirtualCluster=shrunk)
    with pytest.raises(automation.CommandError, match="can not be less than"):
        deployed.project.stack.preview(color="never")
    deployed.write(VirtualClusterPolicy=renamed)
    with pytest.raises(automation.CommandError, match="already, and a namespace has one"):
        deployed.project.stack.preview(color="never")


def test_secrets_and_config_maps_get_other_data_in_place(deployed: Deployed) -> None:
    before = deployed.uids("secrets", "configmaps")
    namespace = deployed.args["VirtualCluster"]["namespace"]
    half = deployed.host.kubectl.within(f"{namespace}-c-control-plane")
    data = [half.get(each)["data"] for each in (f"secret/{SERVICE_ACCOUNT_KEY}", "configmap/c-policy")]
    deployed.args["VirtualCluster"] |= {"pods": {"hostPorts": True}}
    deployed.write()
    state = json.loads(json.dumps(deployed.project.stack.export_stack().deployment))
    (stash,) = [
        each["urn"]
        for each in state["resources"]
        if each["type"] == "pulumi:index:Stash" and each["urn"].endswith(f"::{SERVICE_ACCOUNT_KEY}")
    ]
    done = deployed.project.stack.up(replace=[stash])
    assert (done.summary.resource_changes or {}).get("replace") == 1
    for old, each in zip(data, (f"secret/{SERVICE_ACCOUNT_KEY}", "configmap/c-policy"), strict=True):
        assert half.get(each)["data"] != old
    assert deployed.uids("secrets", "configmaps") == before
