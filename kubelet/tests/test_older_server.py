"""A virtual API server that keeps less of a status than it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from k3k_kubelet.api import PODS

from kubelet.tests.clusters import Clusters
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-older-server")


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Clusters whose virtual API server drops observedGeneration, as those before 1.34 do."""
    flags = ["--feature-gates=PodObservedGenerationTracking=false"]
    both = Clusters(tmp_path_factory.mktemp("forgetful"), virtual_flags=flags)
    try:
        both.start()
        both.start_kubelet()
        yield both
    finally:
        both.stop()


def status_patches(clusters: Clusters) -> int:
    """Requests to patch a pod's status that the virtual API server has answered."""
    text = clusters.virtual.kubectl("get", "--raw", "/metrics")
    lines = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
    wanted = [
        line for line in lines if {'resource="pods"', 'subresource="status"', 'verb="PATCH"'} <= labels(line)
    ]
    return sum(int(line.rpartition(" ")[2]) for line in wanted)


def labels(line: str) -> set[str]:
    return set(re.findall(r'\w+="[^"]*"', line))


def test_what_the_server_does_not_keep_is_sent_once(forgetful: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("web")
        await world.running("web", "node-a")
        await world.report("web", {"observedGeneration": 1, "message": "seen"})
        pod = await world.until("web", lambda pod: pod["status"].get("message") == "seen")
        assert "observedGeneration" not in pod["status"]
        assert pod["metadata"]["generation"]
        before = status_patches(forgetful)
        # Each of these brings a round in which the status lacks the same.
        for number in range(5):
            label = {"metadata": {"labels": {"example.com/round": str(number)}}}
            await world.virtual.patch(PODS, world.namespace, "web", label)
            await world.until_host(
                PODS, "web", lambda pod, n=number: str(n) in pod["metadata"]["labels"].values()
            )
        await world.report("web", {"message": "news"})
        await world.until("web", lambda pod: pod["status"].get("message") == "news")
        assert status_patches(forgetful) - before == 1

    in_world(forgetful, test)
