"""Who has seen every host pod there ever was: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from k3k_kubelet.api import PODS
from k3k_kubelet.cache import Informer, Store

from kubelet.tests.clusters import NAMESPACE
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World


class Witness:
    """Uids of host pods by their names."""

    def __init__(self) -> None:
        self.uids: dict[str, set[str]] = {}
        self.store = Store()
        self.store.subscribe(
            lambda change: self.uids.setdefault(change.entry.name, set()).add(change.entry.uid)
        )

    async def assert_once(self, world: World, *names: str) -> None:
        """Each of these pods has had one copy, and no other pod of the namespace inside any.

        That the copies are there says the API server; the watch of the witness tells a moment later.
        """
        wanted = {world.host_name(name) for name in names}
        await eventually(lambda: wanted <= self.uids.keys())
        ours = {name: uids for name, uids in self.uids.items() if f"-{world.namespace}-" in name}
        assert set(ours) == wanted
        assert [name for name, uids in ours.items() if len(uids) != 1] == []


@contextlib.asynccontextmanager
async def witness(world: World) -> AsyncIterator[Witness]:
    """A witness by a connection of its own, for as long as the context lasts."""
    found = Witness()
    informer = Informer(world.host, PODS, found.store, namespace=NAMESPACE)
    task = asyncio.create_task(informer.run())
    try:
        await informer.synced.wait()
        yield found
    finally:
        task.cancel()
