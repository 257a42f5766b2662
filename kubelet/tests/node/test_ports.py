"""Where virtual Nodes are served: on ports of their own, whatever a tenant or an earlier process wrote."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from k3k_kubelet.api import NODES, PODS, SERVICES
from k3k_kubelet.node import manifest
from k3k_kubelet.translate import identity

from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.node.nodes import Nodes, with_nodes
from kubelet.tests.waiting import eventually


def test_many_at_once_get_different_ports_and_a_restart_keeps_them(control_plane: ControlPlane) -> None:
    async def test(nodes: Nodes) -> None:
        names = [f"many-{number}" for number in range(8)]
        async with nodes.running() as made:
            await asyncio.gather(*(made.ensure(name) for name in names for _ in range(2)))
            await eventually(lambda: len(nodes.listener.served) == len(names))
            before = dict(nodes.listener.served)
            assert sorted(before.values()) == list(range(10250, 10258))
            await nodes.have_ports(list(range(10250, 10258)))
        again = Nodes(nodes.client, nodes.namespace)
        async with again.running() as made:
            await eventually(lambda: again.listener.served == before)
            await made.ensure("many-new")
            await eventually(lambda: again.listener.served == {**before, "many-new": 10258})
        for name in (*names, "many-new"):
            await nodes.client.delete(NODES, None, name)

    with_nodes(control_plane, test)


def test_ports_that_somebody_took_from_the_service_come_back(control_plane: ControlPlane) -> None:
    async def test(nodes: Nodes) -> None:
        async with nodes.running() as made:
            await asyncio.gather(made.ensure("first"), made.ensure("second"))
            spec = {"spec": {"ports": [{"name": "node-0", "port": 10250}]}}
            await nodes.client.patch(SERVICES, nodes.namespace, "kubelet", spec)
            made.add_all()
            await nodes.have_ports([10250, 10251])

    with_nodes(control_plane, test)


def test_another_address_or_version_is_written_into_the_nodes_there_are(control_plane: ControlPlane) -> None:
    async def test(nodes: Nodes) -> None:
        label = {identity.CLUSTER: nodes.namespace}
        old = nodes.made_before("old", "192.0.2.9", 10260)
        old["status"]["nodeInfo"]["kubeletVersion"] = "v1.33.0"
        made = await nodes.client.create(NODES, None, old)
        assert made["metadata"]["labels"].items() >= label.items()
        async with nodes.running():
            service = await nodes.client.get(SERVICES, nodes.namespace, "kubelet")

            async def current() -> bool:
                node = await nodes.client.get(NODES, None, "old")
                return (
                    manifest.address_of(node) == service["spec"]["clusterIP"]
                    and node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.4"
                    and manifest.port_of(node) == 10260
                )

            await eventually(current)
        await nodes.client.delete(NODES, None, "old")

    with_nodes(control_plane, test)


def _leading_to(address: str, port: int) -> dict[str, Any]:
    """The status with which a tenant sends the API server elsewhere for a Node's logs and exec."""
    return {
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
    }


def test_a_node_whose_address_the_tenant_changes_is_put_right(control_plane: ControlPlane) -> None:
    async def test(nodes: Nodes) -> None:
        async with nodes.running() as made:
            await made.ensure("moved")
            await nodes.pod("pod", "moved")
            before = await nodes.client.get(NODES, None, "moved")
            wanted = (manifest.address_of(before), manifest.port_of(before))
            change = _leading_to("192.0.2.1", 8081)
            changed = await nodes.client.patch(NODES, None, "moved", change, subresource="status")
            assert manifest.port_of(changed) == 8081

            async def put_right() -> bool:
                node = await nodes.client.get(NODES, None, "moved")
                return (manifest.address_of(node), manifest.port_of(node)) == wanted

            await eventually(put_right)
            await nodes.client.delete(PODS, nodes.namespace, "pod", grace_period=0)
        await nodes.client.delete(NODES, None, "moved")

    with_nodes(control_plane, test)


@pytest.mark.parametrize("port", [8081, 70000, 10249, 11250])
def test_a_forged_port_is_not_taken_over(control_plane: ControlPlane, port: int) -> None:
    """8081 is the kubelet's own health port; 70000 would have the host refuse all ports of the Service."""

    async def test(nodes: Nodes) -> None:
        for name in ("forged", "honest"):
            await nodes.client.create(NODES, None, nodes.made_before(name, "192.0.2.9", 10250))
        change = _leading_to("192.0.2.9", port)
        await nodes.client.patch(NODES, None, "forged", change, subresource="status")
        async with nodes.running() as made:
            await asyncio.gather(made.ensure("honest"), made.ensure("forged"))
            await eventually(lambda: nodes.listener.served == {"honest": 10250, "forged": 10251})
            await nodes.have_ports([10250, 10251])
            node = await nodes.client.get(NODES, None, "forged")
            assert manifest.port_of(node) == 10251
        for name in ("forged", "honest"):
            await nodes.client.delete(NODES, None, name)

    with_nodes(control_plane, test)
