"""What makes metrics.k8s.io known inside: made, put right, and given up to a tenant's own."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from k3k_kubelet.api import AlreadyExistsError, ApiError, NotFoundError, Resource
from k3k_kubelet.extension.registration import API_SERVICE_NAME, NAME, NAMESPACE
from k3k_kubelet.extension.wanted import MANAGED

from kubelet.tests.clusters import Clusters
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, in_world

API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
READERS = "system:aggregated-metrics-reader"

pytestmark = pytest.mark.xdist_group("kubelet-clusters")


async def api_service(world: World) -> dict[str, Any] | None:
    try:
        return await world.virtual.get(API_SERVICES, None, API_SERVICE_NAME)
    except NotFoundError:
        return None


async def complete(world: World) -> bool:
    """Whether all of it is there and leads to the kubelet."""
    try:
        service = await world.virtual.get(SERVICES, NAMESPACE, NAME)
        endpoints = await world.virtual.get(ENDPOINTS, NAMESPACE, NAME)
        readers = await world.virtual.get(ROLES, None, READERS)
    except ApiError:
        return False
    found = await api_service(world)
    assert world.clusters.extension_port
    return bool(
        found
        and found["spec"]["service"]["name"] == NAME
        and found["spec"].get("caBundle")
        and not found["spec"].get("insecureSkipTLSVerify")
        and service["spec"]["clusterIP"] == "None"
        and "selector" not in service["spec"]
        # The controller inside empties them after a Service of the tenant's that has a selector.
        and [port["port"] for subset in endpoints.get("subsets") or () for port in subset.get("ports") or ()]
        == [world.clusters.extension_port]
        and readers["rules"][0]["apiGroups"] == ["metrics.k8s.io"]
    )


def test_what_a_tenant_deletes_or_changes_is_put_right(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await eventually(lambda: complete(world))
        await world.virtual.delete(API_SERVICES, None, API_SERVICE_NAME)
        await eventually(lambda: complete(world))
        await world.virtual.delete(SERVICES, NAMESPACE, NAME)
        await world.virtual.delete(ROLES, None, READERS)
        selector = {"spec": {"caBundle": None, "insecureSkipTLSVerify": True}}
        await world.virtual.patch(API_SERVICES, None, API_SERVICE_NAME, selector)
        await eventually(lambda: complete(world))
        # A Service with an address cannot become headless again.
        await world.virtual.delete(SERVICES, NAMESPACE, NAME)
        ports = [{"name": "https", "port": 443}]
        own = {"metadata": {"name": NAME}, "spec": {"selector": {"app": "mine"}, "ports": ports}}
        with contextlib.suppress(AlreadyExistsError):  # the kubelet was faster
            await world.virtual.create(SERVICES, NAMESPACE, {"apiVersion": "v1", "kind": "Service", **own})
        await world.virtual.patch(API_SERVICES, None, API_SERVICE_NAME, {"spec": {"versionPriority": 7}})
        await eventually(lambda: complete(world))

    in_world(clusters, test)


def test_a_metrics_server_of_the_tenants_own_is_left_alone(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await eventually(lambda: complete(world))
        own = {"name": "metrics-server", "namespace": "kube-system"}
        change = {"spec": {"service": own, "insecureSkipTLSVerify": True, "caBundle": None}}
        await world.virtual.patch(API_SERVICES, None, API_SERVICE_NAME, change)

        async def is_fought() -> bool:
            found = await api_service(world)
            return found is None or found["spec"]["service"]["name"] != "metrics-server"

        await never(is_fought, 2.0)
        await world.virtual.delete(API_SERVICES, None, API_SERVICE_NAME)  # he has enough of it
        await eventually(lambda: complete(world))

        unlabelled = {"metadata": {"labels": {MANAGED: None}}, "spec": {"versionPriority": 9}}
        await world.virtual.patch(API_SERVICES, None, API_SERVICE_NAME, unlabelled)

        async def is_changed_back() -> bool:
            found = await api_service(world)
            return found is None or found["spec"]["versionPriority"] != 9

        await never(is_changed_back, 2.0)
        await world.virtual.delete(API_SERVICES, None, API_SERVICE_NAME)
        await eventually(lambda: complete(world))

    in_world(clusters, test)
