"""The host's administrator drains a node: the virtual cluster's workloads move, as they do on any cluster."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import PREFIX, View, both, running, state
from tests.e2e.support.kubectl import Kubectl, KubectlError
from tests.e2e.support.objects import deployment
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.usefixtures("a_node_less")


def test_drain_moves_a_deployment(host: Host, cluster: View, inside: Kubectl) -> None:
    inside.apply(deployment("web", 3, affinity=_preferring(_nodes(host)[0])))
    before = running(inside, "app=web", 3)
    drained = before[0]["spec"]["nodeName"]
    try:
        after = eventually(lambda: _drained(host, drained, cluster, inside))
    finally:
        host.kubectl("uncordon", drained)
    moved = {pod["metadata"]["uid"] for pod in before if pod["spec"]["nodeName"] == drained}
    assert moved
    assert not moved & {pod["metadata"]["uid"] for pod in after}
    inside("rollout", "status", "deployment/web", "--timeout=240s")


@both
def test_a_drain_keeps_to_the_budgets_inside(host: Host, cluster: View, inside: Kubectl) -> None:
    inside.apply(deployment("web", 3, affinity=_preferring(_nodes(host)[0])))
    # A share of a scale that the host does not know.
    inside("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=100%")
    drained = running(inside, "app=web", 3)[0]["spec"]["nodeName"]
    selector = f"{PREFIX}cluster={cluster.name},{PREFIX}namespace={inside.namespace}"

    def budget() -> Any:
        copies = cluster.workloads.get("poddisruptionbudgets", "-l", selector)
        assert len(copies) == 1, copies
        return copies[0]

    def needed() -> int:
        copy = budget()
        assert copy["status"].get("currentHealthy") == 3, copy
        return int(copy["spec"]["minAvailable"])

    def allows_one() -> bool:
        return bool(budget()["status"].get("disruptionsAllowed") == 1)

    def ready() -> int:
        """On the host, where they serve: inside the end of one may show before the start of another."""
        copies = cluster.host_pods(namespace=inside.namespace).values()
        return sum(state(copy) == "Ready" for copy in copies)

    def refused() -> bool:
        with pytest.raises(KubectlError) as caught:
            _drain(host, drained, cluster, inside, seconds=10)
        # Where not even the first answer came in that time, it says just that the time is over.
        assert "disruption budget" in str(caught.value)
        return True

    eventually(lambda: needed() == 3)
    try:
        eventually(refused)
        assert ready() == 3
        one_less = {"spec": {"minAvailable": None, "maxUnavailable": 1}}
        inside("patch", "poddisruptionbudget", "web", "--type=merge", "-p", json.dumps(one_less))
        eventually(allows_one)
        with ThreadPoolExecutor(1) as pool:
            drain = pool.submit(_drain, host, drained, cluster, inside)
            seen = {ready()}
            while not drain.done():
                seen.add(ready())
            drain.result()

        def settled() -> list[Any]:
            seen.add(ready())
            return _moved(inside, drained)

        eventually(settled, interval=0.0)
    finally:
        host.kubectl("uncordon", drained)
    assert min(seen) == 2, seen
    inside("delete", "poddisruptionbudget", "web")
    eventually(lambda: not cluster.workloads.get("poddisruptionbudgets", "-l", selector))


def _moved(inside: Kubectl, drained: str) -> list[Any]:
    """The three pods, ready elsewhere: inside they go a moment after their copies, so the first three may be
    there still when the drain is over."""
    pods: list[Any] = inside.get("pods", "-l", "app=web")
    found = [(state(pod), pod["spec"].get("nodeName")) for pod in pods]
    assert len(found) == 3, found
    assert {state for state, _ in found} == {"Ready"}, found
    assert drained not in {node for _, node in found}, found
    return pods


def _drained(host: Host, node: str, cluster: View, inside: Kubectl) -> list[Any]:
    """The three pods, once a drain has moved them: the next one moves what the host's scheduler has put there
    before it learned that the node takes no more."""
    _drain(host, node, cluster, inside)
    return _moved(inside, node)


def _drain(host: Host, node: str, cluster: View, inside: Kubectl, seconds: int = 240) -> None:
    """Drains a node of the pods of one namespace inside: the tests beside this one use the node as well."""
    selector = f"{PREFIX}cluster={cluster.name},{PREFIX}namespace={inside.namespace}"
    timeout = f"--timeout={seconds}s"
    host.kubectl("drain", node, f"--pod-selector={selector}", timeout)


def _preferring(node: str) -> dict[str, object]:
    """Affinity of pods that are to be together."""
    preference = {"weight": 100, "preference": {"matchExpressions": [_hostname(node)]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}


def _nodes(host: Host) -> list[str]:
    nodes = sorted(node["metadata"]["labels"]["kubernetes.io/hostname"] for node in host.kubectl.get("nodes"))
    assert len(nodes) >= 2, f"a drain needs a second node to move to; the host has {nodes}"
    return nodes


def _hostname(node: str) -> dict[str, object]:
    return {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
