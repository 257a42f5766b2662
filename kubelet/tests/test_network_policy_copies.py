"""NetworkPolicies between two API servers: copies, and labels of the pods that they isolate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from k3k_kubelet.api import NAMESPACES, NETWORK_POLICIES, PODS, SERVICES, ForbiddenError
from k3k_kubelet.translate import identity
from k3k_kubelet.translate.rules.network_policy import MAX_RANGES

from kubelet.tests.clusters import NAMESPACE, Clusters
from kubelet.tests.refusals import refused
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

Object = dict[str, Any]
HELD = "example.com/held"
INGRESS, EGRESS = identity.ISOLATED["Ingress"], identity.ISOLATED["Egress"]


@pytest.fixture(autouse=True)
def default_policy(clusters: Clusters) -> Iterator[None]:
    """Each test ends with the policy document as it is by default."""
    yield
    clusters.set_policy()


def turned(clusters: Clusters, **settings: Any) -> None:
    clusters.set_policy(sync={"toHost": {"networkPolicies": settings}})


async def guard(world: World, name: str = "guard", **spec: Any) -> Object:
    return await world.create(NETWORK_POLICIES, name, spec={"podSelector": {}, **spec})


async def change(world: World, name: str = "guard", **spec: Any) -> None:
    await world.virtual.patch(NETWORK_POLICIES, world.namespace, name, {"spec": spec})


async def copy_of(world: World, name: str = "guard") -> Object:
    return await world.until_host(NETWORK_POLICIES, name, lambda _: True)


def labels(pod: Object) -> set[str]:
    """The labels of isolation that a host pod has."""
    return {INGRESS, EGRESS} & set(pod["metadata"]["labels"])


async def isolated(world: World, pod: str, *wanted: str) -> Object:
    """The host pod, as soon as it has these labels of isolation and no other one."""
    return await world.until_host(PODS, pod, lambda found: labels(found) == set(wanted))


async def web(world: World, name: str = "web", **more: str) -> Object:
    await world.pod(name, metadata={"labels": {"app": name, **more}})
    return await world.host_pod(name)


def version(obj: Object) -> int:
    """The host's revision of an object's last change: one count for all of them."""
    return int(obj["metadata"]["resourceVersion"])


async def hold(world: World) -> None:
    """Lets a copy be deleted no further than to its mark, whose revision says when that was."""
    held = {"metadata": {"finalizers": [HELD]}}
    await world.host.patch(NETWORK_POLICIES, NAMESPACE, world.host_name("guard"), held)


async def release(world: World) -> None:
    await world.host.patch(
        NETWORK_POLICIES, NAMESPACE, world.host_name("guard"), {"metadata": {"finalizers": None}}
    )
    await world.host_gone(NETWORK_POLICIES, "guard")


def test_a_pod_is_isolated_after_its_policy_is_on_the_host_and_open_before_that_goes(
    clusters: Clusters,
) -> None:
    async def test(world: World) -> None:
        assert labels(await web(world)) == set()
        await guard(world, policyTypes=["Ingress", "Egress"])
        pod = await isolated(world, "web", INGRESS, EGRESS)
        copy = await copy_of(world)
        assert version(copy) < version(pod)
        assert copy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert not {"ingress", "egress"} & set(copy["spec"])

        await hold(world)
        await world.virtual.delete(NETWORK_POLICIES, world.namespace, "guard")
        going = await world.until_host(
            NETWORK_POLICIES, "guard", lambda found: found["metadata"].get("deletionTimestamp")
        )
        pod = await isolated(world, "web")
        assert version(pod) < version(going)
        await release(world)

    in_world(clusters, test)


def test_a_new_pod_has_its_labels_from_the_start_and_they_follow_its_own(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await guard(world, podSelector={"matchLabels": {"app": "web"}})
        await web(world, "first", app="web")
        await isolated(world, "first", INGRESS)
        later = await web(world)
        assert labels(later) == {INGRESS}
        assert labels(await web(world, "other")) == set()
        await world.virtual.patch(PODS, world.namespace, "other", {"metadata": {"labels": {"app": "web"}}})
        await isolated(world, "other", INGRESS)
        await world.virtual.patch(PODS, world.namespace, "web", {"metadata": {"labels": {"app": None}}})
        await isolated(world, "web")

    in_world(clusters, test)


def test_a_policy_that_changes_opens_no_pod_that_it_selects_before_and_after(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await web(world)
        await web(world, "other")
        await guard(world)
        before = await isolated(world, "web", INGRESS)
        await isolated(world, "other", INGRESS)
        await change(world, podSelector={"matchLabels": {"app": "web"}})
        other = await isolated(world, "other")
        narrowed = await world.until_host(
            NETWORK_POLICIES, "guard", lambda found: len(found["spec"]["podSelector"]["matchLabels"]) == 4
        )
        assert version(other) < version(narrowed)
        assert version(await world.host_pod("web")) == version(before)
        await change(world, podSelector={"matchLabels": {"app": None}}, policyTypes=["Ingress", "Egress"])
        widened = await world.until_host(
            NETWORK_POLICIES, "guard", lambda found: len(found["spec"]["podSelector"]["matchLabels"]) == 3
        )
        other = await isolated(world, "other", INGRESS, EGRESS)
        assert version(widened) < version(other)
        await isolated(world, "web", INGRESS, EGRESS)

    in_world(clusters, test)


def test_policies_add_up_and_one_that_allows_everything_isolates_nobody(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await web(world)
        await guard(world, policyTypes=["Ingress", "Egress"])
        await isolated(world, "web", INGRESS, EGRESS)
        await guard(world, "open", ingress=[{}])
        await isolated(world, "web", EGRESS)
        await world.virtual.delete(NETWORK_POLICIES, world.namespace, "open")
        await isolated(world, "web", INGRESS, EGRESS)
        await world.virtual.delete(NETWORK_POLICIES, world.namespace, "guard")
        await isolated(world, "web")
        await world.host_gone(NETWORK_POLICIES, "guard")

    in_world(clusters, test)


def test_who_is_let_in_follows_the_labels_of_namespaces(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        mark = {"test": world.namespace}

        async def let_in(*namespaces: str) -> None:
            def check(found: Object) -> bool:
                peers = [peer for rule in found["spec"].get("ingress") or () for peer in rule["from"]]
                named = [peer["podSelector"]["matchLabels"].get(identity.NAMESPACE) for peer in peers]
                return named == list(namespaces)

            await world.until_host(NETWORK_POLICIES, "guard", check)

        await guard(world, ingress=[{"from": [{"namespaceSelector": {"matchLabels": mark}}]}])
        await copy_of(world)
        await let_in()
        await world.virtual.patch(NAMESPACES, None, world.namespace, {"metadata": {"labels": mark}})
        await let_in(world.namespace)
        await world.virtual.patch(NAMESPACES, None, world.namespace, {"metadata": {"labels": {"test": None}}})
        await let_in()
        other = f"{world.namespace}-more"
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other, "labels": mark}}
        await world.virtual.create(NAMESPACES, None, made)
        await let_in(other)

    in_world(clusters, test)


def test_a_restart_changes_nothing_and_finds_what_happened_meanwhile(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await web(world)
        await web(world, "other")
        await guard(world, podSelector={"matchLabels": {"app": "web"}})
        await guard(world, "gone", podSelector={"matchLabels": {"app": "other"}})
        pod = await isolated(world, "web", INGRESS)
        await isolated(world, "other", INGRESS)
        copy = await copy_of(world)
        clusters.stop_kubelet()
        try:
            await world.virtual.delete(NETWORK_POLICIES, world.namespace, "gone")
        finally:
            clusters.start_kubelet()
        await world.host_gone(NETWORK_POLICIES, "gone")
        await isolated(world, "other")
        await web(world, "late", app="web")
        await isolated(world, "late", INGRESS)
        assert version(await world.host_pod("web")) == version(pod)
        assert version(await copy_of(world)) == version(copy)

    in_world(clusters, test)


def test_turned_off_pods_are_open_and_turned_on_they_are_closed_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await web(world)
        await guard(world)
        await isolated(world, "web", INGRESS)
        await hold(world)
        turned(clusters, enabled=False)
        going = await world.until_host(
            NETWORK_POLICIES, "guard", lambda found: found["metadata"].get("deletionTimestamp")
        )
        pod = await isolated(world, "web")
        assert version(pod) < version(going)
        await release(world)
        assert labels(await web(world, "new")) == set()
        turned(clusters, enabled=True)
        await isolated(world, "web", INGRESS)
        await isolated(world, "new", INGRESS)
        turned(clusters, selector={"matchLabels": {"host": "yes"}})
        await world.host_gone(NETWORK_POLICIES, "guard")
        await isolated(world, "web")

    in_world(clusters, test)


def test_labels_of_isolation_are_ours_to_set_and_put_right(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("web", metadata={"labels": {INGRESS: "true"}})
        assert labels(await world.host_pod("web")) == set()
        await guard(world)
        await isolated(world, "web", INGRESS)
        name = world.host_name("web")
        await world.host.patch(PODS, NAMESPACE, name, {"metadata": {"labels": {INGRESS: None, EGRESS: "x"}}})
        await isolated(world, "web", INGRESS)

    in_world(clusters, test)


def test_a_policy_that_the_host_does_not_take_isolates_nobody_and_says_so(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await web(world)
        await guard(world)
        await isolated(world, "web", INGRESS)
        taken = world.host_name("taken")
        stranger = {"metadata": {"name": taken}, "spec": {"podSelector": {"matchLabels": {"a": "b"}}}}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **stranger}
        await world.host.create(NETWORK_POLICIES, NAMESPACE, body)
        await guard(world, "taken", policyTypes=["Egress"])
        await world.event("taken", "HostCopyFailed")
        assert labels(await world.host_pod("web")) == {INGRESS}
        await world.host.delete(NETWORK_POLICIES, NAMESPACE, taken)
        await isolated(world, "web", INGRESS, EGRESS)

    in_world(clusters, test)


def test_a_policy_that_becomes_too_large_leaves_the_host_after_its_labels(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await web(world)
        await guard(world, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "8.8.8.0/24"}}]}])
        await isolated(world, "web", EGRESS)
        await hold(world)
        many = [{"ipBlock": {"cidr": f"8.{n >> 8}.{n & 255}.0/24"}} for n in range(MAX_RANGES + 1)]
        await change(world, egress=[{"to": many}])
        going = await world.until_host(
            NETWORK_POLICIES, "guard", lambda found: found["metadata"].get("deletionTimestamp")
        )
        pod = await isolated(world, "web")
        assert version(pod) < version(going)
        await release(world)
        await world.event("guard", "HostCopyRefused")
        await change(world, egress=[{"to": many[:2]}])
        await isolated(world, "web", EGRESS)

    in_world(clusters, test)


def test_an_exposed_pod_that_is_isolated_is_open_to_whom_both_let_in(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        async def open_to(*ports: int) -> Object:
            def check(found: Object) -> bool:
                return [port["port"] for rule in found["spec"]["ingress"] for port in rule["ports"]] == [
                    *ports
                ]

            return await world.until_host(NETWORK_POLICIES, "web:guard:admitted", check)

        await web(world)
        each = [{"name": f"p{port}", "port": port, "targetPort": port} for port in (80, 81)]
        await world.create(
            SERVICES, "web", spec={"type": "NodePort", "selector": {"app": "web"}, "ports": each}
        )
        await world.until_host(NETWORK_POLICIES, "web:services", lambda _: True)
        await guard(world)
        await isolated(world, "web", INGRESS)
        await change(world, ingress=[{"ports": [{"port": 80}]}])
        await open_to(80)
        await change(world, ingress=[{"ports": [{"port": 80}]}, {"ports": [{"port": 81}]}])
        before = await open_to(80, 81)
        clusters.stop_kubelet()
        clusters.start_kubelet()
        await web(world, "later")
        assert version(await open_to(80, 81)) == version(before)

        await world.virtual.patch(SERVICES, world.namespace, "web", {"spec": {"type": "ClusterIP"}})
        await world.host_gone(NETWORK_POLICIES, "web:guard:admitted")
        await world.virtual.patch(SERVICES, world.namespace, "web", {"spec": {"type": "NodePort"}})
        await open_to(80, 81)
        turned(clusters, enabled=False)
        await world.host_gone(NETWORK_POLICIES, "web:guard:admitted")
        await world.until_host(NETWORK_POLICIES, "web:services", lambda _: True)
        clusters.set_policy()
        await open_to(80, 81)
        await world.virtual.patch(SERVICES, world.namespace, "web", {"spec": {"ports": each[1:]}})
        await open_to(81)
        await world.virtual.delete(NETWORK_POLICIES, world.namespace, "guard")
        await world.host_gone(NETWORK_POLICIES, "web:guard:admitted")

    in_world(clusters, test)


def test_what_lets_others_in_goes_when_the_host_refuses_its_change(clusters: Clusters) -> None:
    def spec(port: int) -> Object:
        return {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": port}]}

    async def test(world: World) -> None:
        def opens(port: int) -> Callable[[Object], bool]:
            return lambda found: found["spec"]["ingress"][0]["ports"][0]["port"] == port

        await world.create(SERVICES, "web", spec=spec(8080))
        before = await world.until_host(NETWORK_POLICIES, "web:services", opens(8080))
        name = world.host_name("web:services")
        async with refused(world, "UPDATE", NETWORK_POLICIES, name, "'frozen here'"):

            async def holds() -> bool:
                change = {"metadata": {"annotations": {"example.com/tried": str(time.monotonic())}}}
                try:
                    await world.host.patch(NETWORK_POLICIES, NAMESPACE, name, change)
                except ForbiddenError:  # it does from a moment after its creation
                    return True
                return False

            await eventually(holds)
            await world.virtual.patch(SERVICES, world.namespace, "web", {"spec": spec(9090)})
            after = await world.until_host(NETWORK_POLICIES, "web:services", opens(9090))
            assert after["metadata"]["uid"] != before["metadata"]["uid"]
            await world.event("web", "HostCopyFailed", "frozen here")

    in_world(clusters, test)
