"""Ports of the kubelet's Service: one for each virtual Node, since requests to a kubelet do not name it."""

from __future__ import annotations

import asyncio

from k3k_kubelet.api import SERVICES, ApiClient, ApiError
from k3k_kubelet.config import MAX_NODES, Config
from k3k_kubelet.node import manifest
from k3k_kubelet.node.serving import all_ports


class Ports:
    """Which Node has which port.

    Args:
        config: The kubelet's configuration.
        host: Host API server.
    """

    def __init__(self, config: Config, host: ApiClient) -> None:
        self._config = config
        self._host = host
        self._ports: dict[str, int] = {}
        self._published: frozenset[int] = frozenset()
        """What the Service had when we last looked."""
        self._lock = asyncio.Lock()

    def names(self) -> set[str]:
        """Nodes that have one."""
        return set(self._ports)

    def __contains__(self, name: str) -> bool:
        return name in self._ports

    def get(self, name: str) -> int | None:
        """A Node's port."""
        return self._ports.get(name)

    def adopt(self, name: str, port: int | None) -> None:
        """Takes over the port that a Node says it has.

        The status is the tenant's to write as well: a port that is not ours to give is not taken over.
        """
        if port is not None and port not in self._ports.values() and port in all_ports(self._config):
            self._ports[name] = port

    async def give(self, name: str) -> int:
        """The port of a Node, which the Service has when this returns.

        Raises:
            ApiError: There is none left, or the host refused.
        """
        if name not in self._ports:
            self._ports[name] = self._free()
        port = self._ports[name]
        if port not in self._published:  # a tenant who spoils a Node again and again costs the host nothing
            await self.publish()
        return port

    async def take_back(self, name: str) -> None:
        """The Node has gone."""
        self._ports.pop(name, None)
        await self.publish()

    async def publish(self) -> None:
        """Gives the Service a port for each Node, in one patch at a time, whatever it has by now.

        Raises:
            ApiError: The host refused.
        """
        async with self._lock:
            namespace, name = self._config.control_plane_namespace, self._config.service
            service = await self._host.get(SERVICES, namespace, name)
            wanted = frozenset(self._ports.values())
            ports = manifest.service_ports(wanted, self._config)
            present = [(port["port"], port.get("targetPort")) for port in service["spec"].get("ports") or ()]
            if present != [(port["port"], port["targetPort"]) for port in ports]:
                await self._host.patch(SERVICES, namespace, name, {"spec": {"ports": ports}})
            self._published = wanted

    def _free(self) -> int:
        used = set(self._ports.values())
        for port in all_ports(self._config):
            if port not in used:
                return port
        raise ApiError(0, "NoPort", f"a cluster has at most {MAX_NODES} virtual nodes")
