"""Changes of arguments on the real engine: what docs/changes.md says of them is what a preview shows."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from k3k_pulumi import direct
from k3k_pulumi.identity import OF_A_CLUSTER, OF_A_STARTED_CLUSTER
from tests.components.changes import COMPONENTS, OF_NAMESPACES, OF_POLICIES, Change
from tests.components.changes import steps as planned
from tests.components.conftest import event_loop_of_the_thread  # noqa: F401 - for the runs under mocks
from tests.e2e.conftest import Host, unique
from tests.e2e.support.engine import Project, environment
from tests.e2e.support.kubectl import Kubectl

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

    def preview(self, **args: dict[str, Any]) -> dict[str, str]:
        """What a preview would do with these arguments, by type and name, but for changes in place."""
        found: dict[str, str] = {}

        def note(event: Any) -> None:
            if event.resource_pre_event is not None:
                metadata = event.resource_pre_event.metadata
                *_, type_, name = metadata.urn.split("::")
                if metadata.op.value in ("create", "delete", "replace"):
                    found[f"{type_.rpartition('$')[2]}::{name}"] = metadata.op.value

        self.write(**args)
        self.project.stack.preview(on_event=note)
        return found

    def planned(self, kind: str, args: dict[str, Any]) -> dict[str, str]:
        """What the page is computed from, in the form of `preview`."""
        return {
            f"{step.resource.type}::{step.resource.name}": step.op
            for step in planned(COMPONENTS[kind], self.args[kind], args, self.names[kind])
            if step.op != "update"
        }

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


def all_at_once(base: dict[str, Any], changes: tuple[Change, ...], *but: str) -> dict[str, Any]:
    """The arguments with all changes that are not refused, the last one of each argument."""
    args = base
    for change in changes:
        if not change.argument.startswith(but):
            args = change.after(args)
    return args


def test_a_preview_replaces_what_the_page_says(deployed: Deployed) -> None:
    """All changes at once: nothing that holds data is replaced, whatever is changed."""
    component = COMPONENTS["VirtualCluster"]
    base = deployed.args["VirtualCluster"]
    # Some exclude each other, so that there are two halves.
    second = ("dns.", "node_capacity", "policy", "require_network_policy")
    # The dev cluster's storage cannot grow, which its API server says in the preview.
    refused = (*component.refused, "persistence.size")
    halves = [
        all_at_once(base, component.changes, *refused, *second),
        all_at_once(
            base,
            tuple(change for change in component.changes if change.argument.startswith(second)),
            "policy_from_namespace",
        ),
    ]
    halves[0]["expose"]["node_port"] = 30000 + secrets.randbelow(2767)  # one that nobody has
    policy = all_at_once(deployed.args["VirtualClusterPolicy"], OF_POLICIES, "policy_name", "namespaces")
    shared = all_at_once(deployed.args["SharedModeNamespace"], OF_NAMESPACES, "policy_name", "namespace")
    others = {"VirtualClusterPolicy": policy, "SharedModeNamespace": shared}
    wanted = [deployed.planned("VirtualCluster", half) for half in halves]
    assert {title.partition("::")[0] for title, op in wanted[0].items() if op == "replace"} == {
        "kubernetes:batch/v1:Job"
    }
    wanted_of_others: dict[str, str] = {}
    for kind, args in others.items():
        wanted_of_others |= deployed.planned(kind, args)
    assert "replace" not in wanted_of_others.values()
    assert deployed.preview(VirtualCluster=halves[0], **others) == wanted[0] | wanted_of_others
    assert deployed.preview(VirtualCluster=halves[1]) == wanted[1]
    assert deployed.preview() == {}


def test_a_preview_refuses_another_cluster_in_its_place(deployed: Deployed) -> None:
    for noted in (OF_A_CLUSTER, OF_A_STARTED_CLUSTER):
        args = deployed.args["VirtualCluster"]
        changes = [change for change in COMPONENTS["VirtualCluster"].changes if change.argument in noted]
        # There is one mode.
        for change in (each for each in changes if each.argument != "mode"):
            args = change.after(args)
        deployed.write(VirtualCluster=args)
        with pytest.raises(automation.CommandError) as caught:
            deployed.project.stack.preview(color="never")
        for argument in noted.keys() - {"mode"}:
            assert f"- {argument}: is '" in str(caught.value)
        assert "Traceback" not in str(caught.value)


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


def test_protected_and_retained_clusters_stay(deployed: Deployed, tmp_path: Path) -> None:
    stack, before = deployed.project.stack, deployed.uids("statefulsets,persistentvolumeclaims,secrets")
    deployed.options = {"protect": True}
    deployed.write()
    stack.up()
    with pytest.raises(automation.CommandError, match="protect"):
        stack.destroy()
    # Nothing but the Job is ever replaced, and that is what `protect` stops then.
    changed = {**deployed.args["VirtualCluster"], "images": {"kubelet": "registry.example.com/kubelet:1"}}
    deployed.write(VirtualCluster=changed)
    with pytest.raises(automation.CommandError, match="protect"):
        stack.preview()

    deployed.options = {"retain_on_delete": True}
    deployed.write()
    stack.up()
    stack.destroy()
    try:
        assert deployed.uids("statefulsets,persistentvolumeclaims,secrets") == before
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(deployed.kubeconfig)
        assert Kubectl(kubeconfig).get("namespace", "default")["status"]["phase"] == "Active"
    finally:
        namespace = deployed.args["VirtualCluster"]["namespace"]
        direct.delete("c", namespace, kubeconfig=deployed.host.kubeconfig)
        for name in (namespace, f"{namespace}-c-control-plane"):
            deployed.host.kubectl("delete", "namespace", name, "--ignore-not-found")
