"""Pods that have to make room: evicted inside under a budget, preempted on the host."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl, KubectlError
from tests.e2e.support.objects import container, deployment, pod, shell
from tests.e2e.support.polling import eventually

HELD = "example.com/held"
# Says when it would hear a signal: the kernel keeps from a container's first process what it does not handle.
POLITE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.2; done"


def evict(kubectl: Kubectl, name: str, version: str) -> None:
    """What `kubectl drain` inside asks for.

    Raises:
        KubectlError: a disruption budget does not allow it now.
    """
    body = {"apiVersion": f"policy/{version}", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{name}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body).encode())


@both
def test_evictions_inside_keep_to_the_budgets_inside(
    cluster: View, inside: Kubectl, distribution: str
) -> None:
    version = "v1" if distribution == "kubernetes" else "v1beta1"  # K3s 1.21 is at hand
    inside.apply(deployment("db", 2))
    first, _ = sorted(each["metadata"]["name"] for each in running(inside, "app=db", 2))
    inside("create", "poddisruptionbudget", "db", "--selector=app=db", "--min-available=2")
    eventually(lambda: inside.get("poddisruptionbudget", "db")["status"].get("currentHealthy") == 2)
    with pytest.raises(KubectlError, match="disruption budget"):
        evict(inside, first, version)
    copies = cluster.host_pods(namespace=inside.namespace)
    assert "deletionTimestamp" not in copies[first]["metadata"]

    inside("scale", "deployment/db", "--replicas=3")
    running(inside, "app=db", 3)
    eventually(lambda: inside.get("poddisruptionbudget", "db")["status"]["disruptionsAllowed"] == 1)
    evict(inside, first, version)
    after = {each["metadata"]["name"] for each in running(inside, "app=db", 3)}
    assert first not in after
    eventually(lambda: first not in cluster.host_pods(namespace=inside.namespace))


@pytest.fixture
def scarce(host: Host) -> Iterator[str]:
    """An extended resource of which one node of the host has a single unit."""
    name = f"example.com/scarce-{secrets.token_hex(4)}"
    node = min(each["metadata"]["name"] for each in host.kubectl.get("nodes"))
    path = f"/status/capacity/{name.replace('/', '~1')}"

    def patch(operation: dict[str, str]) -> None:
        host.kubectl(
            *("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps([operation]))
        )

    patch({"op": "add", "path": path, "value": "1"})
    yield name
    patch({"op": "remove", "path": path})


@pytest.fixture
def priority(host: Host) -> Iterator[str]:
    """A PriorityClass of the host that is above the tenants' pods."""
    name = f"above-{secrets.token_hex(4)}"
    host.kubectl("create", "priorityclass", name, "--value=1000000")
    yield name
    host.kubectl("delete", "priorityclass", name)


@pytest.mark.usefixtures("every_node")
def test_preemption_on_the_host(inside: Kubectl, namespace: Kubectl, scarce: str, priority: str) -> None:
    """The tenant's pod goes gracefully and says why; its controller makes another one, which waits."""
    limits = {"limits": {scarce: "1"}}
    inside.apply(deployment("low", 1, shell(POLITE, resources=limits), terminationGracePeriodSeconds=60))
    (victim,) = running(inside, "app=low", 1)
    name = victim["metadata"]["name"]
    eventually(lambda: inside("logs", name) == "up\n")
    # Held, so that its last status can be read.
    inside("patch", "pod", name, "-p", json.dumps({"metadata": {"finalizers": [HELD]}}))
    high = pod("high", container(resources=limits), priorityClassName=priority)
    eventually(lambda: (namespace.apply(high), True))  # the API server learns of its class by a watch

    def gone() -> dict[str, object]:
        found = inside.get("pod", name)
        ended = found["metadata"].get("deletionTimestamp") and found["status"]["phase"] != "Running"
        assert ended, (found["metadata"], found["status"])
        return dict(found)

    last = eventually(gone)
    conditions = {each["type"]: each for each in last["status"]["conditions"]}  # type: ignore[index]
    assert conditions["DisruptionTarget"]["reason"] == "PreemptionByScheduler"
    (status,) = last["status"]["containerStatuses"]  # type: ignore[index]
    assert status["state"]["terminated"]["exitCode"] == 0, "killed rather than asked to end"
    inside("patch", "pod", name, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))

    running(namespace, "app=high", 1)

    def waits() -> bool:
        pods = [each for each in inside.get("pods") if each["metadata"]["name"] != name]
        found = [
            each
            for each in pods
            for condition in each["status"].get("conditions", [])
            if (condition["type"], condition["status"]) == ("PodScheduled", "False")
        ]
        return len(pods) == 1 and len(found) == 1

    eventually(waits)
    namespace("delete", "pod", "high")
    running(inside, "app=low", 1)
