"""Resident memory of the virtual kubelet by number of pods, and with many Services."""

from __future__ import annotations

from benchmarks.core import Table

COUNTS = (0, 500, 2000)
SERVICES = 1000
BASE, PER_THOUSAND = 60.0, 10.0
"""What it may be, in MiB: without pods, and more for each 1,000."""


def table(real: dict[int, float], simulation: dict[int, float], services: float) -> Table:
    """The figures: MiB by number of pods, in the dev cluster's container and on a simulated host.

    Args:
        real: In the dev cluster's container.
        simulation: With simulated nodes.
        services: With `SERVICES` Services and no pod.
    """
    rows = []
    for count in sorted({*real, *simulation}):
        cells = (f"{sizes[count]:.0f} MiB" if count in sizes else "" for sizes in (real, simulation))
        rows.append((f"{count:,}", *cells, f"<= {BASE + count / 1000 * PER_THOUSAND:.0f} MiB"))
    rows.append((f"0, and {SERVICES:,} Services", "", f"{services:.0f} MiB", ""))
    return Table(
        "Resident memory of the virtual kubelet",
        ("pods", "on the host, in its container", "nodes simulated", "aim"),
        rows,
        (
            "VmRSS of the process, pages of shared libraries included. With simulated nodes both API servers "
            "are real, and statuses and events of the host's pods are written by the benchmark; the Python "
            "is that of `.venv`.",
        ),
    )
