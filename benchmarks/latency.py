"""What the virtual cluster adds to the start of a pod, at a constant rate of 5 pods a second.

Open loop: pods are created on time whether or not earlier ones run, a bare one on the host and one inside in
turn, so that both meet the same machine. A pod's start is the time from the answer to its creation until a
watch shows it Running and Ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from k3k_kubelet.api import PODS, ApiClient
from k3k_kubelet.translate import identity

from benchmarks.core import Object, Table, Timeline, delete_pods, milliseconds, pause_pod, quantile

RATE = 5.0
"""Pods a second."""
BLOCK = 12
"""Pods of a block on each side; then all are deleted, so that the host's room does not end."""
WARM_UP = 4
"""Pods before the first that counts: nodes have the image then, the virtual cluster has its Nodes."""
P50, P99 = 0.1, 0.5
"""What may be added, in seconds."""


@dataclass
class Starts:
    """Seconds of every pod's start, and of the parts of those inside.

    Attributes:
        bare: Created to Ready, on the host.
        inside: The same, inside.
        parts: Of the pods inside: what -> seconds of each pod.
    """

    bare: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)

    @property
    def added(self) -> list[float]:
        """Of each pod inside: the time it was in our hands, before the host had it and after it ran there."""
        return [a + b for a, b in zip(self.parts[DOWN], self.parts[UP], strict=True)]


DOWN = "created inside -> created on the host"
BOUND = "created -> bound, on the host"
BOUND_UP = "bound on the host -> bound inside"
RUNS = "bound -> Ready, on the host"
UP = "Ready on the host -> Ready inside"


def virtual_name(pod: Object) -> str:
    """The name inside of a host pod."""
    owner = identity.owner_of(pod)
    return owner.name if owner else f"not ours: {pod['metadata']['name']}"


async def measure(inside: Timeline, copies: Timeline, bare: Timeline, pods: int) -> Starts:
    """Starts as many pods on both sides.

    Args:
        inside: The virtual cluster's namespace.
        copies: The host's namespace of its pods, by `virtual_name`.
        bare: A namespace of the host.
        pods: On each side; rounded up to whole blocks.
    """
    starts = Starts()
    await _block((bare, inside), "warm-up", WARM_UP)
    for block in range(-(-pods // BLOCK)):
        await _clear(inside, copies, bare)
        took = await _block((bare, inside), f"pod-{block}", BLOCK)
        starts.bare += took[0].values()
        starts.inside += took[1].values()
        for name, seconds in took[1].items():
            _split(starts.parts, inside, copies, name, seconds)
    await _clear(inside, copies, bare)
    return starts


async def _clear(inside: Timeline, copies: Timeline, bare: Timeline) -> None:
    await asyncio.gather(delete_pods(inside), delete_pods(bare))
    await copies.until_gone()


async def _block(sides: Sequence[Timeline], prefix: str, count: int) -> list[dict[str, float]]:
    """Creates as many pods on each side, the sides in turn, at the rate; seconds until each was Ready."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    creating: list[list[asyncio.Task[tuple[str, float]]]] = [[] for _ in sides]
    for index in range(count * len(sides)):
        await asyncio.sleep(start + index / RATE - loop.time())
        side, tasks = sides[index % len(sides)], creating[index % len(sides)]
        name = f"{prefix}-{index // len(sides)}"
        tasks.append(asyncio.create_task(_create(side.client, side.namespace, name)))
    return [await _until_ready(side, tasks) for side, tasks in zip(sides, creating, strict=True)]


async def _until_ready(side: Timeline, creating: list[asyncio.Task[tuple[str, float]]]) -> dict[str, float]:
    created = dict(await asyncio.gather(*creating))
    await side.until_ready(created)
    return {name: (side.moments[name].ready or 0.0) - at for name, at in created.items()}


async def _create(client: ApiClient, namespace: str, name: str) -> tuple[str, float]:
    await client.create(PODS, namespace, pause_pod(name))
    return name, asyncio.get_running_loop().time()


def _split(
    parts: dict[str, list[float]], inside: Timeline, copies: Timeline, name: str, total: float
) -> None:
    """Where the time of one start went."""
    virtual, host = inside.moments[name], copies.moments[name]
    assert virtual.ready is not None
    assert virtual.bound is not None
    assert host.ready is not None
    assert host.bound is not None
    created = virtual.ready - total
    for part, seconds in {
        DOWN: host.seen - created,
        BOUND: host.bound - host.seen,
        BOUND_UP: virtual.bound - host.bound,
        RUNS: host.ready - host.bound,
        UP: virtual.ready - host.ready,
    }.items():
        parts.setdefault(part, []).append(seconds)


def table(starts: Starts) -> Table:
    """The figures."""

    def row(name: str, values: Sequence[float], aim: str = "") -> tuple[str, ...]:
        return name, *(milliseconds(quantile(values, share)) for share in (0.5, 0.9, 0.99)), aim

    difference = [quantile(starts.inside, share) - quantile(starts.bare, share) for share in (0.5, 0.9, 0.99)]
    return Table(
        f"Start of a pod, {RATE:g} pods a second",
        ("", "p50", "p90", "p99", "aim"),
        [
            row("a bare pod on the host: created to Ready", starts.bare),
            row("a pod inside: created to Ready", starts.inside),
            ("difference of the two", *map(milliseconds, difference), _aim()),
            row(
                "in our hands, pod by pod: before the host has it and after it runs there",
                starts.added,
                _aim(),
            ),
            *(row(f"... {part}", values) for part, values in starts.parts.items()),
        ],
        (
            f"{len(starts.inside)} pods inside and {len(starts.bare)} bare ones, one after the other, "
            f"in blocks of {2 * BLOCK}.",
        ),
    )


def _aim() -> str:
    return f"p50 <= {milliseconds(P50)}, p99 <= {milliseconds(P99)}"
