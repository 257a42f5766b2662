"""ConfigMaps and Secrets that pods use: copied, kept in step, removed; never those of others."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, PODS, SECRETS
from k3k_kubelet.translate import identity

from kubelet.tests.clusters import NAMESPACE, Clusters, decoded
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def uses(config_map: str = "", secret: str = "", **rest: Any) -> dict[str, Any]:
    sources: list[dict[str, Any]] = []
    if config_map:
        sources.append({"configMapRef": {"name": config_map, **rest}})
    if secret:
        sources.append({"secretRef": {"name": secret, **rest}})
    return {"container": {"envFrom": sources}}


def test_what_a_pod_uses_is_copied_first_and_follows_changes(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(CONFIG_MAPS, "settings", data={"a": "1"}, binaryData={"b": "AAE="})
        await world.create(SECRETS, "password", stringData={"pw": "one"})
        await world.create(SECRETS, "unused", stringData={"pw": "never"})
        await world.pod("user", **uses("settings", "password"))
        pod = await world.host_pod("user")
        sources = pod["spec"]["containers"][0]["envFrom"][1:]
        assert sources[0]["configMapRef"]["name"] == world.host_name("settings")
        copy = await world.host_get(CONFIG_MAPS, "settings")
        assert copy is not None
        assert (copy["data"], copy["binaryData"]) == ({"a": "1"}, {"b": "AAE="})
        change = {"data": {"a": "2", "c": "3"}, "binaryData": None}
        await world.virtual.patch(CONFIG_MAPS, world.namespace, "settings", change)
        await world.until_host(CONFIG_MAPS, "settings", lambda cm: cm["data"] == {"a": "2", "c": "3"})
        await world.virtual.patch(SECRETS, world.namespace, "password", {"stringData": {"pw": "two"}})
        await world.until_host(SECRETS, "password", lambda each: decoded(each["data"]) == {"pw": "two"})
        assert await world.host_get(SECRETS, "unused") is None

    in_world(clusters, test)


def test_a_copy_goes_with_the_last_pod_that_uses_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(CONFIG_MAPS, "shared", data={"a": "1"})
        for name in ("first", "second"):
            await world.pod(name, **uses("shared"))
            await world.running(name, "node-a")
        await world.virtual.delete(PODS, world.namespace, "first", grace_period=0)
        await world.gone(PODS, "first")
        await never(lambda: _gone(world, "shared"), 0.5)
        await world.ended("second")
        await world.host_gone(CONFIG_MAPS, "shared")

    in_world(clusters, test)


async def _gone(world: World, name: str) -> bool:
    return await world.host_get(CONFIG_MAPS, name) is None


def test_a_pod_that_waits_uses_nothing(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(SECRETS, "hoard", stringData={"a": "1"})
        await world.pod("gated", schedulingGates=[{"name": "example.com/wait"}], **uses(secret="hoard"))
        await world.pod("other", schedulerName="mine", **uses(secret="hoard"))
        await world.virtual.patch(SECRETS, world.namespace, "hoard", {"stringData": {"a": "2"}})
        await never(lambda: world.host_get(SECRETS, "hoard"), 0.5)
        await world.pod("runs", **uses(secret="hoard"))
        await world.until_host(SECRETS, "hoard", lambda copy: decoded(copy["data"]) == {"a": "2"})

    in_world(clusters, test)


def test_an_object_that_comes_later_and_goes_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("early", **uses("late", optional=True))
        await world.host_pod("early")
        assert await world.host_get(CONFIG_MAPS, "late") is None
        await world.create(CONFIG_MAPS, "late", data={"a": "1"})
        await world.until_host(CONFIG_MAPS, "late", lambda copy: copy["data"] == {"a": "1"})
        await world.virtual.delete(CONFIG_MAPS, world.namespace, "late")
        await world.host_gone(CONFIG_MAPS, "late")

    in_world(clusters, test)


def test_immutable_data_and_another_type_under_the_same_name(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(SECRETS, "fixed", stringData={"a": "1"}, immutable=True)
        await world.pod("user", **uses(secret="fixed"))
        await world.until_host(SECRETS, "fixed", lambda copy: decoded(copy["data"]) == {"a": "1"})
        await world.virtual.delete(SECRETS, world.namespace, "fixed")
        tls = {"tls.crt": "c", "tls.key": "k"}
        await world.create(SECRETS, "fixed", stringData=tls, type="kubernetes.io/tls")
        copy = await world.until_host(SECRETS, "fixed", lambda copy: copy["type"] == "kubernetes.io/tls")
        assert decoded(copy["data"]) == tls

    in_world(clusters, test)


def test_a_copy_that_somebody_changes_or_deletes_is_repaired(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(CONFIG_MAPS, "kept", data={"a": "1"})
        await world.pod("user", **uses("kept"))
        await world.host_pod("user")
        name = world.host_name("kept")
        await world.host.patch(CONFIG_MAPS, NAMESPACE, name, {"data": {"a": "evil", "b": "more"}})
        await world.until_host(CONFIG_MAPS, "kept", lambda copy: copy["data"] == {"a": "1"})
        await world.host.delete(CONFIG_MAPS, NAMESPACE, name)
        await world.until_host(CONFIG_MAPS, "kept", lambda copy: copy["data"] == {"a": "1"})

    in_world(clusters, test)


def test_a_config_map_of_somebody_else_is_never_touched(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        name = world.host_name("theirs")
        foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x"}}
        await world.host.create(CONFIG_MAPS, NAMESPACE, foreign)
        await world.create(CONFIG_MAPS, "theirs", data={"a": "1"})
        await world.pod("user", **uses("theirs"))
        event = await world.event("user", "HostPodFailedCreate")
        assert event["message"].startswith("a ConfigMap of somebody else has the name on the host")
        found = await world.host.get(CONFIG_MAPS, NAMESPACE, name)
        assert found["data"] == {"a": "x"}
        await world.virtual.delete(PODS, world.namespace, "user")
        await world.host.delete(CONFIG_MAPS, NAMESPACE, name)

    in_world(clusters, test)


def test_root_ca_is_the_virtual_clusters(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("caller", automountServiceAccountToken=True)
        await world.host_pod("caller")
        copy = await world.host_get(CONFIG_MAPS, "kube-root-ca.crt")
        assert copy is not None
        assert copy["data"]["ca.crt"] == (clusters.virtual.pki / "server-ca.crt").read_text()
        owner = identity.owner_of(copy)
        assert owner is not None
        assert owner.namespace == world.namespace

    in_world(clusters, test)


def test_a_megabyte_is_copied(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        big = "ü" * (500 * 1024)
        await world.create(CONFIG_MAPS, "big", data={"a": big})
        await world.pod("user", **uses("big"))
        await eventually(lambda: world.host_get(CONFIG_MAPS, "big"))
        copy = await world.host_get(CONFIG_MAPS, "big")
        assert copy is not None
        whole = copy["data"]["a"] == big  # pytest would explain a difference of megabytes for minutes
        assert whole

    in_world(clusters, test)
