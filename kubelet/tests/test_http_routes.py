"""HTTPRoutes between two API servers, whose Gateway API comes and goes.

The types are CRDs without a schema of their own here; the real ones are in the end-to-end tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from k3k_kubelet.api import (
    HTTP_ROUTES,
    NETWORK_POLICIES,
    REFERENCE_GRANTS,
    SERVICES,
    ApiClient,
    NotFoundError,
    Resource,
)
from k3k_kubelet.sync.copies import CONCURRENCY
from k3k_kubelet.translate import names

from kubelet.tests.clusters import CLUSTER, NAMESPACE, Clusters
from kubelet.tests.waiting import eventually
from kubelet.tests.world import NAMESPACES, World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
HOST = "app.example.com"
GATEWAY = {"namespace": "infra", "name": "public", "hostNamespace": "gateways", "hostName": "shared"}


@pytest.fixture(autouse=True)
def allowed(clusters: Clusters) -> Iterator[None]:
    """Routes are on; each test ends with the policy as it is by default."""
    settings = {"enabled": True, "hosts": [HOST], "gateways": [GATEWAY]}
    clusters.set_policy(sync={"toHost": {"httpRoutes": settings}})
    yield
    clusters.set_policy()


def definition(resource: Resource) -> dict[str, Any]:
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": loose, "status": loose}}},
    }
    annotations = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"}
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": f"{resource.plural}.{resource.group}", "annotations": annotations},
        "spec": {
            "group": resource.group,
            "names": {"plural": resource.plural, "kind": resource.kind, "singular": resource.kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


async def define(client: ApiClient, *resources: Resource) -> None:
    for resource in resources:
        await client.create(CRDS, None, definition(resource))
        await eventually(lambda resource=resource: serves(client, resource))


async def serves(client: ApiClient, resource: Resource) -> bool:
    try:
        await client.list_all(resource)
    except NotFoundError:
        return False
    return True


async def undefine(client: ApiClient, *resources: Resource) -> None:
    for resource in resources:
        name = f"{resource.plural}.{resource.group}"
        try:
            await client.delete(CRDS, None, name)
        except NotFoundError:
            continue

        async def gone(resource: Resource = resource, name: str = name) -> bool:
            """Also no longer served, which ends by a watch: else who defines it anew is deceived."""
            left = [each["metadata"]["name"] for each in await client.list_all(CRDS)]
            return name not in left and not await serves(client, resource)

        await eventually(gone)


@asynccontextmanager
async def gateway_api(world: World) -> AsyncIterator[None]:
    """Both sides have the types for as long as the block runs."""
    try:
        await define(world.host, HTTP_ROUTES)
        await define(world.virtual, HTTP_ROUTES, REFERENCE_GRANTS)
        yield
    finally:
        await undefine(world.virtual, HTTP_ROUTES, REFERENCE_GRANTS)
        await undefine(world.host, HTTP_ROUTES)


def spec(**backend: Any) -> dict[str, Any]:
    return {
        "parentRefs": [{"namespace": "infra", "name": "public"}],
        "hostnames": [HOST],
        "rules": [{"backendRefs": [{"name": "web", "port": 80, **backend}]}],
    }


def grant(world: World) -> dict[str, Any]:
    """Lets routes of the test's namespace use Services of the one that this is made in."""
    source = {"group": HTTP_ROUTES.group, "kind": "HTTPRoute", "namespace": world.namespace}
    return {
        "apiVersion": REFERENCE_GRANTS.api_version,
        "kind": REFERENCE_GRANTS.kind,
        "metadata": {"name": "front"},
        "spec": {"from": [source], "to": [{"group": "", "kind": "Service"}]},
    }


async def policies(world: World) -> list[str]:
    return [each["metadata"]["name"] for each in await world.host.list_all(NETWORK_POLICIES, NAMESPACE)]


def test_a_route_has_a_copy_and_the_host_s_status(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        async with gateway_api(world):
            ports = [{"port": 80, "targetPort": 8080}]
            await world.create(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": ports})
            await world.create(HTTP_ROUTES, "front", spec=spec())
            copy = await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            assert copy["spec"]["parentRefs"][0]["namespace"] == "gateways"
            assert copy["spec"]["rules"][0]["backendRefs"][0]["name"] == world.host_name("web")
            opening = names.host_name(CLUSTER, world.namespace, "web:routes")

            async def opened() -> bool:
                return opening in await policies(world)

            await eventually(opened)
            condition = {
                "type": "Accepted",
                "status": "True",
                "reason": "Accepted",
                "observedGeneration": copy["metadata"]["generation"],
            }
            said = {
                "parentRef": copy["spec"]["parentRefs"][0],
                "controllerName": "example.com/gateway",
                "conditions": [condition],
            }
            status = {"status": {"parents": [said]}}
            name = world.host_name("front")
            await world.host.patch(HTTP_ROUTES, NAMESPACE, name, status, subresource="status")

            async def shown() -> Any:
                found = await world.get(HTTP_ROUTES, "front")
                assert found is not None
                return (found.get("status") or {}).get("parents")

            (parent,) = await eventually(shown)
            assert parent["parentRef"] == {"namespace": "infra", "name": "public"}
            assert parent["conditions"][0]["observedGeneration"] == 1
            await world.virtual.delete(HTTP_ROUTES, world.namespace, "front")
            await world.host_gone(HTTP_ROUTES, "front")

    in_world(clusters, test)


def test_another_namespace_is_used_as_long_as_it_grants_that(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        async with gateway_api(world):
            other = f"{world.namespace}-other"
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}
            await world.virtual.create(NAMESPACES, None, body)
            await world.create(HTTP_ROUTES, "front", spec=spec(namespace=other))
            event = await world.event("front", "HostCopyRefused")
            assert f"no ReferenceGrant in {other}" in event["message"]
            assert await world.host_get(HTTP_ROUTES, "front") is None
            await world.virtual.create(REFERENCE_GRANTS, other, grant(world))
            copy = await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            backend = copy["spec"]["rules"][0]["backendRefs"][0]
            assert backend["name"] == names.host_name(CLUSTER, other, "web")
            await world.virtual.delete(REFERENCE_GRANTS, other, "front")
            await world.host_gone(HTTP_ROUTES, "front")

    in_world(clusters, test)


def test_the_type_of_grants_may_come_last(clusters: Clusters) -> None:
    """As it does where all types are applied at once, in the order of their names."""

    async def test(world: World) -> None:
        try:
            await define(world.host, HTTP_ROUTES)
            await define(world.virtual, HTTP_ROUTES)
            await world.create(HTTP_ROUTES, "own", spec=spec())
            await world.create(HTTP_ROUTES, "front", spec=spec(namespace="default"))
            await world.until_host(HTTP_ROUTES, "own", lambda _: True)
            await world.event("front", "HostCopyRefused", "no ReferenceGrant in default")
            await define(world.virtual, REFERENCE_GRANTS)
            await world.virtual.create(REFERENCE_GRANTS, "default", grant(world))
            await world.until_host(HTTP_ROUTES, "front", lambda _: True)
        finally:
            await undefine(world.virtual, HTTP_ROUTES, REFERENCE_GRANTS)
            await undefine(world.host, HTTP_ROUTES)

    in_world(clusters, test)


def test_the_types_come_and_go_on_both_sides(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        try:
            await define(world.virtual, HTTP_ROUTES)  # the host does not have it yet, nor grants anybody
            await world.create(HTTP_ROUTES, "front", spec=spec())
            await define(world.host, HTTP_ROUTES)
            await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            await undefine(world.host, HTTP_ROUTES)
            await define(world.host, HTTP_ROUTES)
            await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            await undefine(world.virtual, HTTP_ROUTES)  # and every route inside with it
            await world.host_gone(HTTP_ROUTES, "front")
        finally:
            await undefine(world.virtual, HTTP_ROUTES)
            await undefine(world.host, HTTP_ROUTES)
        assert clusters.kubelet is not None
        assert clusters.kubelet.poll() is None

    in_world(clusters, test)


def test_a_restart_removes_no_route(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        async with gateway_api(world):
            await world.create(HTTP_ROUTES, "front", spec=spec())
            copy = await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            clusters.stop_kubelet()
            clusters.start_kubelet()
            await world.create(HTTP_ROUTES, "later", spec=spec())
            await world.until_host(HTTP_ROUTES, "later", lambda _: True)
            found = await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            assert found["metadata"]["uid"] == copy["metadata"]["uid"]

    in_world(clusters, test)


def test_turned_off_they_go(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        async with gateway_api(world):
            await world.create(HTTP_ROUTES, "front", spec=spec())
            await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            clusters.set_policy()
            await world.host_gone(HTTP_ROUTES, "front")

    in_world(clusters, test)


def test_a_route_of_another_schema_keeps_no_other_from_its_copy(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        async with gateway_api(world):
            await world.create(HTTP_ROUTES, "odd", spec={"rules": ["x", {"backendRefs": [{"name": 7}]}]})
            assert clusters.kubelet is not None
            await world.event("odd", "HostCopyRefused")
            await world.create(HTTP_ROUTES, "front", spec=spec())
            await world.until_host(HTTP_ROUTES, "front", lambda _: True)
            assert clusters.kubelet.poll() is None

    in_world(clusters, test)


def test_turned_off_no_gateway_knows_any_route_any_more(clusters: Clusters) -> None:
    """Also of more routes than are worked on at a time."""

    async def test(world: World) -> None:
        routes = [f"front-{n}" for n in range(2 * CONCURRENCY)]

        async def accepted(name: str) -> None:
            await world.create(HTTP_ROUTES, name, spec=spec())
            copy = await world.until_host(HTTP_ROUTES, name, lambda _: True)
            said = {
                "parentRef": copy["spec"]["parentRefs"][0],
                "controllerName": "example.com/gateway",
                "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted"}],
            }
            status = {"status": {"parents": [said]}}
            host_name = world.host_name(name)
            await world.host.patch(HTTP_ROUTES, NAMESPACE, host_name, status, subresource="status")

        async def known() -> int:
            found = await world.virtual.list_all(HTTP_ROUTES, world.namespace)
            return sum(bool((each.get("status") or {}).get("parents")) for each in found)

        async def all_known() -> bool:
            return await known() == len(routes)

        async def none_left() -> bool:
            return not await world.host.list_all(HTTP_ROUTES, NAMESPACE)

        async with gateway_api(world):
            await asyncio.gather(*map(accepted, routes))
            await eventually(all_known)
            clusters.set_policy()
            await eventually(none_left)
            assert await known() == 0

    in_world(clusters, test)
