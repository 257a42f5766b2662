"""Pods that ask for devices by ResourceClaims: those of the host that the policy names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubelet.tests.clusters import Clusters
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

CLAIM = {"name": "gpu", "resourceClaimName": "shared-gpu"}
TEMPLATE = {"name": "own", "resourceClaimTemplateName": "one-gpu"}


@pytest.fixture(autouse=True)
def default_policy(clusters: Clusters) -> Iterator[None]:
    """Each test begins and ends with the policy as it is by default."""
    yield
    clusters.set_policy()


def test_a_pod_waits_until_the_policy_gives_it_the_claim(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        resources = {"claims": [{"name": "gpu"}, {"name": "own"}]}
        await world.pod("trainer", resourceClaims=[CLAIM, TEMPLATE], container={"resources": resources})
        event = await world.event("trainer", "HostPodRefused")
        assert event["message"].startswith("spec.resourceClaims[0].resourceClaimName: 'shared-gpu' is not")
        assert "pods.resourceClaims" in event["message"]
        clusters.set_policy(resourceClaims=["shared-gpu"], resourceClaimTemplates=["one-gpu"])
        copy = await world.host_pod("trainer")
        assert copy["spec"]["resourceClaims"] == [CLAIM, TEMPLATE]
        assert copy["spec"]["containers"][0]["resources"] == resources

    in_world(clusters, test)
