"""Copies of ConfigMaps and Secrets are for pods that run: others leave nothing on the host."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, PODS, SECRETS
from k3k_kubelet.translate import services

from kubelet.tests.clusters import NAMESPACE, Clusters, decoded
from kubelet.tests.refusals import forbidden, full, quota, refused
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, condition, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def user_of(secret: str) -> dict[str, Any]:
    return {
        "container": {"envFrom": [{"secretRef": {"name": secret}}]},
        "automountServiceAccountToken": True,
    }


def test_a_pod_that_the_hosts_quota_refuses_leaves_no_copies_until_there_is_room(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        names = [f"s-{n}" for n in range(4)]
        for name in names:
            await world.create(SECRETS, name, stringData={"a": "1"})

        async def nothing_left() -> bool:
            copies = [await world.host_get(SECRETS, name) for name in names]
            tokens = [secret for name in names for secret in await world.token_secrets(name)]
            return not any(copies) and not tokens and not await world.host_get(CONFIG_MAPS, services.LINKS)

        async with quota(world, {"pods": "0"}):  # it is full
            await full(world, "full")
            for name in names:
                await world.pod(name, **user_of(name))
            for name in names:
                await world.event(name, "HostPodFailedCreate", "exceeded quota")
            await eventually(nothing_left)
            await world.virtual.patch(SECRETS, world.namespace, names[0], {"stringData": {"a": "2"}})
            await never(lambda: _negated(nothing_left), 1.0)
        for name in names:
            await world.host_pod(name)
            copy = await world.host_get(SECRETS, name)
            assert copy is not None
            assert await world.token_secrets(name)
        changed = await world.host_get(SECRETS, names[0])
        assert changed is not None
        assert decoded(changed["data"]) == {"a": "2"}
        pod = await world.schedule(names[0], "node-a")
        assert condition(pod, "PodScheduled")["status"] == "True"

    in_world(clusters, test)


async def _negated(check: Any) -> bool:
    return not await check()


def test_what_a_refused_pod_refers_to_is_not_copied_when_it_changes(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(SECRETS, "hoard", stringData={"a": "1"})
        await world.pod("refused", hostNetwork=True, **user_of("hoard"))
        await world.event("refused", "HostPodRefused")
        await world.virtual.patch(SECRETS, world.namespace, "hoard", {"stringData": {"a": "2"}})
        await never(lambda: world.host_get(SECRETS, "hoard"), 1.0)
        assert await world.token_secrets("refused") == []

    in_world(clusters, test)


def test_a_copy_that_the_host_does_not_let_change_is_told_to_its_users(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(CONFIG_MAPS, "settings", data={"a": "1"})
        await world.pod("user", container={"envFrom": [{"configMapRef": {"name": "settings"}}]})
        await world.host_pod("user")
        copy = world.host_name("settings")
        async with refused(world, "UPDATE", CONFIG_MAPS, copy, "'frozen here'"):
            change = {"data": {"a": "2"}}
            await eventually(
                lambda: forbidden(world.host.patch(CONFIG_MAPS, NAMESPACE, copy, change), "frozen here")
            )
            await world.virtual.patch(CONFIG_MAPS, world.namespace, "settings", {"data": {"a": "3"}})
            event = await world.event("user", "HostCopyNotUpdated")
            assert event["message"].startswith(
                'ConfigMap settings is not brought up to date on the host: configmaps "settings" is forbidden'
            )
            assert "frozen here" in event["message"]
        await world.until_host(CONFIG_MAPS, "settings", lambda copy: copy["data"] == {"a": "3"})
        await world.virtual.delete(PODS, world.namespace, "user", grace_period=0)

    in_world(clusters, test)
