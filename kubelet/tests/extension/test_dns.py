"""What the cluster's DNS needs inside: the right to read what it answers from, kube-system/kube-dns."""

from __future__ import annotations

import contextlib

import pytest
from k3k_kubelet.api import ENDPOINT_SLICES, SERVICES, AlreadyExistsError, NotFoundError, Resource
from k3k_kubelet.extension.dns import BINDINGS, NAME, ROLES, USER
from k3k_kubelet.translate.special import DNS as SERVICE

from kubelet.tests.clusters import DNS_HOST, Clusters
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

READ = [("", "services"), ("", "namespaces"), ("discovery.k8s.io", "endpointslices")]
REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
OTHERS = [("", "secrets"), ("", "pods"), ("", "configmaps"), ("", "nodes")]


async def may(world: World, verb: str, group: str, resource: str) -> bool:
    """Whether the API server lets CoreDNS' user do something in all namespaces."""
    attributes = {"verb": verb, "group": group, "resource": resource}
    spec = {"user": USER, "groups": ["system:authenticated"], "resourceAttributes": attributes}
    review = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "metadata": {}, "spec": spec}
    answer = await world.virtual.create(REVIEWS, None, review)
    return bool(answer["status"]["allowed"])


async def complete(world: World) -> bool:
    try:
        role = await world.virtual.get(ROLES, None, NAME)
        binding = await world.virtual.get(BINDINGS, None, NAME)
    except NotFoundError:
        return False
    return (
        {verb for rule in role["rules"] or () for verb in rule["verbs"]} == {"list", "watch"}
        and binding["roleRef"]["name"] == NAME
        and [subject["name"] for subject in binding.get("subjects", ())] == [USER]
    )


def test_it_may_read_what_it_answers_from_and_nothing_else(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await eventually(lambda: complete(world))
        granted = {(verb, *each) for verb in ("list", "watch") for each in READ}
        asked = granted | {("list", *each) for each in OTHERS} | {("create", *each) for each in READ}

        async def has_its_rights() -> bool:
            return all([await may(world, *each) for each in granted])

        await eventually(has_its_rights)  # the API server learns of them by a watch of its own
        assert {each for each in asked if await may(world, *each)} == granted

    in_world(clusters, test)


def test_what_a_tenant_deletes_or_changes_is_put_right(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await eventually(lambda: complete(world))
        await world.virtual.delete(ROLES, None, NAME)
        await world.virtual.delete(BINDINGS, None, NAME)
        await eventually(lambda: complete(world))
        await world.virtual.patch(ROLES, None, NAME, {"rules": []})
        await world.virtual.patch(BINDINGS, None, NAME, {"subjects": None})
        await eventually(lambda: complete(world))

        # What a binding leads to cannot be changed: the kubelet makes it anew.
        await world.virtual.delete(BINDINGS, None, NAME)
        other = {"apiGroup": ROLES.group, "kind": "ClusterRole", "name": "view"}
        own = {"metadata": {"name": NAME}, "roleRef": other, "subjects": []}
        with contextlib.suppress(AlreadyExistsError):  # the kubelet was faster
            await world.virtual.create(BINDINGS, None, {"apiVersion": BINDINGS.api_version, **own})
        await eventually(lambda: complete(world))

    in_world(clusters, test)


async def leads_to_dns(world: World) -> bool:
    """Whether kube-dns is there, has the address of the host, and says so."""
    try:
        service = await world.virtual.get(SERVICES, *SERVICE)
        endpoints = await world.virtual.get(ENDPOINT_SLICES, *SERVICE)
    except NotFoundError:
        return False
    ports, shown = (
        {(port["name"], port["port"], port["protocol"]) for port in found}
        for found in (service["spec"].get("ports", ()), endpoints["ports"])
    )
    return (
        service["spec"].get("clusterIP") == DNS_HOST
        and "selector" not in service["spec"]
        and ports == shown == {("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")}
        and service["metadata"].get("labels", {}).get("k8s-app") == "kube-dns"
        and [each["addresses"] for each in endpoints["endpoints"]] == [[DNS_HOST]]
        and endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == "kube-dns"
    )


def test_kube_dns_has_the_address_of_the_hosts_service(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await eventually(lambda: leads_to_dns(world))
        await world.virtual.delete(ENDPOINT_SLICES, *SERVICE)
        await world.virtual.delete(SERVICES, *SERVICE)
        await eventually(lambda: leads_to_dns(world))
        steered = {"metadata": {"labels": None}, "spec": {"selector": {"app": "mine"}}}
        await world.virtual.patch(SERVICES, *SERVICE, steered)
        await eventually(lambda: leads_to_dns(world))

    in_world(clusters, test)
