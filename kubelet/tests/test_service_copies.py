"""Services and what they expose: the host's objects follow the tenant's, the host's status comes up."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.api import ENDPOINT_SLICES, NETWORK_POLICIES, SERVICES, PatchType, Resource
from k3k_kubelet.sync.copies import REFUSED
from k3k_kubelet.translate.service import CLEANUP

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.services import in_services
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

Object = dict[str, Any]
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
POINT = {"ip": "192.0.2.9", "ipMode": "VIP"}


async def make(world: World, name: str, **spec: Any) -> Object:
    """A Service inside for the pods with app=web, and its copy."""
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    return await world.create(SERVICES, name, spec={"selector": {"app": "web"}, "ports": ports, **spec})


async def change(world: World, name: str, **spec: Any) -> None:
    await world.virtual.patch(SERVICES, world.namespace, name, {"spec": spec})


async def on_host(world: World, name: str, **spec: Any) -> Object:
    """The copy, as soon as its spec says that."""
    return await world.until_host(
        SERVICES, name, lambda copy: all(copy["spec"].get(key) == value for key, value in spec.items())
    )


async def as_cloud(world: World, name: str, *, finalizers: list[str], ingress: list[Object]) -> None:
    """Does what a cloud controller of the host does with a Service of type LoadBalancer."""
    at = (SERVICES, NAMESPACE, world.host_name(name))
    await world.host.patch(*at, {"metadata": {"finalizers": finalizers}})
    await world.host.patch(*at, {"status": {"loadBalancer": {"ingress": ingress}}}, subresource="status")


async def inside(world: World, name: str, check: Any) -> Object:
    """The Service inside, as soon as `check` is true of it."""

    async def found() -> Object | None:
        service = await world.get(SERVICES, name)
        return service if service is not None and check(service) else None

    service = await eventually(found)
    assert service is not None
    return service


def finalizers(service: Object) -> list[str]:
    found: list[str] = service["metadata"].get("finalizers") or []
    return found


def points(service: Object) -> list[Object]:
    found: list[Object] = service["status"]["loadBalancer"].get("ingress") or []
    return found


def test_a_copy_has_the_address_of_the_service_and_follows_what_changes(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        made = await make(world, "web")
        copy = await on_host(world, "web")
        assert copy["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        limits = {"k3k-pulumi.io/namespace": world.namespace, "k3k-pulumi.io/cluster": "vc"}
        assert copy["spec"]["selector"].items() >= limits.items()

        two = [
            {"name": "b", "port": 81, "protocol": "UDP", "targetPort": 8081},
            {"name": "a", "port": 80, "protocol": "TCP", "targetPort": "http"},
        ]
        await change(world, "web", ports=two, publishNotReadyAddresses=True, internalTrafficPolicy="Local")
        copy = await on_host(world, "web", publishNotReadyAddresses=True, internalTrafficPolicy="Local")
        assert {each["name"]: each["targetPort"] for each in copy["spec"]["ports"]} == {
            "a": "http",
            "b": 8081,
        }
        await change(
            world, "web", ports=two[:1], selector={"app": None, "tier": "x"}, sessionAffinity="ClientIP"
        )
        copy = await on_host(world, "web", sessionAffinity="ClientIP")
        assert [each["name"] for each in copy["spec"]["ports"]] == ["b"]
        assert copy["spec"]["selector"]["labels.k3k-pulumi.io/tier"] == "x"
        assert "labels.k3k-pulumi.io/app" not in copy["spec"]["selector"]
        assert copy["spec"]["clusterIP"] == made["spec"]["clusterIP"]

        await world.virtual.delete(SERVICES, world.namespace, "web")
        await world.host_gone(SERVICES, "web")

    in_services(clusters, test)


def test_ports_in_another_order_are_no_difference(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        ports = [{"name": f"p{n}", "port": n, "protocol": "TCP", "targetPort": n} for n in range(1, 4)]
        await make(world, "web", ports=ports)
        before = await on_host(world, "web")
        assert len(before["spec"]["ports"]) == 3
        await change(world, "web", ports=ports[::-1])
        await change(world, "web", publishNotReadyAddresses=True)
        settled = await on_host(world, "web", publishNotReadyAddresses=True)

        async def written_again() -> bool:
            copy = await world.host_get(SERVICES, "web")
            return (
                copy is None or copy["metadata"]["resourceVersion"] != settled["metadata"]["resourceVersion"]
            )

        await never(written_again, seconds=1)

    in_services(clusters, test)


def test_what_a_selector_found_is_left_to_nobody_on_the_host_who_does_not_follow_it(
    clusters: Clusters,
) -> None:
    """Kubernetes leaves the addresses where they are. Inside they become slices like a tenant's own."""

    async def test(world: World) -> None:
        async def addresses(manager: str) -> list[str]:
            of = f"kubernetes.io/service-name={world.host_name('web')}"
            query = {"labelSelector": f"{of},endpointslice.kubernetes.io/managed-by={manager}"}
            found = await world.host.list_all(ENDPOINT_SLICES, NAMESPACE, query=query)
            return [each["addresses"][0] for slice_ in found for each in slice_.get("endpoints") or ()]

        async def only(manager: str) -> bool:
            others = {"endpointslice-controller.k8s.io", "k3k-pulumi.io"} - {manager}
            return bool(await addresses(manager)) and not await addresses(*others)

        async def known_inside() -> Any:
            found = await world.get(ENDPOINTS, "web")
            return found and found.get("subsets")

        async def none() -> bool:
            return not await addresses("k3k-pulumi.io")

        await make(world, "web", publishNotReadyAddresses=True)  # the host has no Node to look the pod's up
        await world.pod("p", metadata={"labels": {"app": "web"}})
        await world.running("p", "node-of-services")
        await eventually(lambda: only("endpointslice-controller.k8s.io"))
        await eventually(known_inside)
        await change(world, "web", selector=None)
        await eventually(lambda: only("k3k-pulumi.io"))
        await world.virtual.delete(ENDPOINTS, world.namespace, "web")
        await eventually(none)
        await change(world, "web", selector={"app": "web"})
        await eventually(lambda: only("endpointslice-controller.k8s.io"))

    in_services(clusters, test)


@pytest.mark.parametrize(
    "spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "example.com"}]
)
def test_what_has_no_address_has_no_copy(clusters: Clusters, spec: Object) -> None:
    async def test(world: World) -> None:
        await make(world, "web", **spec)
        await make(world, "later")
        await on_host(world, "later")
        assert await world.host_get(SERVICES, "web") is None

    in_services(clusters, test)


def test_a_load_balancer_comes_up_and_holds_the_service_until_it_is_cleaned_up(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "web", type="LoadBalancer")
        await on_host(world, "web", type="LoadBalancer")
        await as_cloud(world, "web", finalizers=[CLEANUP], ingress=[POINT])
        service = await inside(world, "web", lambda service: points(service) == [POINT])
        assert finalizers(service) == [CLEANUP]

        own = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}}
        await world.virtual.patch(SERVICES, world.namespace, "web", own, subresource="status")
        await inside(world, "web", lambda service: points(service) == [POINT])

        await world.virtual.delete(SERVICES, world.namespace, "web")
        await world.until_host(SERVICES, "web", lambda copy: copy["metadata"].get("deletionTimestamp"))
        service = await inside(world, "web", lambda service: service["metadata"].get("deletionTimestamp"))
        assert finalizers(service) == [CLEANUP]
        await as_cloud_gone(world, "web")
        await world.host_gone(SERVICES, "web")
        await world.gone(SERVICES, "web")

    in_services(clusters, test)


async def as_cloud_gone(world: World, name: str) -> None:
    """Does what a cloud controller of the host does when it has taken a load balancer away."""
    change = {"metadata": {"finalizers": None}}
    await world.host.patch(SERVICES, NAMESPACE, world.host_name(name), change)


def test_a_service_that_is_no_load_balancer_any_more_is_let_go_after_the_clean_up(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "web", type="LoadBalancer")
        await on_host(world, "web", type="LoadBalancer")
        await as_cloud(world, "web", finalizers=[CLEANUP], ingress=[POINT])
        await inside(world, "web", points)
        await change(world, "web", type="ClusterIP")
        await on_host(world, "web", type="ClusterIP")
        service = await inside(world, "web", lambda service: not points(service))
        assert finalizers(service) == [CLEANUP]
        await as_cloud_gone(world, "web")
        await inside(world, "web", lambda service: not finalizers(service))

    in_services(clusters, test)


def test_finalizers_of_others_keep_the_copy_of_a_service_without_a_load_balancer(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "web")
        held = {"metadata": {"finalizers": ["example.com/mine"]}}
        await world.virtual.patch(SERVICES, world.namespace, "web", held)
        copy = await on_host(world, "web")
        await world.virtual.delete(SERVICES, world.namespace, "web")
        await change(world, "web", publishNotReadyAddresses=True)
        after = await on_host(world, "web", publishNotReadyAddresses=True)
        assert after["metadata"]["uid"] == copy["metadata"]["uid"]
        await world.virtual.patch(SERVICES, world.namespace, "web", {"metadata": {"finalizers": None}})
        await world.host_gone(SERVICES, "web")

    in_services(clusters, test)


def test_what_a_service_exposes_is_open_as_long_as_it_does(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "web", type="NodePort")
        policy = await eventually(lambda: world.host_get(NETWORK_POLICIES, "web:services"))
        assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}]}]
        ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
        await change(world, "web", ports=ports)

        def named(policy: Object) -> bool:
            return bool(policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": "http"}])

        await world.until_host(NETWORK_POLICIES, "web:services", named)
        await change(world, "web", type="ClusterIP")
        await world.host_gone(NETWORK_POLICIES, "web:services")
        await on_host(world, "web", type="ClusterIP")

    in_services(clusters, test)


def test_types_are_the_policy_s_to_give_and_to_take(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "kept")
        await make(world, "web", type="NodePort")
        await on_host(world, "web")
        clusters.set_policy(sync={"toHost": {"services": {"types": ["ClusterIP"]}}})
        await world.host_gone(SERVICES, "web")
        await world.host_gone(NETWORK_POLICIES, "web:services")
        event = await world.event("web", REFUSED)
        assert "spec.type" in event["message"]
        assert event["involvedObject"]["kind"] == "Service"
        await on_host(world, "kept")
        clusters.set_policy()
        await on_host(world, "web")

    try:
        in_services(clusters, test)
    finally:
        clusters.set_policy()


def test_turned_off_nothing_of_services_is_left_and_nobody_waits_for_a_clean_up(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "web", type="LoadBalancer")
        await on_host(world, "web")
        await as_cloud(world, "web", finalizers=[CLEANUP], ingress=[POINT])
        await inside(world, "web", points)
        clusters.set_policy(sync={"toHost": {"services": {"enabled": False}}})
        await world.host_gone(NETWORK_POLICIES, "web:services")
        await world.until_host(SERVICES, "web", lambda copy: copy["metadata"].get("deletionTimestamp"))
        await as_cloud_gone(world, "web")
        await world.host_gone(SERVICES, "web")
        await inside(world, "web", lambda service: not finalizers(service))

    try:
        in_services(clusters, test)
    finally:
        clusters.set_policy()


def test_a_tenant_s_status_patch_of_another_type_is_left_alone(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await make(world, "web")
        await on_host(world, "web")
        condition = {
            "type": "example.com/Mine",
            "status": "True",
            "reason": "Because",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        body = {"status": {"conditions": [condition]}}
        await world.virtual.patch(
            SERVICES, world.namespace, "web", body, kind=PatchType.STRATEGIC, subresource="status"
        )
        await change(world, "web", publishNotReadyAddresses=True)
        await on_host(world, "web", publishNotReadyAddresses=True)
        service = await world.get(SERVICES, "web")
        assert service is not None
        assert service["status"]["conditions"] == [condition]

    in_services(clusters, test)
