"""Leases of Nodes: nothing delays one Node's for another's."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from k3k_kubelet.api import ApiClient, ApiError, Resource
from k3k_kubelet.node import heartbeat
from k3k_kubelet.node.heartbeat import Heartbeats

from kubelet.tests.waiting import eventually


class Virtual(ApiClient):
    """An API server that never answers for one Lease, refuses another and takes the rest."""

    def __init__(self) -> None:
        self.renewed: Counter[str] = Counter()

    async def patch(self, resource: Resource, namespace: str | None, name: str, *_: Any, **__: Any) -> Any:
        assert (resource.plural, namespace) == ("leases", "kube-node-lease")
        if name == "stuck":
            await asyncio.get_running_loop().create_future()
        if name == "refused":
            raise ApiError(500, "InternalError", "no")
        self.renewed[name] += 1


def test_a_call_that_hangs_delays_no_other_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.05)

    async def test() -> None:
        virtual = Virtual()
        heartbeats = Heartbeats(virtual)
        for name in ("stuck", "refused", "a", "b"):
            heartbeats.start(name, f"uid-{name}")
        await eventually(lambda: min(virtual.renewed["a"], virtual.renewed["b"]) >= 5)
        assert virtual.renewed.keys() == {"a", "b"}
        heartbeats.stop("a")
        before = virtual.renewed["a"]
        await eventually(lambda: virtual.renewed["b"] >= 10)
        assert virtual.renewed["a"] == before
        await heartbeats.close()

    asyncio.run(test())


def test_a_node_that_is_kept_alive_is_not_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a Node asks for its heartbeats: it must not renew the Lease each time."""
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 60.0)

    async def test() -> None:
        virtual = Virtual()
        heartbeats = Heartbeats(virtual)
        heartbeats.start("a", "one")
        await eventually(lambda: virtual.renewed["a"] == 1)
        heartbeats.start("a", "one")
        heartbeats.start("b", "one")
        await eventually(lambda: virtual.renewed["b"] == 1)
        assert virtual.renewed["a"] == 1
        heartbeats.start("a", "two")  # another Node of that name
        await eventually(lambda: virtual.renewed["a"] == 2)
        await heartbeats.close()

    asyncio.run(test())
