"""Ingresses between two API servers: copies, what they use, what they open, and the status inside."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from k3k_kubelet.api import INGRESSES, NETWORK_POLICIES, SECRETS, SERVICES
from k3k_kubelet.translate import identity, names

from kubelet.tests.clusters import CLUSTER, NAMESPACE, Clusters
from kubelet.tests.services import settled
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

HOST = "app.example.com"


@pytest.fixture(autouse=True)
def allowed(clusters: Clusters) -> Iterator[None]:
    """Ingresses are on for one host; each test ends with the policy as it is by default."""
    policy(clusters)
    yield
    clusters.set_policy()


def policy(clusters: Clusters, **settings: Any) -> None:
    ingresses = {"enabled": True, "hosts": [HOST], "controllerNamespaces": ["controllers"], **settings}
    clusters.set_policy(sync={"toHost": {"ingresses": ingresses}})


def spec(host: str = HOST, service: str = "web", **port: Any) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": host, "http": {"paths": paths}}]
    return {"rules": rules, "tls": [{"hosts": [host], "secretName": "cert"}]}


async def certificate(world: World, text: str = "first") -> None:
    data = {"tls.crt": base64.b64encode(text.encode()).decode(), "tls.key": ""}
    await world.create(SECRETS, "cert", type="kubernetes.io/tls", data=data)


async def service(world: World, name: str = "web", **more: Any) -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "admin", "port": 9000, "targetPort": 9000},
    ]
    await world.create(SERVICES, name, spec={"selector": {"app": name}, "ports": ports, **more})


def opening(world: World, name: str = "web") -> str:
    """Name on the host of the NetworkPolicy for a Service."""
    return names.host_name(CLUSTER, world.namespace, f"{name}:routes")


async def opened(world: World, name: str = "web") -> dict[str, Any]:
    """The policy's one rule, as soon as it is there."""

    async def found() -> Any:
        every = await world.host.list_all(NETWORK_POLICIES, NAMESPACE)
        return next((each for each in every if each["metadata"]["name"] == opening(world, name)), None)

    made = await eventually(found)
    (rule,) = made["spec"]["ingress"]
    return {"selector": made["spec"]["podSelector"]["matchLabels"], **rule}


async def closed(world: World, name: str = "web") -> None:
    async def gone() -> bool:
        every = await world.host.list_all(NETWORK_POLICIES, NAMESPACE)
        return opening(world, name) not in [each["metadata"]["name"] for each in every]

    await eventually(gone)


def test_secret_and_opening_come_and_go_with_the_ingress(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await certificate(world)
        await service(world)
        await world.create(INGRESSES, "front", spec=spec())
        copy = await world.until_host(INGRESSES, "front", lambda _: True)
        assert copy["spec"]["tls"][0]["secretName"] == world.host_name("cert")
        secret = await world.until_host(SECRETS, "cert", lambda _: True)
        assert secret["type"] == "kubernetes.io/tls"
        rule = await opened(world)
        assert rule["ports"] == [{"protocol": "TCP", "port": "web"}]
        assert rule["from"] == [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "controllers"}}}
        ]
        assert rule["selector"][names.label_key("app")] == "web"
        renewed = {"data": {"tls.crt": base64.b64encode(b"second").decode()}}
        await world.virtual.patch(SECRETS, world.namespace, "cert", renewed)
        await world.until_host(
            SECRETS, "cert", lambda found: found["data"] == {**secret["data"], **renewed["data"]}
        )
        await world.virtual.delete(INGRESSES, world.namespace, "front")
        await world.host_gone(INGRESSES, "front")
        await world.host_gone(SECRETS, "cert")
        await closed(world)

    in_world(clusters, test)


def test_a_restart_leaves_the_certificates_where_they_are(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await certificate(world)
        await world.create(SECRETS, "other", type="kubernetes.io/tls", data={"tls.crt": "", "tls.key": ""})
        await world.create(INGRESSES, "web", spec=spec())
        before = await world.until_host(SECRETS, "cert", lambda _: True)
        clusters.stop_kubelet()
        try:
            # Nobody uses this copy any more: when it is gone, all copies have been looked at.
            left = {"kind": "Secret", "apiVersion": "v1", "metadata": _ours(before, world, "other")}
            await world.host.create(SECRETS, NAMESPACE, left)
        finally:
            clusters.start_kubelet()
        await world.host_gone(SECRETS, "other")
        after = await world.host_get(SECRETS, "cert")
        assert after is not None
        assert after["metadata"]["uid"] == before["metadata"]["uid"]

    in_world(clusters, test)


def _ours(copy: dict[str, Any], world: World, name: str) -> dict[str, Any]:
    """The metadata of a copy of another object, after that of one."""
    metadata = copy["metadata"]
    return {
        "name": world.host_name(name),
        "labels": metadata["labels"],
        "annotations": {**metadata["annotations"], identity.NAME: name},
    }


def test_what_an_ingress_no_longer_names_goes(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await certificate(world)
        await service(world)
        await service(world, "api")
        await world.create(INGRESSES, "front", spec=spec())
        await opened(world)
        await world.until_host(SECRETS, "cert", lambda _: True)
        changed = {"spec": {**spec(service="api", name="admin"), "tls": None}}
        await world.virtual.patch(INGRESSES, world.namespace, "front", changed)
        assert (await opened(world, "api"))["ports"] == [{"protocol": "TCP", "port": 9000}]
        await closed(world)
        await world.host_gone(SECRETS, "cert")

    in_world(clusters, test)


def test_a_backend_that_comes_later_is_opened_then(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(INGRESSES, "front", spec=spec())
        await world.until_host(INGRESSES, "front", lambda _: True)
        await service(world)
        assert (await opened(world))["ports"] == [{"protocol": "TCP", "port": "web"}]
        ports = [{"name": "http", "port": 80, "targetPort": 8443}]
        await world.virtual.patch(SERVICES, world.namespace, "web", {"spec": {"ports": ports}})

        async def moved() -> bool:
            return (await opened(world))["ports"] == [{"protocol": "TCP", "port": 8443}]

        await eventually(moved)

    in_world(clusters, test)


def test_the_status_is_the_host_s(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(INGRESSES, "front", spec=spec())
        await world.until_host(INGRESSES, "front", lambda _: True)
        name = world.host_name("front")

        async def said(points: Any) -> None:
            status = {"status": {"loadBalancer": {"ingress": points}}}
            await world.host.patch(INGRESSES, NAMESPACE, name, status, subresource="status")

        async def shown(points: Any) -> None:
            async def check() -> bool:
                found = await world.get(INGRESSES, "front")
                assert found is not None
                return bool((found["status"]["loadBalancer"].get("ingress") or []) == points)

            await eventually(check)

        await said([{"ip": "192.0.2.1"}])
        await shown([{"ip": "192.0.2.1"}])
        lie = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}}
        await world.virtual.patch(INGRESSES, world.namespace, "front", lie, subresource="status")
        await shown([{"ip": "192.0.2.1"}])
        await said(None)
        await shown([])
        await said([{"hostname": "lb.example.net"}])
        await shown([{"hostname": "lb.example.net"}])
        policy(clusters, enabled=False)
        await shown([])

    in_world(clusters, test)


def test_a_host_of_somebody_else_is_refused_and_takes_nothing_along(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await certificate(world)
        await service(world)
        await world.create(INGRESSES, "front", spec=spec("victim.example.com"))
        event = await world.event("front", "HostCopyRefused")
        assert "host 'victim.example.com' is not one that this cluster may answer for" in event["message"]
        assert event["involvedObject"]["kind"] == "Ingress"
        await never(lambda: world.host_get(SECRETS, "cert"), 1)
        assert await world.host_get(INGRESSES, "front") is None
        await closed(world)
        policy(clusters, hosts=["victim.example.com"])
        await world.until_host(INGRESSES, "front", lambda _: True)
        await world.until_host(SECRETS, "cert", lambda _: True)
        await opened(world)
        policy(clusters)
        await world.host_gone(INGRESSES, "front")
        await world.host_gone(SECRETS, "cert")
        await closed(world)

    in_world(clusters, test)


def test_turned_off_everything_goes_and_turned_on_it_comes_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await certificate(world)
        await service(world)
        await world.create(INGRESSES, "front", spec=spec())
        await opened(world)
        policy(clusters, enabled=False)
        await world.host_gone(INGRESSES, "front")
        await world.host_gone(SECRETS, "cert")
        await closed(world)
        policy(clusters, controllerNamespaces=[])
        await world.until_host(INGRESSES, "front", lambda _: True)
        assert "from" not in await opened(world)

    in_world(clusters, test)


def test_a_restart_closes_nothing(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await service(world)
        await world.create(INGRESSES, "front", spec=spec())
        await opened(world)

        async def uid() -> str:
            return str((await world.host.get(NETWORK_POLICIES, NAMESPACE, opening(world)))["metadata"]["uid"])

        before = await uid()
        clusters.stop_kubelet()
        clusters.start_kubelet()
        await world.create(INGRESSES, "later", spec=spec())
        await world.until_host(INGRESSES, "later", lambda _: True)
        assert await uid() == before

    in_world(clusters, test)


def test_a_backend_without_an_address_is_told(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await service(world, clusterIP="None")
        await service(world, "later")
        await eventually(lambda: settled(world, "later"))  # so the kubelet knows of the other one as well
        await world.create(INGRESSES, "front", spec=spec())
        await world.event(
            "front", "FieldDropped", f"Service {world.namespace}/web: has no address of its own"
        )

    in_world(clusters, test)
