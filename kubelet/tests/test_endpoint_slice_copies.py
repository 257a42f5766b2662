"""EndpointSlices of a tenant's own: their copies lead to his running pods and to nobody else's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from k3k_kubelet.api import ENDPOINT_SLICES, PODS, SERVICES, Resource

from kubelet.tests.clusters import Clusters
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world, running_status

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

Object = dict[str, Any]
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
STRANGER = "10.7.255.255"
OUTSIDE = "203.0.113.5"
_numbers = itertools.count(1)


def own_address() -> str:
    """An address that no pod of another test has: they are all of one cluster."""
    return f"10.7.7.{next(_numbers)}"


async def service(world: World, name: str = "db", **spec: Any) -> None:
    await world.create(SERVICES, name, spec={"ports": [{"port": 5432}], **spec})


async def slice_(world: World, *addresses: str, name: str = "mine", **labels: str) -> None:
    """A slice of the Service `db` with these addresses."""
    await world.create(
        ENDPOINT_SLICES,
        name,
        metadata={"labels": {"kubernetes.io/service-name": "db", **labels}},
        addressType="IPv4",
        endpoints=[{"addresses": [each]} for each in addresses],
        ports=[{"name": "", "port": 5432, "protocol": "TCP"}],
    )


async def pod(world: World, name: str, address: str, node: str = "node-of-slices") -> None:
    """A pod that runs and has this address."""
    await world.pod(name)
    await world.schedule(name, node)
    await world.report(name, {**running_status(), "podIP": address, "podIPs": [{"ip": address}]})


def leads_to(*addresses: str) -> Any:
    """Whether a copy names exactly these."""
    return lambda copy: (
        [each["addresses"] for each in copy["endpoints"] or ()] == [[each] for each in addresses]
    )


def test_a_copy_leads_to_running_pods_and_outside_but_to_no_stranger(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        own = own_address()
        await service(world)
        await pod(world, "p", own)
        await slice_(world, own, STRANGER, OUTSIDE)
        copy = await world.until_host(ENDPOINT_SLICES, "mine", leads_to(own, OUTSIDE))
        assert copy["endpoints"][0]["nodeName"] == "node-of-slices"
        assert "nodeName" not in copy["endpoints"][1]
        assert copy["metadata"]["labels"]["kubernetes.io/service-name"] == world.host_name("db")
        await world.event("mine", "FieldDropped", STRANGER)

    in_world(clusters, test)


@pytest.mark.parametrize("end", ["ended", "killed"])
def test_an_address_goes_with_its_pod_and_comes_with_the_next_that_has_it(
    clusters: Clusters, end: str
) -> None:
    async def test(world: World) -> None:
        own = own_address()
        await service(world)
        await slice_(world, own)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to())
        await pod(world, "p", own)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(own))
        if end == "ended":
            await world.ended("p", "Failed")
        else:
            await world.virtual.delete(PODS, world.namespace, "p")
            await world.until_host(PODS, "p", lambda copy: copy["metadata"].get("deletionTimestamp"))
            await world.until_host(ENDPOINT_SLICES, "mine", leads_to(own))
            await world.killed("p")
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to())
        await pod(world, "next", own, node="other-node-of-slices")
        copy = await world.until_host(ENDPOINT_SLICES, "mine", leads_to(own))
        assert copy["endpoints"][0]["nodeName"] == "other-node-of-slices"

    in_world(clusters, test)


def test_what_the_tenant_writes_into_a_pod_s_status_opens_no_address(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        own = own_address()
        await service(world)
        await pod(world, "p", own)
        await slice_(world, own, STRANGER)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(own))
        lie = {"status": {"podIP": STRANGER, "podIPs": [{"ip": STRANGER}]}}
        await world.virtual.patch(PODS, world.namespace, "p", lie, subresource="status")
        more = {"endpoints": [{"addresses": [each]} for each in (STRANGER, own, OUTSIDE)]}
        await world.virtual.patch(ENDPOINT_SLICES, world.namespace, "mine", more)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(own, OUTSIDE))

    in_world(clusters, test)


def test_endpoints_of_the_older_kind_are_followed_by_the_slices_that_kubernetes_makes_of_them(
    clusters: Clusters,
) -> None:
    async def test(world: World) -> None:
        await service(world)
        subsets = [{"addresses": [{"ip": OUTSIDE}, {"ip": STRANGER}], "ports": [{"port": 5432}]}]
        await world.create(ENDPOINTS, "db", subsets=subsets)

        async def name() -> str:
            query = {"labelSelector": "kubernetes.io/service-name=db"}
            found = await world.virtual.list_all(ENDPOINT_SLICES, world.namespace, query=query)
            return str(found[0]["metadata"]["name"]) if found else ""

        mirrored = await eventually(name)
        await world.until_host(ENDPOINT_SLICES, mirrored, leads_to(OUTSIDE))

    in_world(clusters, test)


def test_a_slice_has_a_copy_as_long_as_its_service_has_one(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await slice_(world, OUTSIDE)
        await service(world)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(OUTSIDE))
        await world.virtual.delete(SERVICES, world.namespace, "db")
        await world.host_gone(ENDPOINT_SLICES, "mine")
        await service(world, clusterIP="None")
        await slice_(world, OUTSIDE, name="other")
        await service(world, "marker")
        await world.until_host(SERVICES, "marker", bool)
        assert await world.host_get(ENDPOINT_SLICES, "other") is None

    in_world(clusters, test)


def test_slices_of_a_selector_are_the_host_s_own_business(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await service(world, selector={"app": "x"})
        labels = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
        await slice_(world, OUTSIDE, name="made", **labels)
        await slice_(world, OUTSIDE)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(OUTSIDE))
        assert await world.host_get(ENDPOINT_SLICES, "made") is None

    in_world(clusters, test)


def test_turned_off_the_copies_go_and_the_services_stay(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await service(world)
        await slice_(world, OUTSIDE)
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(OUTSIDE))
        await world.until_host(SERVICES, "db", bool)
        clusters.set_policy(sync={"toHost": {"endpointSlices": {"enabled": False}}})
        await world.host_gone(ENDPOINT_SLICES, "mine")
        assert await world.host_get(SERVICES, "db")
        clusters.set_policy()
        await world.until_host(ENDPOINT_SLICES, "mine", leads_to(OUTSIDE))

    try:
        in_world(clusters, test)
    finally:
        clusters.set_policy()
