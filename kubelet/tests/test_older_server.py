"""A virtual API server that keeps less of a status than it is sent, and one that knows more than the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from k3k_kubelet.api import EVENTS, PODS

from kubelet.tests.clusters import Clusters, started
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-older-server")


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Clusters whose virtual API server drops observedGeneration, as those before 1.34 do.

    And that knows image volumes, which the host's does not without the feature gate.
    """
    flags = ["--feature-gates=PodObservedGenerationTracking=false,ImageVolume=true"]
    with started(tmp_path_factory.mktemp("forgetful"), virtual_flags=flags) as both:
        yield both


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


def test_what_the_host_leaves_out_of_a_pod_is_told(forgetful: Clusters) -> None:
    async def test(world: World) -> None:
        volumes = [{"name": "data", "emptyDir": {}}, {"name": "files", "image": {"reference": "x"}}]
        mounts = [{"name": "files", "mountPath": "/files"}, {"name": "data", "mountPath": "/data"}]
        pod = await world.pod("user", volumes=volumes, container={"volumeMounts": mounts})
        assert pod["spec"]["volumes"][1]["image"]["reference"] == "x"
        host = await world.host_pod("user")
        assert [each["name"] for each in host["spec"]["volumes"]] == ["data"]

        async def told() -> set[str]:
            query = {"fieldSelector": "involvedObject.name=user,reason=FieldDropped"}
            found = await world.virtual.list_all(EVENTS, world.namespace, query=query)
            return {event["message"] for event in found}

        why = "the host's Kubernetes does not know it, or has its feature gate off"
        expected = {f"{path}: {why}" for path in ("spec.volumes[1]", "spec.containers[0].volumeMounts[0]")}

        async def all_told() -> bool:
            return await told() == expected

        await eventually(all_told)

    in_world(forgetful, test)
