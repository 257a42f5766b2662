"""Keeps Nodes alive, each by a task of its own and over connections of their own: nothing delays them."""

from __future__ import annotations

import asyncio
import logging
import random

from k3k_kubelet.api import LEASES, NODES, AlreadyExistsError, ApiClient, ApiError, NotFoundError, PatchType
from k3k_kubelet.events import micro_timestamp
from k3k_kubelet.node import manifest

log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
"""Heartbeat times in Node.status, as Kubernetes' kubelet writes them when nothing changes."""
TIMEOUT = 8.0


class Heartbeats:
    """Lease renewals of Nodes.

    Args:
        virtual: A client that serves nothing else.
    """

    def __init__(self, virtual: ApiClient) -> None:
        self._virtual = virtual
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, uid: str) -> None:
        """Keeps a Node alive from now on."""
        self.stop(name)
        self._tasks[name] = asyncio.create_task(self._beat(name, uid), name=f"heartbeat {name}")

    def stop(self, name: str) -> None:
        """Stops that."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stops for all Nodes."""
        tasks = list(self._tasks.values())
        for name in list(self._tasks):
            self.stop(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _beat(self, name: str, uid: str) -> None:
        loop = asyncio.get_running_loop()
        status_due = loop.time()  # what was written before a restart may be old
        while True:
            try:
                await self._renew(name, uid)
                if loop.time() >= status_due:
                    await self._report(name)
                    status_due = loop.time() + STATUS_SECONDS
                pause = RENEW_SECONDS * random.uniform(0.9, 1.05)  # noqa: S311
            except ApiError as error:
                log.warning("heartbeat failed", extra={"node": name, "error": str(error)})
                pause = 1.0
            await asyncio.sleep(pause)

    async def _renew(self, name: str, uid: str) -> None:
        change = {"spec": {"renewTime": micro_timestamp(), "holderIdentity": name}}
        try:
            await self._virtual.patch(LEASES, manifest.LEASE_NAMESPACE, name, change)
        except NotFoundError:
            try:
                await self._virtual.create(LEASES, manifest.LEASE_NAMESPACE, manifest.lease(name, uid))
            except AlreadyExistsError:
                return

    async def _report(self, name: str) -> None:
        """Writes the conditions; those that stay as they are keep the time of their last transition."""
        node = await self._virtual.get(NODES, None, name)
        known = {each["type"]: each for each in node["status"].get("conditions") or ()}
        conditions = manifest.conditions()
        for condition in conditions:
            before = known.get(condition["type"], {})
            if before.get("status") == condition["status"] and before.get("lastTransitionTime"):
                condition["lastTransitionTime"] = before["lastTransitionTime"]
        change = {"status": {"conditions": conditions}}
        await self._virtual.patch(NODES, None, name, change, kind=PatchType.STRATEGIC, subresource="status")
