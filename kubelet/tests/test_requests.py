"""How many requests a pod's start takes: each costs an API server CPU, of which a burst leaves none."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from kubelet.tests.clusters import ADDRESS, Clusters, started
from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world, running_status

_LINE = re.compile(r"^(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_CHANGES = ("POST", "PUT", "PATCH", "DELETE")
_OURS = ("pods", "pods/status", "pods/binding", "secrets")
COUNT = 4
Counts = tuple[Counter[str], Counter[str], Counter[str]]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Clusters in which nothing of another test is tried again meanwhile."""
    with started(tmp_path_factory.mktemp("quiet")) as both:
        yield both


def series(text: str, name: str) -> Iterator[tuple[dict[str, str], int]]:
    """Labels and value of each series of a metric in Prometheus' text format."""
    for line in _LINE.finditer(text):
        if line["name"] == name:
            yield dict(_LABEL.findall(line["labels"])), int(float(line["value"]))


def writes(plane: ControlPlane) -> Counter[str]:
    """Answers of an API server so far to what changes pods and Secrets, such as `PATCH pods/status`."""
    found: Counter[str] = Counter()
    for labels, value in series(plane.kubectl("get", "--raw", "/metrics"), "apiserver_request_total"):
        what = "/".join(filter(None, (labels["resource"], labels["subresource"])))
        if labels["verb"] in _CHANGES and what in _OURS:
            found[f"{labels['verb']} {what}"] += value
    return found


def posts(clusters: Clusters) -> Counter[str]:
    """POSTs of the kubelet so far, by API server."""
    found: Counter[str] = Counter()
    with urllib.request.urlopen(f"http://{ADDRESS}:{clusters.health_port}/metrics", timeout=10) as answer:
        for labels, value in series(answer.read().decode(), "rest_client_requests_total"):
            if labels["method"] == "POST":
                found[labels["api"]] += value
    return found


def counts(clusters: Clusters) -> Counts:
    """What the host and the virtual cluster have answered so far, and what the kubelet has asked for."""
    return writes(clusters.host), writes(clusters.virtual), posts(clusters)


def fewest(starts: list[Counter[str]]) -> dict[str, int]:
    """Requests of the cheapest start. A watch that is behind costs one more, now and then."""
    found = {what: min(start[what] for start in starts) for what in set().union(*starts)}
    return {what: count for what, count in found.items() if count}  # nothing that only others have


HOST = {
    "POST pods": 1,
    "POST secrets": 1,
    "POST pods/binding": 1,  # the test as scheduler
    "PATCH pods/status": 2,  # the test as kubelet
}
VIRTUAL = {
    "POST pods": 1,  # the test as tenant
    "POST pods/binding": 1,
    "PATCH pods/status": 2,
}
OURS = {"host": 2, "virtual": 2}  # Secret and pod; token and binding


async def counted(clusters: Clusters, before: Counts) -> Counts:
    """The counts after a start, with all of it: an API server counts a request after its answer."""

    def found() -> Counts | None:
        now = counts(clusters)
        each = zip(now, before, (HOST, VIRTUAL, OURS), strict=True)
        return now if all(after - then >= Counter(least) for after, then, least in each) else None

    now = await eventually(found)
    assert now is not None
    return now


def test_a_pods_start_takes_four_creations_and_a_patch_for_each_status(quiet: Clusters) -> None:
    clusters = quiet

    async def test(world: World) -> None:
        await world.pod("first", automountServiceAccountToken=True)  # brings the Node and the copies
        await world.running("first", "node-a")
        told = [counts(clusters)]
        for name in [f"pod-{number}" for number in range(COUNT)]:
            await world.pod(name, automountServiceAccountToken=True)
            await world.schedule(name, "node-a")
            starting = running_status() | {"phase": "Pending", "containerStatuses": []}
            await world.report(name, starting)
            await world.until(name, lambda pod: pod["status"].get("startTime"))
            await world.report(name, running_status())
            await world.until(name, lambda pod: pod["status"]["phase"] == "Running")
            told.append(await counted(clusters, told[-1]))
        starts = [
            [now - then for now, then in zip(after, before, strict=True)] for before, after in pairwise(told)
        ]
        host, virtual, ours = (fewest(list(each)) for each in zip(*starts, strict=True))
        assert host == HOST
        assert virtual == VIRTUAL
        assert ours == OURS

    in_world(clusters, test)
