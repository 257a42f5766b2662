"""A burst of 500 pods: from the first creation until the last is Ready, on the bare host and inside."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from k3k_kubelet.api import PODS

from benchmarks.core import Table, Timeline, delete_pods, milliseconds, pause_pod, quantile
from benchmarks.process import Process, machine_cpu

AIM = 1.2
"""The burst inside may take so many times as long as the bare one."""
AT_ONCE = 32
"""Creations under way."""
SECONDS_PER_POD = 3.0
"""For the time-out: most that a pod of the burst may take."""


@dataclass(frozen=True)
class Burst:
    """One burst.

    Attributes:
        seconds: Until the last pod was Ready.
        middle: Until half of them were.
        created: Until the last was created.
        machine: CPU seconds of the whole machine.
        kubelet: CPU seconds of the virtual kubelet.
    """

    seconds: float
    middle: float
    created: float
    machine: float
    kubelet: float


async def measure(side: Timeline, kubelet: Process, count: int) -> Burst:
    """Creates the pods of one side; they stay."""
    loop = asyncio.get_running_loop()
    machine, own, start = machine_cpu(), kubelet.cpu, loop.time()
    names = [f"burst-{index}" for index in range(count)]
    await create_all(side, names)
    created = loop.time() - start
    await side.until_ready(names, count * SECONDS_PER_POD)
    took = [(side.moments[name].ready or 0.0) - start for name in names]
    return Burst(max(took), quantile(took, 0.5), created, machine_cpu() - machine, kubelet.cpu - own)


async def create_all(side: Timeline, names: list[str]) -> None:
    """Creates pods as fast as the API server takes them."""
    room = asyncio.Semaphore(AT_ONCE)

    async def create(name: str) -> None:
        async with room:
            await side.client.create(PODS, side.namespace, pause_pod(name))

    await asyncio.gather(*(create(name) for name in names))


async def clear(side: Timeline, count: int) -> None:
    """Deletes the pods of a burst."""
    await delete_pods(side, count * SECONDS_PER_POD)


def table(bare: Burst, inside: Burst, count: int) -> Table:
    """The figures."""
    rows = [
        ("all Ready after", f"{bare.seconds:.1f} s", f"{inside.seconds:.1f} s"),
        ("half of them after", f"{bare.middle:.1f} s", f"{inside.middle:.1f} s"),
        ("all created after", f"{bare.created:.1f} s", f"{inside.created:.1f} s"),
        ("CPU of the whole machine, per pod", *(milliseconds(b.machine / count) for b in (bare, inside))),
        ("CPU of the virtual kubelet, per pod", *(milliseconds(b.kubelet / count) for b in (bare, inside))),
    ]
    ratio = inside.seconds / bare.seconds
    return Table(
        f"A burst of {count} pods",
        ("", "bare", "inside"),
        [*rows, ("inside / bare", "", f"{ratio:.2f} (aim: <= {AIM:g})")],
        ("One after the other, each on an empty namespace of the same two-node host.",),
    )
