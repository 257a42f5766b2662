"""What a pod uses is on the host before it, also where one watch is behind the others."""

from __future__ import annotations

import itertools

import pytest
from k3k_kubelet.api import CONFIG_MAPS, PODS, SECRETS

from kubelet.tests.clusters import Clusters
from kubelet.tests.proxy import stall
from kubelet.tests.refusals import full, quota
from kubelet.tests.replica import Replica
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-failures")

USES = {
    "envFrom": [
        {"configMapRef": {"name": "settings", "optional": True}},
        {"configMapRef": {"name": "nowhere", "optional": True}},
        {"secretRef": {"name": "password"}},
    ]
}


async def make_sources(world: World) -> None:
    await world.create(CONFIG_MAPS, "settings", data={"a": "1"})
    await world.create(SECRETS, "password", stringData={"pw": "one"})


async def copies(world: World) -> list[bool]:
    """Whether the host has each that is used, and the pod's token."""
    config_map = await world.host_get(CONFIG_MAPS, "settings")
    secret = await world.host_get(SECRETS, "password")
    return [config_map is not None, secret is not None, bool(await world.token_secrets("user"))]


def test_what_was_made_just_before_its_pod_is_copied_with_it(replica: Replica, clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await stall(replica.virtual, "configmaps", "secrets")
        await make_sources(world)
        await world.pod("user", container=USES, automountServiceAccountToken=True)
        await world.host_pod("user")
        assert await copies(world) == [True, True, True]

    in_world(clusters, test)


def test_what_was_removed_for_a_refused_pod_is_made_again_with_it(
    replica: Replica, clusters: Clusters
) -> None:
    async def test(world: World) -> None:
        await make_sources(world)
        async with quota(world, {"pods": "0"}, "late"):
            await full(world, "late")
            await stall(replica.host, "configmaps", "secrets")
            await world.pod("user", container=USES, automountServiceAccountToken=True)
            await world.event("user", "HostPodFailedCreate", "exceeded quota")

            async def all_removed() -> bool:
                return not any(await copies(world))

            await eventually(all_removed)
        tries = itertools.count()

        async def made() -> object:
            """The copy; it is tried again at each change, before the stalled watches are noticed."""
            change = {"metadata": {"labels": {"try": str(next(tries))}}}
            await world.virtual.patch(PODS, world.namespace, "user", change)
            return await world.host_get(PODS, "user")

        await eventually(made, interval=0.5)
        assert await copies(world) == [True, True, True]

    in_world(clusters, test)
