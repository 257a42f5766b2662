"""Services inside get the addresses and ports of their twins, which the host has made before they exist."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from k3k_kubelet.api import SERVICES, ApiError, ForbiddenError, InvalidError

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.refusals import QUOTAS, forbidden, quota, refused
from kubelet.tests.services import asked, gone, service, settled, spec, twin
from kubelet.tests.waiting import eventually
from kubelet.tests.world import NAMESPACES, World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

AT_ONCE = 200


def test_addresses_and_ports_are_the_hosts(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        plain = await service(world, "plain")
        assert plain["spec"]["clusterIPs"] == (await twin(world, "plain"))["spec"]["clusterIPs"]
        ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
        made = (await service(world, "node", type="NodePort", ports=ports))["spec"]
        host = (await twin(world, "node"))["spec"]
        assert [port["nodePort"] for port in made["ports"]] == [port["nodePort"] for port in host["ports"]]
        assert all(30000 <= port["nodePort"] <= 32767 for port in made["ports"])
        local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
        made = (await service(world, "balanced", **local))["spec"]
        host = (await twin(world, "balanced"))["spec"]
        for key in ("clusterIP", "healthCheckNodePort"):
            assert made[key] == host[key], key
        assert made["ports"][0]["nodePort"] == host["ports"][0]["nodePort"]

    in_world(clusters, test)


def test_what_needs_no_address_asks_the_host_for_nothing(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        headless = await service(world, "headless", clusterIP="None")
        assert headless["spec"]["clusterIP"] == "None"
        await world.create(SERVICES, "outside", spec={"type": "ExternalName", "externalName": "example.com"})
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "try"}, "spec": spec()}
        await world.virtual.create(SERVICES, world.namespace, body, dry_run=True)
        for name in ("headless", "outside", "try"):
            assert await world.host_get(SERVICES, name) is None

    in_world(clusters, test)


def test_a_wish_is_granted_or_refused_in_the_hosts_own_words(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        free = (await service(world, "first", type="NodePort"))["spec"]
        await world.virtual.delete(SERVICES, world.namespace, "first")
        await eventually(lambda: gone(world, "first"))
        port = {"port": 80, "nodePort": free["ports"][0]["nodePort"]}
        wished = {"type": "NodePort", "clusterIP": free["clusterIP"], "ports": [port]}
        made = (await eventually(lambda: _granted(world, "second", **wished)))["spec"]
        assert (made["clusterIP"], made["ports"][0]["nodePort"]) == (free["clusterIP"], port["nodePort"])
        taken = {
            "address": ({"clusterIP": free["clusterIP"]}, "provided IP is already allocated"),
            "range": ({"clusterIP": "192.0.2.1"}, "does not match the current range|not in the valid range"),
            "port": ({"type": "NodePort", "ports": [port]}, "provided port is already allocated"),
            "low": ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, "30000-32767"),
        }
        for name, (wish, words) in taken.items():
            with pytest.raises(ApiError, match=words) as refused:
                await service(world, name, **wish)
            assert refused.value.code == 422
            assert world.host_name(name) not in refused.value.message
            assert name in refused.value.message
            assert await world.host_get(SERVICES, name) is None

    in_world(clusters, test)


async def _granted(world: World, name: str, **wished: Any) -> dict[str, Any] | None:
    """A Service with what another one had: the host takes that back when the other is gone already."""
    try:
        return await service(world, name, **wished)
    except InvalidError as error:
        assert "is already allocated" in error.message  # noqa: PT017 - it is waited for
        return None


async def _refusal(world: World, name: str, **more: Any) -> ApiError | None:
    """What is said to who makes a Service; None if he may."""
    try:
        await service(world, name, **more)
    except ApiError as error:
        return error
    await world.virtual.delete(SERVICES, world.namespace, name)
    await eventually(lambda: gone(world, name))
    return None


def test_no_name_of_the_hosts_is_in_a_refusal(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        words = (
            "'service ' + object.metadata.name + ' is too much in namespace ' + object.metadata.namespace "
            "+ ' and ' + object.metadata.namespace + '/' + object.metadata.name"
        )
        async with refused(world, "CREATE", SERVICES, world.host_name("web"), words):
            said = await eventually(lambda: _refusal(world, "web"))
            assert said is not None
            assert f"service web is too much in namespace {world.namespace} and {world.namespace}/web" in (
                said.message
            )
            assert world.host_name("web") not in said.message
            assert NAMESPACE not in said.message
            assert await world.host_get(SERVICES, "web") is None
        await eventually(lambda: _made(world, "web"))

    in_world(clusters, test)


def test_a_full_quota_of_the_hosts_is_told_and_leaves_nothing(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        async with quota(world, {"services.nodeports": "0"}):
            words = 'services "web" is forbidden: exceeded quota: full, requested: services.nodeports=1'

            async def exceeded() -> str:
                """What is said, once the host's admission knows the quota, and how full it is."""
                said = await _refusal(world, "web", type="NodePort")
                assert said is None or isinstance(said, ForbiddenError)
                return said.message if said is not None and words in said.message else ""

            assert NAMESPACE not in await eventually(exceeded)
            assert await world.host_get(SERVICES, "web") is None
        await eventually(lambda: _made(world, "web", type="NodePort"))

    in_world(clusters, test)


def test_a_generated_name_is_the_same_on_both_sides(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"generateName": "made-"}, "spec": spec()}
        names = set()
        for _ in range(3):
            made = await world.virtual.create(SERVICES, world.namespace, body)
            name = made["metadata"]["name"]
            assert name.startswith("made-")
            assert made["spec"]["clusterIP"] == (await twin(world, name))["spec"]["clusterIP"]
            names.add(name)
        assert len(names) == 3

    in_world(clusters, test)


def test_a_service_that_is_created_again_keeps_its_twin_as_it_is(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        await service(world, "web", type="NodePort")
        before = await eventually(lambda: settled(world, "web"))
        for more in ({}, {"type": "NodePort"}, {"clusterIP": "10.43.9.9"}):
            with pytest.raises(ApiError, match="already exists"):
                await service(world, "web", **more)
        after = await twin(world, "web")
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]

    in_world(clusters, test)


def test_a_service_that_cannot_be_is_refused_by_the_api_server_itself(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        for name in ("No", "a.b", "x" * 64):
            with pytest.raises(InvalidError, match=r"metadata\.name: Invalid value"):
                await service(world, name)

    in_world(clusters, test)


def test_deleted_and_made_again_at_once_it_has_a_twin_of_its_own(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        await service(world, "web")
        for kind in ("NodePort", "ClusterIP", "NodePort"):
            await world.virtual.delete(SERVICES, world.namespace, "web")
            made = await service(world, "web", type=kind)
            host = await eventually(lambda: settled(world, "web"))
            assert host["spec"]["clusterIP"] == made["spec"]["clusterIP"]
            assert host["spec"]["type"] == kind

    in_world(clusters, test)


def test_a_twin_whose_service_never_came_goes(clusters: Clusters) -> None:
    """A quota inside says no after admission; who tries again meanwhile gets through."""

    async def test(world: World) -> None:
        await asked(world)
        await world.create(QUOTAS, "none", spec={"hard": {"services": "0"}})
        await eventually(lambda: _is_counted(world))
        with pytest.raises(ApiError, match="exceeded quota"):
            await service(world, "web")
        assert await world.host_get(SERVICES, "web") is not None
        await eventually(lambda: gone(world, "web"))
        with pytest.raises(ApiError, match="exceeded quota"):
            await service(world, "late")
        first = await twin(world, "late")
        await world.virtual.delete(QUOTAS, world.namespace, "none")
        made = await eventually(lambda: _made(world, "late"))
        assert made["spec"]["clusterIP"] == first["spec"]["clusterIP"]
        host = await eventually(lambda: settled(world, "late"))
        assert host["metadata"]["uid"] == first["metadata"]["uid"]

    in_world(clusters, test)


async def _is_counted(world: World) -> bool:
    """Whether the admission inside knows the quota, and how full it is: it learns that by a watch."""
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "try"}, "spec": spec()}
    made = world.virtual.create(SERVICES, world.namespace, body, dry_run=True)
    return await forbidden(made, "exceeded quota")


async def _made(world: World, name: str, **more: Any) -> dict[str, Any] | None:
    try:
        return await service(world, name, **more)
    except ForbiddenError:  # by the quota
        return None


def test_an_update_that_needs_a_port_gets_the_hosts(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        await service(world, "web")
        change = {"spec": {"type": "NodePort"}}
        made = (await world.virtual.patch(SERVICES, world.namespace, "web", change))["spec"]
        host = await eventually(lambda: settled(world, "web"))
        assert made["ports"][0]["nodePort"] == host["spec"]["ports"][0]["nodePort"]
        more = {"spec": {"ports": [*made["ports"], {"name": "more", "port": 81}]}}
        made = (await world.virtual.patch(SERVICES, world.namespace, "web", more))["spec"]
        host = await eventually(lambda: settled(world, "web"))
        assert [port["nodePort"] for port in made["ports"]] == [p["nodePort"] for p in host["spec"]["ports"]]
        other = (await service(world, "other", type="NodePort"))["spec"]["ports"][0]["nodePort"]
        taken = {"spec": {"ports": [{"name": "http", "port": 80, "nodePort": other}]}}
        with pytest.raises(InvalidError, match="provided port is already allocated"):
            await world.virtual.patch(SERVICES, world.namespace, "web", taken)
        now = await world.get(SERVICES, "web")
        assert now is not None
        assert now["spec"] == made

    in_world(clusters, test)


def test_external_and_back_it_has_an_address_of_the_host(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        first = await service(world, "web")
        outward = {"type": "ExternalName", "externalName": "example.com"}
        nowhere = {"clusterIP": None, "clusterIPs": None}
        await world.virtual.patch(SERVICES, world.namespace, "web", {"spec": outward | nowhere})
        await eventually(lambda: gone(world, "web"))
        back = {"spec": {"type": "ClusterIP", "externalName": None}}
        made = await world.virtual.patch(SERVICES, world.namespace, "web", back)
        assert made["metadata"]["uid"] == first["metadata"]["uid"]
        host = await eventually(lambda: settled(world, "web"))
        assert made["spec"]["clusterIP"] == host["spec"]["clusterIP"]

    in_world(clusters, test)


def test_many_at_once_have_the_addresses_of_their_twins_and_none_is_made_twice(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        made = await asyncio.gather(*(service(world, f"web-{n}") for n in range(AT_ONCE)))

        async def its_twin(name: str) -> dict[str, Any]:
            return await eventually(lambda: settled(world, name))

        hosts = await asyncio.gather(*(its_twin(each["metadata"]["name"]) for each in made))
        for each, host in zip(made, hosts, strict=True):
            assert each["spec"]["clusterIPs"] == host["spec"]["clusterIPs"]
        now = await world.virtual.list_all(SERVICES, world.namespace)
        uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in now}
        assert {each["metadata"]["name"]: each["metadata"]["uid"] for each in made}.items() <= uids.items()
        twins = await world.host.list_all(SERVICES, NAMESPACE)
        assert {each["metadata"]["uid"] for each in hosts} <= {each["metadata"]["uid"] for each in twins}

    in_world(clusters, test)


def test_without_the_kubelet_no_service_is_made_and_it_is_told(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        clusters.stop_kubelet()
        try:
            assert await eventually(lambda: _refused(world))
            await world.virtual.create(NAMESPACES, None, _namespace(f"{world.namespace}-more"))
        finally:
            clusters.start_kubelet()
        made = await eventually(lambda: _after(world))
        assert made["spec"]["clusterIP"] == (await twin(world, "web"))["spec"]["clusterIP"]

    in_world(clusters, test)


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def _refused(world: World) -> bool:
    """Whether the API server knows that nobody answers; a connection of before may have failed otherwise."""
    with pytest.raises(ApiError, match=rf"{_CALLING}: ") as refused:
        await service(world, "web")
    return "connection refused" in refused.value.message


async def _after(world: World) -> dict[str, Any] | None:
    """The Service, as soon as the kubelet answers."""
    try:
        return await service(world, "web")
    except ApiError as error:
        if re.search(_CALLING, error.message) is None:
            raise
        return None


_CALLING = r'failed calling webhook "services\.k3k-pulumi\.io"'
