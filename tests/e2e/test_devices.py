"""Devices of the host's nodes, by a real device plugin: pods get them, Nodes show them, quotas count them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import MakeCluster
from tests.e2e.support.clusters import running
from tests.e2e.support.device_plugin import VARIABLE
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, pod, shell
from tests.e2e.support.polling import eventually

TOLD = f"echo ${VARIABLE}; for each in $(echo ${VARIABLE} | tr , ' '); do test -c /dev/$each || exit 1; done"
"""Says which devices a container has; fails without their files."""


def quota(gpus: str, amount: int) -> dict[str, Any]:
    """A quota of the host's for the devices."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "devices"},
        "spec": {"hard": {f"requests.{gpus}": str(amount)}},
    }


def devices(inside: Kubectl, name: str, part: str) -> list[str]:
    """The devices that a running container has."""
    answer = inside.exec(name, ["sh", "-c", TOLD], container=part)
    assert answer.returncode == 0, answer
    return answer.stdout.decode().strip().split(",")


@pytest.mark.usefixtures("every_node")
def test_devices_reach_pods_inside_as_far_as_the_quota_goes(make_cluster: MakeCluster, gpus: str) -> None:
    """Two nodes have two devices each; no other test asks for any."""
    view = make_cluster(node_capacity={"extended_resources": {"example.com/fpga": 1}})
    inside, workloads = view.inside, view.workloads
    workloads.apply(quota(gpus, 3))
    four = pod("four", container(resources={"limits": {gpus: "4"}}))

    def quota_holds() -> bool:  # the API server learns of it by another watch than who writes its status
        answer = workloads.dry_run(four)
        assert b"exceeded quota: devices" in answer.stderr, answer
        return True

    eventually(quota_holds)

    one = {"resources": {"limits": {gpus: "1"}, "requests": {"cpu": "10m"}}}
    both = pod(
        "both",
        container(**one),
        initContainers=[
            shell(TOLD, name="init", **one),
            container(name="sidecar", restartPolicy="Always", **one),
        ],
    )
    inside.apply(both, pod("alone", container(**one)))
    running(inside, "app in (both,alone)", 2)
    used = [*devices(inside, "both", "main"), *devices(inside, "both", "sidecar")]
    assert sorted(used) == ["gpu-0", "gpu-1"]
    assert inside("logs", "both", "-c", "init").strip() in used
    assert len(devices(inside, "alone", "main")) == 1
    copies = view.host_pods(namespace="default")
    assert copies["both"]["spec"]["containers"][0]["resources"]["requests"][gpus] == "1"
    assert workloads.get("resourcequota", "devices")["status"]["used"] == {f"requests.{gpus}": "3"}
    shown = {gpus: "3", "example.com/fpga": "1"}  # what the quota lets the cluster have, and what is said

    def nodes_show_them() -> bool:
        found = [node["status"][kind] for node in inside.get("nodes") for kind in ("capacity", "allocatable")]
        assert found
        return all(each.items() >= shown.items() for each in found)

    eventually(nodes_show_them)

    resized = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "20m"}}}]}}
    inside("patch", "pod", "alone", "--subresource=resize", "--patch", json.dumps(resized))

    def given() -> dict[str, Any]:
        found: dict[str, Any] = view.host_pods(namespace="default")["alone"]["spec"]["containers"][0]
        return dict(found["resources"]["requests"])

    eventually(lambda: given() == {"cpu": "20m", gpus: "1"})

    inside.apply(pod("more", container(**one)))

    resource = f"requests.{gpus}"
    refusal = (
        f'pods "more" is forbidden: exceeded quota: devices, requested: {resource}=1, used: {resource}=3, '
        f"limited: {resource}=3"
    )

    def told() -> bool:
        events = inside.get("events", "--field-selector=involvedObject.name=more,reason=HostPodFailedCreate")
        said = [each["message"] for each in events]
        assert refusal in said, said
        return True

    eventually(told)
    assert "more" not in view.host_pods(namespace="default")
    workloads.apply(quota(gpus, 4))
    running(inside, "app=more", 1)
    assert len(devices(inside, "more", "main")) == 1
