"""What a Service costs more inside: its creation waits for that of its twin on the host.

One at a time, one inside and one on the bare host in turn, so that both meet the same machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from k3k_kubelet.api import SERVICES

from benchmarks.core import Object, Table, Timeline, milliseconds, quantile

COUNT = 200
WARM_UP = 5
"""Services before the first that counts."""
_SHARES = (0.5, 0.9, 0.99)


@dataclass
class Creations:
    """Seconds from the request until its answer, of every Service."""

    bare: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)


async def measure(inside: Timeline, bare: Timeline, count: int = COUNT) -> Creations:
    """Creates as many Services on both sides, and deletes them again."""
    found = Creations()
    try:
        for index in range(-WARM_UP, count):
            for side, seconds in ((bare, found.bare), (inside, found.inside)):
                took = await _create(side, f"service-{index + WARM_UP}")
                if index >= 0:
                    seconds.append(took)
    finally:
        for side in (bare, inside):
            await side.client.request("DELETE", SERVICES.path(side.namespace), body={})
    return found


async def _create(side: Timeline, name: str) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await side.client.create(SERVICES, side.namespace, service(name))
    return loop.time() - began


def service(name: str) -> Object:
    """A Service with an address, of pods that there are none of."""
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def table(found: Creations) -> Table:
    """The figures."""

    def row(name: str, values: Sequence[float]) -> tuple[str, ...]:
        return name, *(milliseconds(quantile(values, share)) for share in _SHARES)

    difference = [quantile(found.inside, share) - quantile(found.bare, share) for share in _SHARES]
    return Table(
        "Creation of a Service",
        ("", "p50", "p90", "p99"),
        [
            row("on the bare host", found.bare),
            row("inside, the one on the host included", found.inside),
            ("difference of the two", *map(milliseconds, difference)),
        ],
        (f"{len(found.inside)} Services inside and as many bare ones, one at a time, in turns.",),
    )
