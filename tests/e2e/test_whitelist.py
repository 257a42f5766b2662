"""What a tenant's pod may not be on the host: refused by name, inside, where the tenant looks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.support.clusters import View
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, pod
from tests.e2e.support.polling import eventually

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "host-path": (
        "spec.volumes[0].hostPath",
        pod("refused", volumes=[{"name": "host", "hostPath": {"path": "/etc"}}]),
    ),
    "host-network": ("spec.hostNetwork", pod("refused", hostNetwork=True)),
    "host-pid": ("spec.hostPID", pod("refused", hostPID=True)),
    "privileged": (
        "spec.containers[0].securityContext.privileged",
        pod("refused", container(securityContext={"privileged": True})),
    ),
    "capability": (
        "spec.containers[0].securityContext.capabilities.add",
        pod("refused", container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})),
    ),
    "host-port": (
        "spec.containers[0].ports[0].hostPort",
        pod("refused", container(ports=[{"containerPort": 80, "hostPort": 80}])),
    ),
    "foreign-volume": (
        "spec.volumes[0].nfs",
        pod("refused", volumes=[{"name": "files", "nfs": {"server": "192.0.2.9", "path": "/"}}]),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_pod_says_why(cluster: View, inside: Kubectl, case: str) -> None:
    path, refused = REFUSED[case]
    inside.create(refused)

    def warnings() -> list[str]:
        events = inside.get("events", "--field-selector=involvedObject.name=refused,type=Warning")
        return [event["message"] for event in events if path in event["message"]]

    eventually(warnings)
    assert inside.get("pod", "refused")["status"]["phase"] == "Pending"
    assert not cluster.host_pods(namespace=inside.namespace)
    inside("delete", "pod", "refused", "--timeout=30s")
