"""StorageClasses, IngressClasses and PriorityClasses of the host, shown inside as the policy says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from k3k_kubelet.api import (
    INGRESS_CLASSES,
    PODS,
    PRIORITY_CLASSES,
    STORAGE_CLASSES,
    ApiClient,
    ForbiddenError,
    NotFoundError,
    Resource,
)
from k3k_kubelet.extension.wanted import MANAGED
from k3k_kubelet.translate import classes

from kubelet.tests.clusters import Clusters
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

BODIES: dict[str, dict[str, Any]] = {
    "storageClasses": {"provisioner": "disk.example.com", "volumeBindingMode": "WaitForFirstConsumer"},
    "ingressClasses": {"spec": {"controller": "example.com/ingress"}},
    "priorityClasses": {"value": 1000, "preemptionPolicy": "Never"},
}
RESOURCES = {
    "storageClasses": STORAGE_CLASSES,
    "ingressClasses": INGRESS_CLASSES,
    "priorityClasses": PRIORITY_CLASSES,
}
KINDS = pytest.mark.parametrize("kind", BODIES)


@pytest.fixture(autouse=True)
def default_policy(clusters: Clusters) -> Iterator[None]:
    """Each test begins and ends with the policy as it is by default."""
    yield
    clusters.set_policy()


def policy(clusters: Clusters, kind: str, *priority_classes: str, **setting: Any) -> None:
    clusters.set_policy(sync={"fromHost": {kind: setting}}, priorityClasses=priority_classes)


async def make(client: ApiClient, kind: str, name: str, **rest: Any) -> dict[str, Any]:
    resource = RESOURCES[kind]
    metadata = {"name": name, **rest.pop("metadata", {})}
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **BODIES[kind]}
    return await client.create(resource, None, {**body, **rest})


async def found(client: ApiClient, resource: Resource, name: str) -> dict[str, Any] | None:
    try:
        return await client.get(resource, None, name)
    except NotFoundError:
        return None


async def shown(world: World, kind: str, name: str) -> dict[str, Any]:
    there = await eventually(lambda: found(world.virtual, RESOURCES[kind], name))
    assert there is not None
    return there


async def hidden(world: World, kind: str, name: str) -> None:
    async def gone() -> bool:
        return await found(world.virtual, RESOURCES[kind], name) is None

    await eventually(gone)


@KINDS
def test_what_the_host_has_is_shown_while_the_policy_says_so(clusters: Clusters, kind: str) -> None:
    async def test(world: World) -> None:
        names = [f"{world.namespace}-{end}" for end in ("a", "b", "late")]
        for name in names[:2]:
            await make(world.host, kind, name)
        await never(lambda: found(world.virtual, RESOURCES[kind], names[0]), 0.5)
        policy(clusters, kind, *names, enabled=True)
        for name in names[:2]:
            inside = await shown(world, kind, name)
            assert BODIES[kind].items() <= inside.items()
        await make(world.host, kind, names[2])
        await shown(world, kind, names[2])
        await world.host.delete(RESOURCES[kind], None, names[1])
        await hidden(world, kind, names[1])
        policy(clusters, kind, *names, enabled=False)
        await hidden(world, kind, names[0])
        await hidden(world, kind, names[2])

    in_world(clusters, test)


def test_names_and_labels_choose(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        kind = "storageClasses"
        named, labelled, both = (f"{world.namespace}-{end}" for end in ("named", "labelled", "both"))
        labels = {"metadata": {"labels": {"tenants": "yes"}}}
        await make(world.host, kind, named)
        await make(world.host, kind, labelled, **labels)
        await make(world.host, kind, both, **labels)
        selector = {"matchLabels": {"tenants": "yes"}}
        every = (named, labelled, both)
        policy(clusters, kind, *every, enabled=True, names=[named, both], selector=selector)
        await shown(world, kind, both)
        assert await found(world.virtual, RESOURCES[kind], named) is None
        assert await found(world.virtual, RESOURCES[kind], labelled) is None
        policy(clusters, kind, *every, enabled=True, selector=selector)
        await shown(world, kind, labelled)
        change = {"metadata": {"labels": {"tenants": None}}}
        await world.host.patch(RESOURCES[kind], None, both, change)
        await hidden(world, kind, both)

    in_world(clusters, test)


@KINDS
def test_names_alone_make_them_without_reading_the_host(clusters: Clusters, kind: str) -> None:
    async def test(world: World) -> None:
        name = f"{world.namespace}-a"
        policy(clusters, kind, name, names=[name])
        inside = await shown(world, kind, name)
        assert inside["metadata"]["labels"] == {MANAGED: "kubelet"}
        if kind != "priorityClasses":
            assert classes.BY_NAME in (inside.get("provisioner"), inside.get("spec", {}).get("controller"))
        await make(world.host, kind, name)
        policy(clusters, kind, name, names=[name], enabled=True)
        await eventually(lambda: _is(world, kind, name))
        policy(clusters, kind)
        await hidden(world, kind, name)

    in_world(clusters, test)


async def _is(world: World, kind: str, name: str) -> bool:
    """Whether a class inside is as it is on the host."""
    inside = await found(world.virtual, RESOURCES[kind], name)
    return inside is not None and BODIES[kind].items() <= inside.items()


def test_what_the_tenant_changes_or_deletes_is_put_right(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        kind, name, resource = "ingressClasses", f"{world.namespace}-a", INGRESS_CLASSES
        await make(world.host, kind, name)
        policy(clusters, kind, name, enabled=True)
        first = await shown(world, kind, name)
        await world.virtual.delete(resource, None, name)

        async def anew() -> bool:
            inside = await found(world.virtual, resource, name)
            return inside is not None and inside["metadata"]["uid"] != first["metadata"]["uid"]

        await eventually(anew)
        parameters = {"kind": "ConfigMap", "name": "x"}
        await world.virtual.patch(resource, None, name, {"spec": {"parameters": parameters}})

        async def right() -> bool:
            inside = await found(world.virtual, resource, name)
            return inside is not None and "parameters" not in inside["spec"]

        await eventually(right)

    in_world(clusters, test)


def test_a_class_that_is_another_one_now_is_made_anew(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        kind, name = "storageClasses", f"{world.namespace}-a"
        await make(world.host, kind, name)
        policy(clusters, kind, enabled=True)
        await shown(world, kind, name)
        await world.host.delete(STORAGE_CLASSES, None, name)
        await make(world.host, kind, name, provisioner="other.example.com")

        async def anew() -> bool:
            inside = await found(world.virtual, STORAGE_CLASSES, name)
            return inside is not None and inside["provisioner"] == "other.example.com"

        await eventually(anew)

    in_world(clusters, test)


def test_a_class_of_the_tenants_own_is_left_to_him(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        kind = "priorityClasses"
        name, other = (f"{world.namespace}-{end}" for end in ("mine", "other"))
        mine = await make(world.virtual, kind, name, metadata={"labels": {"mine": "yes"}})
        for each in (name, other):
            await make(world.host, kind, each)
        policy(clusters, kind, name, other, enabled=True)
        await shown(world, kind, other)
        policy(clusters, kind, name, other)
        await hidden(world, kind, other)
        inside = await found(world.virtual, RESOURCES[kind], name)
        assert inside is not None
        assert inside["metadata"]["resourceVersion"] == mine["metadata"]["resourceVersion"]

    in_world(clusters, test)


def test_priority_classes_are_shown_only_if_pods_may_have_them(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        low, high = f"{world.namespace}-low", f"{world.namespace}-high"
        for name in (low, high):
            await make(world.host, "priorityClasses", name, globalDefault=False)
        policy(clusters, "priorityClasses", low, enabled=True)
        await shown(world, "priorityClasses", low)
        assert await found(world.virtual, PRIORITY_CLASSES, high) is None
        await eventually(lambda: _made(world, "worker", low))
        copy = await world.host_pod("worker")
        assert (copy["spec"]["priorityClassName"], copy["spec"]["priority"]) == (low, 1000)
        inside = await world.get(PODS, "worker")
        assert inside is not None
        assert inside["spec"]["priority"] == 1000
        # The tenant's own order is his: the host is not told, and the pod says so.
        await make(world.virtual, "priorityClasses", high, value=5)
        await eventually(lambda: _made(world, "eager", high))
        event = await world.event("eager", "FieldDropped")
        assert "pods.priorityClasses" in event["message"]
        assert "priorityClassName" not in (await world.host_pod("eager"))["spec"]

    in_world(clusters, test)


async def _made(world: World, name: str, priority_class: str) -> bool:
    """Makes a pod as soon as admission knows its class, which it learns by a watch of its own."""
    try:
        await world.pod(name, priorityClassName=priority_class)
    except ForbiddenError:
        return False
    return True


def test_classes_of_a_kind_that_was_turned_off_meanwhile_go_at_the_start(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        name = f"{world.namespace}-a"
        policy(clusters, "storageClasses", names=[name])
        await shown(world, "storageClasses", name)
        clusters.stop_kubelet()
        try:
            policy(clusters, "storageClasses")
        finally:
            clusters.start_kubelet()
        await hidden(world, "storageClasses", name)

    in_world(clusters, test)


@pytest.mark.parametrize(
    ("kind", "copies", "key"),
    [
        ("storageClasses", "persistentVolumeClaims", "storageClasses"),
        ("ingressClasses", "ingresses", "classes"),
    ],
)
def test_classes_that_the_tenant_may_not_use_are_not_shown(
    clusters: Clusters, kind: str, copies: str, key: str
) -> None:
    async def test(world: World) -> None:
        mine, other = (f"{world.namespace}-{end}" for end in ("mine", "other"))
        shows = {kind: {"names": [mine, other]}}
        clusters.set_policy(sync={"fromHost": shows})
        for name in (mine, other):
            await shown(world, kind, name)
        clusters.set_policy(sync={"fromHost": shows, "toHost": {copies: {key: [mine]}}})
        await hidden(world, kind, other)
        await shown(world, kind, mine)

    in_world(clusters, test)
