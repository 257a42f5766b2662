"""The components in programs of other languages, on the real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from tests.e2e.conftest import Host, unique
from tests.e2e.support.engine import environment
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.languages import Project
from tests.e2e.support.polling import eventually

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("other-languages")]

WIDE: dict[str, Any] = {
    "namespace": "team",
    "distribution": "kubernetes",
    "servers": 1,
    "kubeletReplicas": 2,
    "expose": {
        "type": "NodePort",
        "host": "192.0.2.1",
        "nodePort": 31234,
        "sourceCidrs": ["192.0.2.0/24", "198.51.100.0/24"],
    },
    "persistence": {"size": "7Gi", "storageClass": "fast"},
    "dns": {"replicas": 2, "stubZones": {"corp.example": ["10.0.0.53"]}},
    "resources": {"server": {"requests": {"cpu": 1, "memory": "600Mi"}}},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 7, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
            ]
        }
    },
    "pods": {"volumeTypes": ["configMap", "secret"]},
    "sync": {"toHost": {"ingresses": {"enabled": True, "hosts": ["*.team.example.com"]}}},
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("yaml", marks=pytest.mark.needs_yaml),
        pytest.param("typescript", marks=pytest.mark.needs_nodejs),
    ],
)
def project(
    request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The example of a language; what it has deployed goes when its tests are over."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    project = Project(request.param, folder, environment(folder, host.kubeconfig))
    yield project
    project.stack.destroy()


def test_the_example_up_an_empty_preview_and_destroy(
    project: Project, host: Host, kubelet_image: str, tmp_path: Path
) -> None:
    del kubelet_image  # just has to be on the host
    namespace = unique("l")
    project.stack.set_config("namespace", automation.ConfigValue(namespace))
    first = project.stack.up()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(first.outputs["kubeconfig"].value)
    assert first.outputs["kubeconfig"].secret
    assert not first.outputs["endpoint"].secret
    assert Kubectl(kubeconfig).get("configmap", "welcome")["data"] == {"from": namespace}
    servers = host.kubectl.within(f"{namespace}-cluster-control-plane").get("statefulset", "cluster-server")
    tolerations = servers["spec"]["template"]["spec"]["tolerations"]
    assert {
        "key": "team",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 60,
    } in tolerations
    quotas = host.kubectl.within(namespace).get("resourcequotas")
    assert [quota["spec"]["hard"] for quota in quotas] == [{"pods": "20"}]

    second = project.stack.preview(expect_no_changes=True)
    assert set(second.change_summary) <= {"same", "read"}

    project.stack.destroy()
    eventually(lambda: namespace not in json.dumps(host.kubectl.get("namespaces")))


def test_numbers_lists_and_groups_arrive_whole(project: Project) -> None:
    project.write(WIDE)
    made: dict[tuple[str, str], Any] = {}

    def note(event: automation.EngineEvent) -> None:
        step = event.resource_pre_event
        if step is not None and step.metadata.new is not None:
            made[step.metadata.type, step.metadata.urn.rpartition("::")[2]] = step.metadata.new.inputs

    project.stack.preview(on_event=note)
    service = made["kubernetes:core/v1:Service", "c-api"]["spec"]
    assert [port["nodePort"] for port in service["ports"]] == [31234]
    assert made["kubernetes:apps/v1:Deployment", "c-kubelet"]["spec"]["replicas"] == 2
    assert made["kubernetes:apps/v1:Deployment", "c-dns"]["spec"]["replicas"] == 2
    servers = made["kubernetes:apps/v1:StatefulSet", "c-server"]["spec"]["template"]["spec"]
    assert WIDE["tolerations"][0] in servers["tolerations"]
    assert servers["affinity"]["nodeAffinity"] == WIDE["affinity"]["nodeAffinity"]
    requests = [each["resources"].get("requests", {}) for each in servers["containers"]]
    assert {"cpu": "1", "memory": "600Mi"} in [{**each, "cpu": str(each.get("cpu"))} for each in requests]
    text = json.dumps([inputs for (kind, _), inputs in made.items() if "NetworkPolicy" in kind])
    assert all(cidr in text for cidr in WIDE["expose"]["sourceCidrs"])
    policy = json.loads(made["kubernetes:core/v1:ConfigMapPatch", "c-policy"]["data"]["policy.json"])
    assert policy["pods"]["volumeTypes"] == ["configMap", "secret"]
    assert policy["sync"]["toHost"]["ingresses"] == {"enabled": True, "hosts": ["*.team.example.com"]}


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (
            {"kubeletReplicas": 3, "expose": {"nodePort": 31234}},
            [
                "VirtualCluster 'c': 2 problems in the arguments:",
                "- kubeletReplicas: 3 must be 1 or 2",
                "- expose.nodePort: 31234 has no use with the type ClusterIP",
            ],
        ),
        (
            {"tolerations": [{"key": "a", "operatr": "Exists"}]},
            ["VirtualCluster 'c': tolerations[0].operatr: unknown"],
        ),
    ],
)
def test_a_bad_argument_is_told_in_lines(project: Project, args: dict[str, Any], lines: list[str]) -> None:
    project.write({"namespace": "team", "distribution": "kubernetes", **args})
    said = project.refusal()
    for line in lines:
        assert line in said
    assert "Traceback" not in said
    assert "exited prematurely" not in said


def test_a_policy_that_comes_as_an_output_refuses_in_the_preview(project: Project, host: Host) -> None:
    namespace = unique("l")
    host.kubectl("create", "namespace", namespace)
    try:
        args = {"namespace": namespace, "createNamespace": False, "egress": "all"}
        project.write(args, {"namespaces": [namespace], "egress": "none"})
        said = project.refusal()
        assert "egress: 'all' is more than VirtualClusterPolicy 'p' allows" in said
        assert "exited prematurely" not in said
    finally:
        host.kubectl("delete", "namespace", namespace)
