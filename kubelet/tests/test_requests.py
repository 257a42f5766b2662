"""How many requests a pod's start takes: each costs an API server CPU, of which a burst leaves none."""

from __future__ import annotations

import re
from collections import Counter

from k3k_kubelet.api import NODES

from kubelet.tests.clusters import Clusters
from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.world import World, in_world, running_status

_LINE = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
COUNT = 4


def writes(plane: ControlPlane) -> Counter[str]:
    """Requests answered so far that change pods, Secrets and tokens, such as `PATCH pods/status`."""
    found: Counter[str] = Counter()
    for line in _LINE.finditer(plane.kubectl("get", "--raw", "/metrics")):
        labels = dict(_LABEL.findall(line["labels"]))
        what = "/".join(filter(None, (labels["resource"], labels["subresource"])))
        if labels["verb"] in ("POST", "PUT", "PATCH", "DELETE") and what in (
            *("pods", "pods/status", "pods/binding", "secrets", "serviceaccounts/token"),
        ):
            found[f"{labels['verb']} {what}"] += int(float(line["count"]))
    return found


def test_a_pods_start_takes_five_writes_and_a_patch_for_each_status(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("first", automountServiceAccountToken=True)  # brings the Node and the copies
        await world.running("first", "node-a")
        assert await world.virtual.get(NODES, None, "node-a")
        inside, host = writes(clusters.virtual), writes(clusters.host)

        names = [f"pod-{number}" for number in range(COUNT)]
        for name in names:
            await world.pod(name, automountServiceAccountToken=True)
            await world.schedule(name, "node-a")
            starting = running_status() | {"phase": "Pending", "containerStatuses": []}
            await world.report(name, starting)
            await world.until(name, lambda pod: pod["status"].get("startTime"))
            await world.report(name, running_status())
            await world.until(name, lambda pod: pod["status"]["phase"] == "Running")
        assert {name: number / COUNT for name, number in (writes(clusters.host) - host).items()} == {
            "POST pods": 1,
            "POST secrets": 1,
            "POST pods/binding": 1,  # the test as scheduler
            "PATCH pods/status": 2,  # the test as kubelet
        }
        assert {name: number / COUNT for name, number in (writes(clusters.virtual) - inside).items()} == {
            "POST pods": 1,  # the test as tenant
            "POST serviceaccounts/token": 1,
            "POST pods/binding": 1,
            "PATCH pods/status": 2,
        }

    in_world(clusters, test)
