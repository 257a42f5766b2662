"""A running cluster whose stack's state was lost, taken over as docs/takeover.md says."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from tests.e2e.conftest import Host, unique
from tests.e2e.support.clusters import both, variant
from tests.e2e.support.engine import Project
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import BUSYBOX, IDLE
from tests.e2e.support.polling import eventually
from tests.e2e.test_policy import metadata, objects

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("engine")]

KINDS = (
    "configmaps,secrets,services,serviceaccounts,roles,rolebindings,networkpolicies,persistentvolumeclaims,"
    "statefulsets,deployments,pods"
)
KEY = "-----BEGIN EC PRIVATE KEY-----"
IN_CLEAR = (KEY, base64.b64encode(KEY.encode()).decode())
PROGRAM = """
import pulumi
from k3k_pulumi import VirtualCluster
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMapPatch, Namespace, Secret
cluster = VirtualCluster("c", {args!r})
inside = pulumi.ResourceOptions(parent=cluster.inside)
made = Namespace("own", metadata={{"name": "own", "labels": {labels!r}}}, opts=inside)
Secret("own", metadata={{"name": "own", "namespace": "own"}}, string_data={{"a": "b"}},
    opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=[made])))
Deployment("own", metadata={{"name": "own", "namespace": "default"}}, spec={{
    "selector": {{"match_labels": {{"app": "own"}}}},
    "template": {{"metadata": {{"labels": {{"app": "own"}}}}, "spec": {{"containers": [
        {{"name": "main", "image": {image!r}, "command": {command!r}}}]}}}}}}, opts=inside)
pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("namespace", cluster.namespace)
"""


POLICY = """
from k3k_pulumi import VirtualClusterPolicy
VirtualClusterPolicy({name!r}, {args!r})
"""


class Lost:
    """A project whose state can be lost."""

    def __init__(self, project: Project) -> None:
        self.write, self.stack = project.write, project.stack

    def lose_the_state(self) -> None:
        self.stack.workspace.remove_stack("it", force=True)
        self.stack = automation.Stack.create("it", self.stack.workspace)

    def take_over(self) -> automation.UpResult:
        """The first command of the page."""
        variables = self.stack.workspace.env_vars
        own = ("PULUMI_K8S_UPSERT_EXISTING_OBJECTS", "PULUMI_K8S_ENABLE_PATCH_FORCE")
        variables.update(dict.fromkeys(own, "true"))
        try:
            return self.stack.up()
        finally:
            for name in own:
                del variables[name]

    def free(self) -> str:
        """The second command of the page."""
        command = f"pulumi stack export --show-secrets | {sys.executable} -m k3k_pulumi.takeover"
        workspace = self.stack.workspace
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=workspace.work_dir,
            env={**os.environ, **workspace.env_vars},
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def preview(self) -> set[str]:
        return set(self.stack.preview(expect_no_changes=True).change_summary)


@pytest.fixture
def lost(variables: dict[str, str], tmp_path: Path) -> Iterator[Lost]:
    made = Lost(Project(tmp_path, "lost", variables))
    try:
        yield made
    finally:
        made.stack.destroy()


def state_of(kubectl: Kubectl) -> dict[str, Any]:
    """Uids of all objects in a namespace, and how often their containers were restarted."""
    found: dict[str, Any] = {}
    for each in kubectl.get(KINDS):
        if "deletionTimestamp" in each["metadata"]:
            continue  # of an earlier revision
        statuses = each.get("status", {}).get("containerStatuses", [])
        restarts = [status["restartCount"] for status in statuses] if each["kind"] == "Pod" else []
        found[f"{each['kind']}/{each['metadata']['name']}"] = (each["metadata"]["uid"], restarts)
    return found


@both
def test_a_running_cluster_is_in_a_new_state_as_it_was(
    lost: Lost, kubelet_image: str, distribution: str, host: Host, tmp_path: Path
) -> None:
    del kubelet_image
    expose = {"source_cidrs": ["0.0.0.0/0"]}
    args = {"namespace": unique("t"), "expose": expose, **variant(distribution)}

    def program(labels: dict[str, str], **more: Any) -> str:
        return PROGRAM.format(args=args | more, labels=labels, image=BUSYBOX, command=list(IDLE))

    lost.write(program({"team": "a"}))
    lost.stack.up()
    # A change of each: from here on the objects have field managers of the first state.
    before = {"expose": {**expose, "annotations": {"example.com/a": "1"}}, "host_cidrs": ["192.0.2.0/24"]}
    lost.write(program({"team": "b", "more": "1"}, **before))
    outputs = lost.stack.up().outputs
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(outputs["kubeconfig"].value)
    inside, workloads = Kubectl(kubeconfig), host.kubectl.within(outputs["namespace"].value)
    control_plane = host.kubectl.within(f"{workloads.namespace}-c-control-plane")
    views = (workloads, control_plane, inside, inside.within("own"))
    eventually(lambda: inside.get("deployment", "own")["status"]["readyReplicas"] == 1)
    first = [state_of(each) for each in views]

    lost.lose_the_state()
    lost.write(program({"team": "b", "more": "1"}, pki={"from_cluster": True}, **before))
    taken = lost.take_over()
    assert (
        json.loads(taken.outputs["kubeconfig"].value)["clusters"]
        == json.loads(kubeconfig.read_text())["clusters"]
    )
    freed = lost.free()
    assert f"Secret {control_plane.namespace}/c-server-ca: pulumi-kubernetes-" in freed
    assert "Namespace own: pulumi-kubernetes-" in freed
    now = [state_of(each) for each in views]
    # Controllers may have made more meanwhile.
    assert [{title: is_.get(title) for title in was} for is_, was in zip(now, first, strict=True)] == first
    assert lost.preview() <= {"same", "read"}
    (state,) = (tmp_path / "backend").rglob("stacks/*/it.json")
    assert not [each for each in IN_CLEAR if each in state.read_text()]

    lost.write(program({"team": "b", "more": "1"}, **before))
    lost.stack.up()
    assert lost.preview() == {"same"}
    assert lost.free() == ""

    # What is no longer in the program goes, what has changed is changed, and the old managers do not mind.
    lost.write(program({"team": "c"}, host_cidrs=["198.51.100.0/24"]))
    lost.stack.up()
    assert inside.get("namespace", "own")["metadata"]["labels"].items() >= {"team": "c"}.items()
    assert "more" not in inside.get("namespace", "own")["metadata"]["labels"]
    service = control_plane.get("service", "c-api")
    assert "example.com/a" not in service["metadata"]["annotations"]
    eventually(lambda: "192.0.2.0" not in json.dumps(workloads.get("networkpolicies")))

    lost.stack.destroy()
    listed = "namespaces,persistentvolumes,clusterroles,clusterrolebindings"
    eventually(lambda: workloads.namespace not in json.dumps(host.kubectl.get(listed)))


def test_a_policy_is_in_a_new_state_as_it_was(lost: Lost, namespace: Kubectl) -> None:
    name, here = unique("p"), namespace.namespace
    before = (metadata(namespace), objects(namespace))

    def program(**args: Any) -> str:
        return POLICY.format(name=name, args={"namespaces": [here], **args})

    limits = [{"type": "Container", "default": {"cpu": "1"}}]
    for enforce in ("baseline", "restricted"):
        lost.write(program(pod_security={"enforce": enforce}, limits=limits))
        lost.stack.up()
    bound = (metadata(namespace), objects(namespace))

    lost.lose_the_state()
    lost.take_over()
    assert f"Namespace {here}: pulumi-kubernetes-" in lost.free()
    assert (metadata(namespace), objects(namespace)) == bound
    assert lost.preview() <= {"same", "read"}

    lost.write(program(pod_security={"enforce": "privileged"}))
    lost.stack.up()
    assert metadata(namespace)[0]["pod-security.kubernetes.io/enforce"] == "privileged"
    lost.stack.destroy()
    assert (metadata(namespace), objects(namespace)) == before
