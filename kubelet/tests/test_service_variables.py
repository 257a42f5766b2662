"""The variables of Services: one ConfigMap for each namespace, as long as pods there read it."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, PODS, SERVICES
from k3k_kubelet.translate import services

from kubelet.tests.clusters import Clusters
from kubelet.tests.services import in_services
from kubelet.tests.world import World

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


async def make_service(world: World, name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "name": "http"}]
    return await world.create(SERVICES, name, spec={"ports": ports, "selector": {"a": "b"}, **spec})


def test_a_pod_finds_the_services_that_were_there_before_it_and_later_ones_follow(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        made = await make_service(world, "my-db")
        await make_service(world, "headless", clusterIP="None")
        await make_service(world, "outside", type="ExternalName", externalName="example.com")
        await world.pod("user")
        pod = await world.host_pod("user")
        source = pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        assert source == world.host_name(services.LINKS)
        # The kubelet hears of Services and of pods by two watches.
        found = await world.until_host(CONFIG_MAPS, services.LINKS, lambda copy: "MY_DB_PORT" in copy["data"])
        data = found["data"]
        assert data["MY_DB_SERVICE_HOST"] == made["spec"]["clusterIP"]
        assert data["MY_DB_SERVICE_PORT_HTTP"] == "80"
        assert data["KUBERNETES_SERVICE_PORT_HTTPS"] == str(clusters.virtual.port)
        assert not [name for name in data if name.startswith(("HEADLESS", "OUTSIDE"))]
        await make_service(world, "later")
        await world.until_host(CONFIG_MAPS, services.LINKS, lambda copy: "LATER_PORT" in copy["data"])
        await world.virtual.delete(SERVICES, world.namespace, "my-db")
        await world.until_host(CONFIG_MAPS, services.LINKS, lambda copy: "MY_DB_PORT" not in copy["data"])
        for name in ("later", "headless", "outside"):  # then there are none
            await world.virtual.delete(SERVICES, world.namespace, name)
        await world.until_host(CONFIG_MAPS, services.LINKS, lambda copy: "LATER_PORT" not in copy["data"])
        await world.virtual.delete(PODS, world.namespace, "user", grace_period=0)
        await world.host_gone(CONFIG_MAPS, services.LINKS)

    in_services(clusters, test)


def test_a_pod_without_service_links_finds_the_api_server_alone(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make_service(world, "my-db")
        await world.pod("user", enableServiceLinks=False)
        pod = await world.host_pod("user")
        source = pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        assert source == world.host_name(services.KUBERNETES)
        found = await world.host_get(CONFIG_MAPS, services.KUBERNETES)
        assert found is not None
        assert {name.split("_")[0] for name in found["data"]} == {"KUBERNETES"}
        assert await world.host_get(CONFIG_MAPS, services.LINKS) is None

    in_services(clusters, test)
