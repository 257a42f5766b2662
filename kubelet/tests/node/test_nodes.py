"""Virtual Nodes: made on use, kept alive, taken over after a restart, removed when nobody names them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from k3k_kubelet.api import LEASES, NODES, PODS, SERVICE_ACCOUNTS, SERVICES, ApiClient, NotFoundError
from k3k_kubelet.cache import Informer, Store
from k3k_kubelet.config import Config, ConfigError, NodeCapacity, load
from k3k_kubelet.node import (
    NodeApis,
    NodeManager,
    NodeTakenError,
    facts,
    health,
    heartbeat,
    manifest,
    serving,
)
from k3k_kubelet.node.heartbeat import Heartbeats
from k3k_kubelet.node.hosts import HostNodes
from k3k_kubelet.policy import Pods
from k3k_kubelet.translate import identity

from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.waiting import eventually, never
from kubelet.tests.world import NAMESPACES

_numbers = itertools.count(1)


class Listener:
    """Which Nodes are served, on which port."""

    def __init__(self) -> None:
        self.served: dict[str, int] = {}

    async def listen(self, node: str, port: int) -> None:
        self.served[node] = port

    async def close(self, node: str) -> None:
        self.served.pop(node, None)


class Nodes:
    """A NodeManager and its stores; one real API server is host and virtual cluster at once."""

    def __init__(self, client: ApiClient, namespace: str, **config: Any) -> None:
        self.client = client
        self.namespace = namespace
        self.config = Config(
            cluster=namespace,
            namespace=namespace,
            control_plane_namespace=namespace,
            anchor="a",
            service="kubelet",
            lease="l",
            service_account="s",
            cluster_domain="cluster.local",
            version="v1.34.4",
            node_capacity=NodeCapacity(cpu="3"),
            **config,
        )
        self.nodes = Store({"port": partial(serving.ports, self.config)})
        self.pods = Store({"node": _node_of})
        self.listener = Listener()
        self.apis = NodeApis(self.nodes, self.listener)
        self.heartbeats = Heartbeats(client)
        self.hosts = HostNodes(
            self.config,
            Pods,
            pods=Store({health.INDEX: health.signs}),
            nodes=Store(),
            quotas=Store(),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[NodeManager]:
        informers = [
            Informer(self.client, NODES, self.nodes),
            Informer(self.client, PODS, self.pods, namespace=self.namespace),
        ]
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        for informer in informers:
            await informer.synced.wait()
        service = await self.client.get(SERVICES, self.namespace, "kubelet")
        made = NodeManager(
            self.config,
            self.client,
            self.client,
            self.heartbeats,
            self.nodes,
            self.pods,
            service["spec"]["clusterIP"],
            self.hosts,
        )
        made.start()
        tasks += [asyncio.create_task(work) for work in (made.run(), self.apis.run())]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await self.heartbeats.close()

    def made_before(self, name: str, address: str, port: int) -> dict[str, Any]:
        """A Node as an earlier process of another address has made it."""
        said = facts.on_use(name, {"cpu": "3"}, failed=False)
        return manifest.node(name, port, address, self.config, said)

    async def pod(self, name: str, node: str, **metadata: Any) -> None:
        """A pod that is bound and that the host has begun with."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **metadata},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": "x"}],
            },
        }
        await self.client.create(PODS, self.namespace, body)
        change = {"status": {"startTime": "2026-01-01T00:00:00Z"}}
        await self.client.patch(PODS, self.namespace, name, change, subresource="status")

    async def have_ports(self, expected: list[int]) -> None:
        """Waits for it: a port goes from the Service after its Node has gone."""

        async def published() -> bool:
            service = await self.client.get(SERVICES, self.namespace, "kubelet")
            ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
            extension = ports.pop("extension", None)
            return extension == self.config.extension_port and list(ports.values()) == expected

        await eventually(published)


def _node_of(pod: dict[str, Any]) -> list[str]:
    node = pod["spec"].get("nodeName")
    return [node] if node else []


def with_nodes(plane: ControlPlane, test: Callable[[Nodes], Awaitable[None]], **config: Any) -> None:
    async def run() -> None:
        client = plane.client()
        name = f"nodes-{next(_numbers)}"
        await client.create(NAMESPACES, None, _object("v1", "Namespace", name))
        await client.create(SERVICE_ACCOUNTS, name, _object("v1", "ServiceAccount", "default"))
        service = _object("v1", "Service", "kubelet")
        service["spec"] = {"ports": [{"name": "node-0", "port": 10250}]}
        await client.create(SERVICES, name, service)
        try:
            await test(Nodes(client, name, **config))
        finally:
            await client.close()

    asyncio.run(run())


def _object(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


async def exists(client: ApiClient, name: str) -> bool:
    with contextlib.suppress(NotFoundError):
        await client.get(NODES, None, name)
        return True
    return False


async def absent(client: ApiClient, name: str) -> bool:
    return not await exists(client, name)


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


def test_a_node_goes_when_no_pod_names_it_any_more(control_plane: ControlPlane) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}

    async def test(nodes: Nodes) -> None:
        client = nodes.client
        async with nodes.running() as made:
            for node in ("used", "daemons", "idle"):
                await made.ensure(node)
            await nodes.pod("pod", "used")
            await nodes.pod("daemon", "daemons", ownerReferences=[owner])
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


def test_nodes_that_joined_by_themselves_are_left_alone(control_plane: ControlPlane) -> None:
    async def test(nodes: Nodes) -> None:
        foreign = await nodes.client.create(NODES, None, _object("v1", "Node", "joined"))
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


def test_configuration_errors_name_file_and_field(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with pytest.raises(ConfigError, match=r"config\.json: No such file"):
        load(file)
    file.write_text('{"cluster": "c", "namespace": 7}')
    with pytest.raises(ConfigError, match=r"config\.json: Expected `str`, got `int` - at `\$.namespace`"):
        load(file)
    file.write_text('{"cluster": "c", "paths": {"tls": "/x", "other": "/y"}}')
    with pytest.raises(ConfigError, match="unknown field `other`"):
        load(file)
