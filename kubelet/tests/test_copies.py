"""Objects with copies on the host: made, kept in step, put right, removed, turned on and off.

PodDisruptionBudgets stand for all kinds: the controller is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from k3k_kubelet.api import CONFIG_MAPS, POD_DISRUPTION_BUDGETS, Resource
from k3k_kubelet.sync.apply import MANIFEST
from k3k_kubelet.translate import identity, names

from kubelet.tests.clusters import CLUSTER, CONTROL_PLANE, NAMESPACE, Clusters
from kubelet.tests.refusals import QUOTAS, enforced
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

PDB = POD_DISRUPTION_BUDGETS
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")


@pytest.fixture(autouse=True)
def default_policy(clusters: Clusters) -> Iterator[None]:
    """Each test begins and ends with the policy as it is by default."""
    yield
    clusters.set_policy()


def policy(clusters: Clusters, **setting: Any) -> None:
    clusters.set_policy(sync={"toHost": {"podDisruptionBudgets": setting}})


async def budget(world: World, name: str = "web", **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {"tier": "front"})
    whole = {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}, **spec}
    return await world.create(PDB, name, metadata={"labels": labels}, spec=whole)


async def copied(world: World, name: str = "web", needed: int = 1) -> dict[str, Any]:
    return await world.until_host(PDB, name, lambda copy: copy["spec"]["minAvailable"] == needed)


def test_a_copy_follows_its_object_and_goes_with_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await budget(world)
        copy = await copied(world)
        assert copy["spec"]["selector"]["matchLabels"] == {
            names.label_key("app"): "web",
            identity.CLUSTER: CLUSTER,
            identity.NAMESPACE: world.namespace,
        }
        change = {"spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": "shop"}}}}
        await world.virtual.patch(PDB, world.namespace, "web", change)
        copy = await copied(world, needed=3)
        assert copy["spec"]["selector"]["matchLabels"][names.label_key("app")] == "shop"
        await world.virtual.delete(PDB, world.namespace, "web")
        await world.host_gone(PDB, "web")

    in_world(clusters, test)


def test_a_copy_that_somebody_changes_or_deletes_is_put_right_and_what_others_add_stays(
    clusters: Clusters,
) -> None:
    async def test(world: World) -> None:
        await budget(world)
        await copied(world)
        name = world.host_name("web")
        change = {"metadata": {"labels": {"cost": "42"}}, "spec": {"minAvailable": 9}}
        await world.host.patch(PDB, NAMESPACE, name, change)
        copy = await copied(world)
        assert copy["metadata"]["labels"]["cost"] == "42"
        await world.host.delete(PDB, NAMESPACE, name)
        anew = await copied(world)
        assert anew["metadata"]["uid"] != copy["metadata"]["uid"]

    in_world(clusters, test)


def test_nothing_is_written_where_nothing_changed(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await budget(world)
        copy = await copied(world)
        change = {"metadata": {"annotations": {"example.com/mine": "1"}}}
        await world.virtual.patch(PDB, world.namespace, "web", change)
        await budget(world, "later")
        later = await copied(world, "later")
        found = await world.host_get(PDB, "web")
        assert found is not None
        assert found["metadata"]["managedFields"][0]["time"] == copy["metadata"]["managedFields"][0]["time"]
        assert found["metadata"]["annotations"] == copy["metadata"]["annotations"]
        assert later["metadata"]["annotations"][MANIFEST] != copy["metadata"]["annotations"][MANIFEST]

    in_world(clusters, test)


def test_an_object_made_anew_has_a_copy_made_anew(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await budget(world)
        first = await copied(world)
        clusters.stop_kubelet()
        try:
            await world.virtual.delete(PDB, world.namespace, "web")
            again = await budget(world, minAvailable=2)
        finally:
            clusters.start_kubelet()
        copy = await copied(world, needed=2)
        assert copy["metadata"]["uid"] != first["metadata"]["uid"]
        assert copy["metadata"]["annotations"][identity.UID] == again["metadata"]["uid"]

    in_world(clusters, test)


def test_a_kind_that_is_turned_off_loses_its_copies_and_gets_them_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        for name in ("web", "shop"):
            await budget(world, name)
            await copied(world, name)
        policy(clusters, enabled=False)
        for name in ("web", "shop"):
            await world.host_gone(PDB, name)
        await budget(world, "late")
        await never(lambda: world.host_get(PDB, "late"), 0.5)
        policy(clusters, enabled=True)
        for name in ("web", "shop", "late"):
            await copied(world, name)

    in_world(clusters, test)


def test_copies_of_a_kind_that_was_turned_off_meanwhile_go_at_the_start(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await budget(world)
        await copied(world)
        clusters.stop_kubelet()
        try:
            policy(clusters, enabled=False)
        finally:
            clusters.start_kubelet()
        await world.host_gone(PDB, "web")

    in_world(clusters, test)


def test_only_what_has_the_labels_that_the_policy_wants_is_copied(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await budget(world, "chosen", labels={"host": "yes", "a": "b"})
        await budget(world, "other", labels={"host": "no"})
        for name in ("chosen", "other"):
            await copied(world, name)
        policy(clusters, selector={"matchLabels": {"host": "yes"}})
        await world.host_gone(PDB, "other")
        await copied(world, "chosen")
        swapped = {"chosen": "no", "other": "yes"}
        for name, value in swapped.items():
            await world.virtual.patch(PDB, world.namespace, name, {"metadata": {"labels": {"host": value}}})
        await copied(world, "other")
        await world.host_gone(PDB, "chosen")

    in_world(clusters, test)


def test_an_object_of_somebody_else_is_never_touched(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        name = world.host_name("web")
        foreign = {
            "apiVersion": PDB.api_version,
            "kind": PDB.kind,
            "metadata": {"name": name, "labels": {identity.CLUSTER: CLUSTER}},
            "spec": {"minAvailable": 7, "selector": {"matchLabels": {"a": "b"}}},
        }
        made = await world.host.create(PDB, NAMESPACE, foreign)
        await budget(world)
        event = await world.event("web", "HostCopyFailed")
        assert event["involvedObject"]["kind"] == "PodDisruptionBudget"
        assert event["involvedObject"]["apiVersion"] == "policy/v1"
        assert "of somebody else has the name" in event["message"]
        assert name not in event["message"]
        found = await world.host.get(PDB, NAMESPACE, name)
        assert (found["metadata"]["uid"], found["spec"]) == (made["metadata"]["uid"], made["spec"])
        await world.virtual.delete(PDB, world.namespace, "web")
        await world.host.delete(PDB, NAMESPACE, name)

    in_world(clusters, test)


def test_what_the_host_refuses_is_told_with_virtual_names_and_tried_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        hard = {"hard": {"count/poddisruptionbudgets.policy": "0"}}
        body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-budgets"}, "spec": hard}
        await world.host.create(QUOTAS, NAMESPACE, body)
        try:
            await enforced(world, PDB, {"minAvailable": 1}, "exceeded quota")
            await budget(world)
            event = await world.event("web", "HostCopyFailed", "exceeded quota: no-budgets")
            assert '"web"' in event["message"]
            assert world.host_name("web") not in event["message"]
        finally:
            await world.host.delete(QUOTAS, NAMESPACE, "no-budgets")
        await copied(world)

    in_world(clusters, test)


def test_a_right_that_is_missing_is_told_without_the_account_that_lacks_it(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        role = await world.host.get(ROLES, NAMESPACE, f"{CLUSTER}-kubelet")
        less = json.loads(json.dumps(role["rules"]))
        [rule] = [each for each in less if each["resources"] == ["poddisruptionbudgets"]]
        rule["verbs"] = ["get", "list", "watch", "delete"]
        await world.host.patch(ROLES, NAMESPACE, f"{CLUSTER}-kubelet", {"rules": less})
        account = f"system:serviceaccount:{CONTROL_PLANE}:{CLUSTER}-kubelet"
        right = {"verb": "create", "group": PDB.group, "resource": PDB.plural, "namespace": NAMESPACE}
        try:
            await eventually(lambda: not clusters.host.may(account, **right))
            await budget(world)
            event = await world.event("web", "HostCopyFailed")
            assert event["message"] == "the virtual kubelet has no right on the host to do this"
        finally:
            await world.host.patch(ROLES, NAMESPACE, f"{CLUSTER}-kubelet", {"rules": role["rules"]})
        await copied(world)

    in_world(clusters, test)


def test_a_budget_that_cannot_be_worked_out_has_no_copy_and_says_why(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await budget(world, maxUnavailable=1, minAvailable=None)
        await copied(world, needed=0)
        owner = await world.create(CONFIG_MAPS, "owner")
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
            "controller": True,
        }
        await world.pod("web-0", metadata={"labels": {"app": "web"}, "ownerReferences": [reference]})
        event = await world.event("web", "HostCopyRefused")
        assert "give minAvailable a number" in event["message"]
        await world.host_gone(PDB, "web")
        change = {"spec": {"minAvailable": 1, "maxUnavailable": None}}
        await world.virtual.patch(PDB, world.namespace, "web", change)
        await copied(world, needed=1)

    in_world(clusters, test)
