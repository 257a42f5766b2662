"""The Lease: one acts at a time, the next one in time, and nobody writes after his time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from k3k_kubelet import leader as leader_module
from k3k_kubelet.api import CONFIG_MAPS, LEASES, ApiClient, UnreachableError, VirtualEndpoint
from k3k_kubelet.leader import Leader, LeadershipLostError, NotLeadingError

from kubelet.tests.controlplane import ADDRESS, ControlPlane
from kubelet.tests.waiting import SECONDS, eventually

NAME = "election"
DURATION = 4.0
"""Seconds: a busy machine renews within 0.6 of it as well."""
PIECE = 0.05
"""Seconds, of those that `within` counts."""


def leader(client: ApiClient, who: str, *, duration: float = DURATION) -> Leader:
    return Leader(
        client, "default", NAME, who, duration=duration, deadline=duration * 0.6, retry=duration * 0.1
    )


@contextlib.asynccontextmanager
async def running(*leaders: Leader) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(each.run()) for each in leaders]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def within(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, in pieces: a time in which this process stands still counts as one of them."""
    for _ in range(round(seconds / PIECE)):
        if not event.is_set():
            await asyncio.sleep(PIECE)
    assert event.is_set()


@contextlib.asynccontextmanager
async def fresh(plane: ControlPlane) -> AsyncIterator[ApiClient]:
    """A client, and no Lease of before."""
    client = plane.client()
    plane.kubectl("delete", "lease", NAME, "--ignore-not-found")
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def connected(plane: ControlPlane, before_write: Callable[[], None]) -> AsyncIterator[ApiClient]:
    """A client that asks before it writes."""
    files = (plane.pki / "admin.crt", plane.pki / "admin.key")
    endpoint = VirtualEndpoint(ADDRESS, plane.port, plane.pki / "server-ca.crt", files)
    client = ApiClient(endpoint, before_write=before_write)
    try:
        yield client
    finally:
        await client.close()


def test_the_next_one_goes_on_when_the_first_has_not_renewed(control_plane: ControlPlane) -> None:
    async def run() -> None:
        async with fresh(control_plane) as client:
            first, second = leader(client, "a"), leader(client, "b")
            async with running(first) as (task,):
                await first.held.wait()
                async with running(second):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(second.held.wait(), 1.5 * DURATION)
                    await eventually(lambda: second.answered)
                    assert second.holder == "a"
                    task.cancel()  # as if killed: the other has to wait for the end of the Lease
                    await asyncio.wait_for(second.held.wait(), SECONDS)
                    assert not first.holds
                    renewed = first._held_until - 0.6 * DURATION  # when the last renewal began
                    assert time.monotonic() >= renewed + DURATION
                    with pytest.raises(LeadershipLostError, match="is held by b"):
                        await asyncio.wait_for(first.run(), SECONDS)

    asyncio.run(run())


def test_what_is_let_go_of_is_taken_at_once(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "RELEASE_SECONDS", SECONDS)  # else a busy API server is not waited for

    async def run() -> None:
        async with fresh(control_plane) as client:
            first, second = leader(client, "a", duration=3600.0), leader(client, "b")
            async with running(first) as (task,):
                await first.held.wait()
                task.cancel()
                await first.release()
                lease = await client.get(LEASES, "default", NAME)
                assert not lease["spec"].get("holderIdentity")
                async with running(second):
                    await asyncio.wait_for(second.held.wait(), SECONDS)

    asyncio.run(run())


def test_who_cannot_renew_stops_acting_in_time_and_goes_on_later(own_control_plane: ControlPlane) -> None:
    may_write = True

    def gate() -> None:
        if not may_write:
            raise UnreachableError("held up")

    def keeps_nodes_alive(who: Leader) -> bool:
        try:
            who.check_unless_cut_off()
        except NotLeadingError:
            return False
        return True

    async def run() -> None:
        nonlocal may_write
        async with fresh(own_control_plane) as client, connected(own_control_plane, gate) as gated:
            holder, follower = leader(gated, "a"), leader(client, "b")
            async with running(holder):
                await holder.held.wait()
                async with running(follower):
                    await eventually(lambda: follower.holder == "a")
                    own_control_plane.stop("kube-apiserver")
                    await within(holder.lost, DURATION)
                    assert not holder.holds
                    with pytest.raises(NotLeadingError):
                        holder.check()
                    # The host is away, not the Lease somebody else's. It takes a try that was not held up.
                    await eventually(lambda: keeps_nodes_alive(holder))
                    assert not keeps_nodes_alive(follower)
                    await eventually(lambda: not follower.answered)
                may_write = False
                await asyncio.to_thread(own_control_plane.start_api_server)
                # The follower did not see that nobody renewed it: it is the holder who goes on.
                async with running(follower):
                    await eventually(lambda: follower.answered)
                    assert not follower.holds
                may_write = True
                await asyncio.wait_for(holder.held.wait(), SECONDS)

    asyncio.run(run())


def test_a_changed_lease_that_is_still_ours_is_kept(control_plane: ControlPlane) -> None:
    """Somebody labels it: the renewal meets a conflict, which says nothing about who holds it."""

    class Meddled(ApiClient):
        async def get(self, *arguments: Any, **options: Any) -> dict[str, Any]:
            found = await super().get(*arguments, **options)
            if self.meddle:
                self.meddle = False
                change = {"metadata": {"labels": {"by": "somebody"}}}
                await self.patch(LEASES, "default", NAME, change)
            return found

        meddle = False

    async def run() -> None:
        async with fresh(control_plane):
            pki = control_plane.pki
            files = (pki / "admin.crt", pki / "admin.key")
            client = Meddled(VirtualEndpoint(ADDRESS, control_plane.port, pki / "server-ca.crt", files))
            holder = leader(client, "a")
            async with running(holder) as (task,):
                await holder.held.wait()
                client.meddle = True
                await eventually(lambda: not client.meddle)

                async def renewed() -> bool:
                    lease = await client.get(LEASES, "default", NAME)
                    return "labels" in lease["metadata"] and not task.done() and holder.holds

                await eventually(renewed)
            await client.close()

    asyncio.run(run())


def test_after_its_time_a_stopped_process_sends_no_write(control_plane: ControlPlane) -> None:
    """What a stopped process does first when it goes on: nothing has told it yet that it is late."""

    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "in-time-"}}

    async def run() -> None:
        async with fresh(control_plane) as client:
            holder = leader(client, "a")
            async with running(holder), connected(control_plane, holder.check) as writer:

                async def written() -> dict[str, Any]:
                    try:
                        return await writer.create(CONFIG_MAPS, "default", body)
                    except NotLeadingError:  # not yet
                        return {}

                made = await eventually(written)
                await eventually(lambda: holder.holds)
                time.sleep(DURATION)  # noqa: ASYNC251 - the event loop stands still, as under SIGSTOP
                assert holder.held.is_set()
                for write in (
                    writer.create(CONFIG_MAPS, "default", body),
                    writer.patch(CONFIG_MAPS, "default", made["metadata"]["name"], {"data": {"a": "b"}}),
                    writer.delete(CONFIG_MAPS, "default", made["metadata"]["name"]),
                ):
                    with pytest.raises(NotLeadingError):
                        await write
                await writer.get(CONFIG_MAPS, "default", made["metadata"]["name"])

    asyncio.run(run())
