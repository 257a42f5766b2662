"""What is said of a cluster that is not ready: of its own objects alone, and no more than text."""

from __future__ import annotations

import pytest

from k3k_pulumi import host as direct_host
from k3k_pulumi.manifests.objects import CLUSTER
from k3k_pulumi.reasons import explain
from tests.unit.direct.conftest import Host

pytestmark = pytest.mark.xdist_group("direct")  # one API server for all of them


def warn(host: Host, namespace: str, name: str, kind: str, about: str, message: str) -> None:
    involved = {"kind": kind, "namespace": namespace, "name": about}
    body = {"metadata": {"name": name}, "type": "Warning", "reason": "FailedCreate", "message": message}
    host.api("POST", f"/api/v1/namespaces/{namespace}/events", {**body, "involvedObject": involved})


def test_others_are_not_heard_and_what_is_said_does_nothing(host: Host) -> None:
    here = host.namespace("reasons")
    labels = {CLUSTER: "c"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    spec = {"replicas": 1, "serviceName": "c", "selector": {"matchLabels": labels}, "template": template}
    servers = {"metadata": {"name": "c-server", "labels": labels}, "spec": spec}
    host.api("POST", f"/apis/apps/v1/namespaces/{here}/statefulsets", servers)
    warn(host, here, "one", "StatefulSet", "c-server", "exceeded quota\n\x1b[2Jerror: ##vso[task.complete]")
    warn(host, here, "two", "Pod", "c-server-0-of-a-tenant", "I am the cause")
    connected = direct_host.Host.connect(host.admin)
    try:
        told = explain(connected, here, "c")
    finally:
        connected.close()
    said = r"FailedCreate: exceeded quota \x1b[2Jerror: # #vso[task.complete]"
    assert f"  StatefulSet c-server: {said}" in told.splitlines()
    assert "tenant" not in told
    assert all(line.isprintable() for line in told.splitlines())
