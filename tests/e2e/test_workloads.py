"""Workloads inside a virtual cluster run on the host's nodes, and both sides tell the same of them."""

from __future__ import annotations

import pytest

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, deployment, pod, shell
from tests.e2e.support.polling import eventually

SPREAD = [
    {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
]


@both
@pytest.mark.usefixtures("every_node")
def test_deployment_spread_over_nodes(cluster: View, inside: Kubectl) -> None:
    inside.apply(deployment("web", 3, topologySpreadConstraints=SPREAD))
    inside("rollout", "status", "deployment/web", "--timeout=180s")
    pods = running(inside, "app=web", 3)

    def agreed() -> bool:  # what the host says next is told inside a moment later
        copies = cluster.host_pods(namespace=inside.namespace)
        assert {pod["metadata"]["name"] for pod in pods} == set(copies)
        for virtual in inside.get("pods", "-l", "app=web"):
            copy = copies[virtual["metadata"]["name"]]
            assert copy["status"]["phase"] == virtual["status"]["phase"] == "Running"
            assert virtual["spec"]["nodeName"] == copy["spec"]["nodeName"]
            for field in ("podIP", "podIPs", "hostIP", "startTime"):
                assert virtual["status"][field] == copy["status"][field], field
            (seen,), (real,) = virtual["status"]["containerStatuses"], copy["status"]["containerStatuses"]
            assert seen == {key: real.get(key) for key in seen}  # an older virtual cluster knows fewer fields
            assert copy["metadata"]["annotations"]["k3k-pulumi.io/uid"] == virtual["metadata"]["uid"]
        return True

    eventually(agreed)
    used = {virtual["spec"]["nodeName"] for virtual in pods}
    assert len(used) == 2, f"three pods with maxSkew 1 on nodes {used}"
    for node in used:
        conditions = {
            entry["type"]: entry["status"] for entry in inside.get("node", node)["status"]["conditions"]
        }
        assert conditions["Ready"] == "True"


def test_scaling_and_rollout_reach_the_host(cluster: View, inside: Kubectl) -> None:
    inside.apply(deployment("web", 2, container(env=[{"name": "RELEASE", "value": "1"}])))
    before = {pod["metadata"]["uid"] for pod in running(inside, "app=web", 2)}

    inside.apply(deployment("web", 2, container(env=[{"name": "RELEASE", "value": "2"}])))
    inside("rollout", "status", "deployment/web", "--timeout=180s")
    after = running(inside, "app=web", 2)
    assert not before & {pod["metadata"]["uid"] for pod in after}
    for copy in cluster.host_pods(namespace=inside.namespace).values():
        if "deletionTimestamp" not in copy["metadata"]:
            environment = {
                entry["name"]: entry.get("value") for entry in copy["spec"]["containers"][0]["env"]
            }
            assert environment["RELEASE"] == "2"

    inside("scale", "deployment/web", "--replicas=0")
    eventually(lambda: not cluster.host_pods(namespace=inside.namespace))
    eventually(lambda: not inside.get("pods"))  # a moment after their copies


def test_init_containers_sidecar_and_probes(inside: Kubectl) -> None:
    """An init container, a native sidecar, and a readiness probe that fails until told otherwise."""
    shared = {"name": "shared", "mountPath": "/shared"}
    inside.apply(
        pod(
            "many",
            container(
                volumeMounts=[shared],
                readinessProbe={
                    "exec": {"command": ["test", "-e", "/shared/ready"]},
                    "periodSeconds": 1,
                    "timeoutSeconds": 10,  # a busy machine needs more than one second to start a program
                },
            ),
            initContainers=[
                shell("echo made by init > /shared/file", name="first", volumeMounts=[shared]),
                container(name="sidecar", restartPolicy="Always", volumeMounts=[shared]),
            ],
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
    )
    inside("wait", "pod/many", "--for=jsonpath={.status.phase}=Running", "--timeout=120s")
    status = inside.get("pod", "many")["status"]
    assert {entry["name"]: entry["started"] for entry in status["initContainerStatuses"]} == {
        "first": False,
        "sidecar": True,
    }
    assert next(entry for entry in status["conditions"] if entry["type"] == "Ready")["status"] == "False"

    made = inside.exec("many", ["cat", "/shared/file"], container="sidecar")
    assert made.stdout == b"made by init\n"
    assert inside.exec("many", ["touch", "/shared/ready"]).returncode == 0
    inside("wait", "pod/many", "--for=condition=Ready", "--timeout=120s")


def test_image_that_cannot_be_had_shows_inside(inside: Kubectl) -> None:
    image = "registry.invalid/nothing:1"
    inside.apply(pod("broken", container(image=image)))

    def reason() -> str:
        statuses = inside.get("pod", "broken")["status"].get("containerStatuses", [])
        return str([status["state"].get("waiting", {}).get("reason") for status in statuses])

    eventually(lambda: reason() in ("['ErrImagePull']", "['ImagePullBackOff']"))

    def complaints() -> list[str]:
        events = inside.get("events", "--field-selector=involvedObject.name=broken")
        return [event["message"] for event in events if image in event["message"]]

    eventually(complaints)
