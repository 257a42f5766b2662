"""Virtual Nodes: made on use, kept alive, removed when nobody names them, left alone when not ours."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from k3k_kubelet.api import LEASES, NODES, PODS, SERVICES, NotFoundError
from k3k_kubelet.node import NodeTakenError, heartbeat, manifest

from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.node.nodes import Nodes, absent, exists, named, with_nodes
from kubelet.tests.waiting import eventually, never


def test_a_node_is_complete_at_once_and_stays_alive(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.2)

    async def test(nodes: Nodes) -> None:
        async with nodes.running() as made:
            await made.ensure("alive")
            node = await nodes.client.get(NODES, None, "alive")
            service = await nodes.client.get(SERVICES, nodes.namespace, "kubelet")
            assert manifest.address_of(node) == service["spec"]["clusterIP"]
            assert manifest.port_of(node) == 10250
            await eventually(lambda: nodes.listener.served == {"alive": 10250})
            assert node["status"]["capacity"]["cpu"] == "3"
            assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "alive"

            async def renewals() -> str | None:
                with contextlib.suppress(NotFoundError):
                    lease = await nodes.client.get(LEASES, manifest.LEASE_NAMESPACE, "alive")
                    assert lease["spec"]["leaseDurationSeconds"] == 40
                    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
                    return str(lease["spec"]["renewTime"])
                return None

            first = await eventually(renewals)

            async def renewed() -> bool:
                return await renewals() != first

            await eventually(renewed)
            await nodes.client.delete(NODES, None, "alive")

    with_nodes(control_plane, test)


def test_a_lease_that_somebody_deletes_comes_back(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.1)

    async def test(nodes: Nodes) -> None:
        async with nodes.running() as made:
            await made.ensure("leased")

            async def there() -> bool:
                with contextlib.suppress(NotFoundError):
                    await nodes.client.get(LEASES, manifest.LEASE_NAMESPACE, "leased")
                    return True
                return False

            await eventually(there)
            await nodes.client.delete(LEASES, manifest.LEASE_NAMESPACE, "leased")
            await eventually(there)
            await nodes.client.delete(NODES, None, "leased")

    with_nodes(control_plane, test)


def test_a_node_goes_when_no_pod_names_it_any_more(control_plane: ControlPlane) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}

    async def test(nodes: Nodes) -> None:
        client = nodes.client
        async with nodes.running() as made:
            async with made.in_use("used"):  # as a binding has it
                await nodes.pod("pod", "used")
            await nodes.pod("daemon", "daemons", ownerReferences=[owner])
            for node in ("daemons", "idle"):
                await made.ensure(node)
            made.add_all()
            await eventually(lambda: absent(client, "idle"))
            await eventually(lambda: absent(client, "daemons"))
            assert await exists(client, "used")
            await nodes.have_ports([10250])
            await eventually(lambda: list(nodes.listener.served) == ["used"])
            await client.patch(
                *(PODS, nodes.namespace, "pod", {"status": {"phase": "Succeeded"}}), subresource="status"
            )
            made.add_all()
            await never(lambda: absent(client, "used"), 1.0)  # pod GC would delete the pod with its Node
            await client.delete(PODS, nodes.namespace, "pod", grace_period=0)
            await eventually(lambda: absent(client, "used"))

    with_nodes(control_plane, test, unused_node_seconds=0.5)


def test_a_node_that_is_bound_to_while_its_pods_are_asked_for_stays(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(nodes: Nodes) -> None:
        client = nodes.client
        list_all = client.list_all
        asked, bound = asyncio.Event(), asyncio.Event()

        async def answered_late(*arguments: Any, **rest: Any) -> Any:
            found = await list_all(*arguments, **rest)
            asked.set()
            await bound.wait()
            return found

        async with nodes.running() as made:
            async with made.in_use("raced"):
                before = await client.get(NODES, None, "raced")
                monkeypatch.setattr(client, "list_all", answered_late)
                made.add_all()
                await eventually(asked.is_set)
                await nodes.pod("pod", "raced")
            bound.set()

            async def another() -> bool:
                return await absent(client, "raced") or (
                    (await client.get(NODES, None, "raced"))["metadata"]["uid"] != before["metadata"]["uid"]
                )

            await never(another, 1.0)
        await client.delete(NODES, None, "raced")

    with_nodes(control_plane, test, unused_node_seconds=0.1)


def test_nodes_that_joined_by_themselves_are_left_alone(control_plane: ControlPlane) -> None:
    async def test(nodes: Nodes) -> None:
        foreign = await nodes.client.create(NODES, None, named("v1", "Node", "joined"))
        async with nodes.running() as made:
            assert not made.is_ours_or_absent("joined")
            assert made.is_ours_or_absent("nobody")
            with pytest.raises(NodeTakenError):
                await made.ensure("joined")
            made.add_all()

            async def changed() -> bool:
                found = await nodes.client.get(NODES, None, "joined")
                return found["metadata"]["resourceVersion"] != foreign["metadata"]["resourceVersion"]

            await never(changed, 0.5)
            assert nodes.listener.served == {}
        await nodes.client.delete(NODES, None, "joined")

    with_nodes(control_plane, test, unused_node_seconds=0.1)
