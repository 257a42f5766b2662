"""Keeps Nodes alive, each by a task of its own and over connections of their own: nothing delays them."""

from __future__ import annotations

import asyncio
import logging
import random

from k3k_kubelet.api import LEASES, AlreadyExistsError, ApiClient, ApiError, NotFoundError
from k3k_kubelet.node import manifest

log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0


class Heartbeats:
    """Lease renewals of Nodes.

    Args:
        virtual: A client that serves nothing else.
    """

    def __init__(self, virtual: ApiClient) -> None:
        self._virtual = virtual
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._uids: dict[str, str] = {}

    def start(self, name: str, uid: str) -> None:
        """Keeps a Node alive from now on; of one that is kept alive already, nothing changes."""
        if self._uids.get(name) == uid:
            return
        self.stop(name)
        self._uids[name] = uid
        self._tasks[name] = asyncio.create_task(self._beat(name, uid), name=f"heartbeat {name}")

    def stop(self, name: str) -> None:
        """Stops that."""
        self._uids.pop(name, None)
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
        while True:
            try:
                await self._renew(name, uid)
                pause = RENEW_SECONDS * random.uniform(0.9, 1.05)  # noqa: S311
            except ApiError as error:
                log.warning("heartbeat failed", extra={"node": name, "error": str(error)})
                pause = 1.0
            await asyncio.sleep(pause)

    async def _renew(self, name: str, uid: str) -> None:
        lease = manifest.lease(name, uid)
        try:
            await self._virtual.patch(LEASES, manifest.LEASE_NAMESPACE, name, {"spec": lease["spec"]})
        except NotFoundError:
            try:
                await self._virtual.create(LEASES, manifest.LEASE_NAMESPACE, lease)
            except AlreadyExistsError:
                return
