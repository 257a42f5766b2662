"""The kubelet API of all virtual Nodes, served by every replica."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Store
from k3k_kubelet.config import MAX_NODES, Config
from k3k_kubelet.node import manifest
from k3k_kubelet.translate import identity

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class NodeListener(Protocol):
    """The kubelet API of virtual Nodes."""

    async def listen(self, node: str, port: int) -> object:
        """Serves the API of a Node on a port."""

    async def close(self, node: str) -> object:
        """Stops serving it."""


def all_ports(config: Config) -> range:
    """The ports that the NetworkPolicies and the Service are made for."""
    return range(config.first_port, config.first_port + MAX_NODES)


def is_ours(node: Object, cluster: str) -> bool:
    """Whether a Node is one that we made; one that joined by itself has its own kubelet."""
    labels = node["metadata"].get("labels") or {}
    return bool(labels.get(identity.CLUSTER) == cluster)


def ports(config: Config, node: Object) -> Iterable[str]:
    """The index `port` of Nodes: the port of each that is ours.

    The status is the tenant's to write as well: a port that is not ours to give counts for nothing.
    """
    port = manifest.port_of(node)
    if port is not None and port in all_ports(config) and is_ours(node, config.cluster):
        yield str(port)


class NodeApis:
    """Listens for each Node on the port that its status names, whichever replica made it.

    Args:
        nodes: All Nodes of the virtual cluster, with the index `port`.
        listener: Serves the kubelet API.
    """

    def __init__(self, nodes: Store, listener: NodeListener) -> None:
        self._nodes = nodes
        self._listener = listener
        self._served: dict[str, int] = {}
        self._wake = asyncio.Event()
        self.serving = asyncio.Event()
        """Set when all Nodes there were at the start are served."""
        nodes.subscribe(self._changed)

    async def run(self) -> None:
        """Keeps to what the Nodes say, until cancelled."""
        while True:
            self._wake.clear()
            complete = await self._follow()
            if complete:
                self.serving.set()
            try:
                async with asyncio.timeout(None if complete else RETRY_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _follow(self) -> bool:
        """Goes over to what the Nodes say now; returns whether all of it was possible.

        A Node whose status names a port that it cannot have is served where it was, until the holder of the
        Lease has put that right.
        """
        wanted = self._wanted()
        for name, port in list(self._served.items()):
            if self._nodes.get("", name) is None or wanted.get(name, port) != port:
                await self._listener.close(name)
                del self._served[name]
        complete = True
        for name, port in wanted.items():
            if name in self._served:
                continue
            try:
                await self._listener.listen(name, port)
                self._served[name] = port
            except OSError as error:
                complete = False
                log.warning("cannot listen", extra={"node": name, "port": port, "error": str(error)})
        return complete

    def _wanted(self) -> dict[str, int]:
        """Which Node has which port; where two name the same one, the one that has it already."""
        wanted: dict[str, int] = {}
        for text in self._nodes.values("port"):
            port, names = int(text), sorted(entry.name for entry in self._nodes.by_index("port", text))
            wanted[next((name for name in names if self._served.get(name) == port), names[0])] = port
        return wanted

    def _changed(self, change: Change) -> None:
        before, now = (entry.values if entry else None for entry in change)
        if before != now:
            self._wake.set()
