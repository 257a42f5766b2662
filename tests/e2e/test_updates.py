"""Running pods that are changed: new images and labels, debug containers, resizes, readiness gates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.e2e.support.clusters import View, both, identity, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import AGNHOST, BUSYBOX, container, deployment, pod, shell
from tests.e2e.support.polling import eventually

GATE = "example.com/registered"
DEBUG = ("debug", "web", "--quiet", f"--image={BUSYBOX}", "--target=main", "--image-pull-policy=IfNotPresent")


def condition(found: Any, kind: str) -> dict[str, Any]:
    """A condition of a pod, `{}` if it has none of that type."""
    conditions = found["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def patch(kubectl: Kubectl, name: str, change: Mapping[str, Any], subresource: str) -> None:
    """A strategic merge patch of a pod's subresource."""
    kubectl("patch", "pod", name, f"--subresource={subresource}", "-p", json.dumps(change))


@both
def test_image_and_labels_change_on_the_same_pod(cluster: View, inside: Kubectl) -> None:
    names = {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}}
    inside.apply(pod("web", container(env=[names]), labels={"app": "web", "tier": "silver"}))
    (before,) = running(inside, "app=web", 1)
    copy = cluster.host_pods(namespace=inside.namespace)["web"]

    inside("label", "pod", "web", "tier=gold", "--overwrite")
    inside("set", "image", "pod/web", f"main={AGNHOST}")

    def restarted() -> Any:
        (status,) = inside.get("pod", "web")["status"]["containerStatuses"]
        return status["restartCount"] == 1 and status["ready"] and status["image"] == AGNHOST

    eventually(restarted)
    after = inside.get("pod", "web")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    now = cluster.host_pods(namespace=inside.namespace)["web"]
    assert now["metadata"]["uid"] == copy["metadata"]["uid"]
    assert "gold" in now["metadata"]["labels"].values()
    assert inside.exec("web", ["sh", "-c", "echo $TIER; test -x /agnhost"]).stdout == b"gold\n"


def test_debug_container_sees_the_container_it_is_for(inside: Kubectl) -> None:
    inside.apply(pod("web", shell("exec sleep 4242")))
    (before,) = running(inside, "app=web", 1)
    # It goes on as soon as its own name shows that the process list is the other container's.
    script = "until ps | grep 'sleep 424[2]'; do sleep 0.1; done"
    inside(*DEBUG, "--container=look", "--profile=baseline", "--", "sh", "-c", script)
    eventually(lambda: "sleep 4242" in inside("logs", "web", "-c", "look"))

    def shown() -> list[str]:  # the node gives logs out before the host knows that the container runs
        statuses = inside.get("pod", "web")["status"].get("ephemeralContainerStatuses", [])
        return [each["name"] for each in statuses]

    assert eventually(shown) == ["look"]
    assert identity(inside.get("pod", "web")) == identity(before)


def test_debug_container_that_is_refused_says_why(inside: Kubectl) -> None:
    """The default profile of kubectl asks for SYS_PTRACE, which Pod Security's baseline does not have."""
    inside.apply(pod("web"))
    running(inside, "app=web", 1)
    inside(*DEBUG, "--container=tracer", "--profile=general", "--", "sh")
    path = "spec.ephemeralContainers[0].securityContext.capabilities.add[0]"

    def told() -> bool:
        statuses = inside.get("pod", "web")["status"].get("ephemeralContainerStatuses", [])
        return any(path in each["state"].get("waiting", {}).get("message", "") for each in statuses)

    eventually(told)
    selector = "involvedObject.name=web,reason=EphemeralContainerRefused"
    event = eventually(lambda: inside.get("events", f"--field-selector={selector}"))[0]
    assert path in event["message"]
    inside(*DEBUG, "--container=shell", "--profile=baseline", "--", "echo", "made it")
    eventually(lambda: "made it" in inside("logs", "web", "-c", "shell"))


def test_resize_in_place(cluster: View, inside: Kubectl) -> None:
    small = {"cpu": "20m", "memory": "32Mi"}
    inside.apply(pod("web", container(resources={"requests": small, "limits": {"cpu": "100m"}})))
    (before,) = running(inside, "app=web", 1)

    def resize(cpu: str) -> None:
        change = {"name": "main", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}
        patch(inside, "web", {"spec": {"containers": [change]}}, "resize")

    resize("60m")

    def resized() -> bool:
        found = inside.get("pod", "web")
        (status,) = found["status"]["containerStatuses"]
        done = found["status"].get("observedGeneration") == found["metadata"]["generation"]
        return done and status["resources"]["limits"] == {"cpu": "60m"}

    eventually(resized)
    assert identity(inside.get("pod", "web")) == identity(before)
    copy = cluster.host_pods(namespace=inside.namespace)["web"]
    assert copy["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "60m"
    (status,) = copy["status"]["containerStatuses"]
    assert (
        status["allocatedResources"]
        == inside.get("pod", "web")["status"]["containerStatuses"][0]["allocatedResources"]
    )

    resize("999")

    def infeasible() -> Any:  # which generation that is about is known when the copy's note is written
        found = inside.get("pod", "web")
        pending = condition(found, "PodResizePending")
        assert (pending.get("status"), pending.get("reason")) == ("True", "Infeasible")
        assert "Node didn't have enough" in pending["message"]
        assert pending.get("observedGeneration") == found["metadata"]["generation"]
        return found

    assert identity(eventually(infeasible)) == identity(before)

    resize("50m")
    eventually(lambda: not condition(inside.get("pod", "web"), "PodResizePending"))


@both
def test_readiness_gate_inside_counts_on_both_sides(
    cluster: View, inside: Kubectl, distribution: str
) -> None:
    del distribution
    inside.apply(deployment("web", 1, readinessGates=[{"conditionType": GATE}]))
    contained = eventually(
        lambda: [p for p in inside.get("pods") if condition(p, "ContainersReady").get("status") == "True"]
    )[0]
    name = contained["metadata"]["name"]
    unready = condition(contained, "Ready")
    assert (unready["status"], unready["reason"]) == ("False", "ReadinessGatesNotReady")
    host_name = cluster.host_pods(namespace=inside.namespace)[name]["metadata"]["name"]
    service = f"gate-{inside.namespace}"
    endpoints = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service},
        "spec": {
            "selector": {
                "labels.k3k-pulumi.io/app": "web",
                "k3k-pulumi.io/namespace": inside.namespace,
            },
            "ports": [{"port": 80}],
        },
    }
    cluster.workloads.apply(endpoints)

    def ready_on_host() -> bool | None:
        selector = f"kubernetes.io/service-name={service}"
        slices = cluster.workloads.get("endpointslices", "-l", selector)
        known = [each for found in slices for each in found["endpoints"] or ()]
        mine = [each for each in known if each["targetRef"]["name"] == host_name]
        return mine[0]["conditions"]["ready"] if mine else None

    try:
        eventually(lambda: ready_on_host() is False)
        patch(inside, name, {"status": {"conditions": [{"type": GATE, "status": "True"}]}}, "status")
        inside("rollout", "status", "deployment/web", "--timeout=120s")
        eventually(ready_on_host)
    finally:
        cluster.workloads("delete", "service", service)


def test_debug_container_of_the_hosts_administrator_is_not_the_tenants(
    cluster: View, inside: Kubectl
) -> None:
    """Nor is an injected sidecar: a container that the tenant adds under its name does not open it to him."""
    inside.apply(pod("web"))
    running(inside, "app=web", 1)
    host_name = cluster.host_pods(namespace=inside.namespace)["web"]["metadata"]["name"]
    secret = "echo of the administrator; exec sleep 4242"
    debug = ("debug", host_name, "--quiet", f"--image={BUSYBOX}", "--image-pull-policy=IfNotPresent")
    cluster.workloads(*debug, "--container=helper", "--profile=baseline", "--", "sh", "-c", secret)
    eventually(lambda: "of the administrator" in cluster.workloads("logs", host_name, "-c", "helper"))
    assert "ephemeralContainerStatuses" not in inside.get("pod", "web")["status"]

    inside(*DEBUG, "--container=helper", "--profile=baseline", "--", "sh")
    selector = "involvedObject.name=web,reason=EphemeralContainerRefused"
    eventually(lambda: inside.get("events", f"--field-selector={selector}"))
    assert inside.exec("web", ["true"]).returncode == 0
    entered = inside.exec("web", ["true"], container="helper")
    assert entered.returncode != 0
    read = inside.run("logs", "web", "-c", "helper")
    assert b"administrator" not in read.stdout
    assert read.returncode != 0
    statuses = eventually(lambda: inside.get("pod", "web")["status"].get("ephemeralContainerStatuses"))
    assert [each["state"]["waiting"]["reason"] for each in statuses] == ["EphemeralContainerRefused"]
