"""The host's administrator drains a node: the virtual cluster's workloads move, as they do on any cluster."""

from __future__ import annotations

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import PREFIX, View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import deployment


def test_drain_moves_a_deployment(host: Host, cluster: View, inside: Kubectl) -> None:
    preference = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": [_hostname(node)]}}
                for node in _nodes(host)[:1]
            ]
        }
    }
    inside.apply(deployment("web", 3, affinity=preference))
    before = running(inside, "app=web", 3)
    drained = before[0]["spec"]["nodeName"]
    # Only this test's pods: the tests beside this one use the node as well.
    selector = f"{PREFIX}cluster={cluster.name},{PREFIX}namespace={inside.namespace}"
    try:
        host.kubectl("drain", drained, f"--pod-selector={selector}", "--timeout=90s", timeout=120)
        after = running(inside, "app=web", 3)
    finally:
        host.kubectl("uncordon", drained)
    assert drained not in {pod["spec"]["nodeName"] for pod in after}
    moved = {pod["metadata"]["uid"] for pod in before if pod["spec"]["nodeName"] == drained}
    assert moved
    assert not moved & {pod["metadata"]["uid"] for pod in after}
    inside("rollout", "status", "deployment/web", "--timeout=60s")


def _nodes(host: Host) -> list[str]:
    nodes = sorted(node["metadata"]["labels"]["kubernetes.io/hostname"] for node in host.kubectl.get("nodes"))
    assert len(nodes) >= 2, f"a drain needs a second node to move to; the host has {nodes}"
    return nodes


def _hostname(node: str) -> dict[str, object]:
    return {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
