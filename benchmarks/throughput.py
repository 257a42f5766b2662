"""How many bytes a second `kubectl exec` carries, out of a pod and into it."""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.core import Object, Table

MEGABYTES = 64
"""Of one transfer."""
ROUNDS = 4
AIM = 0.5
"""Inside there must be at least so much of what there is on the bare host."""
IMAGE = "docker.io/library/busybox:1.36"
POD = "exec"
SIZE = MEGABYTES * 10**6
_COMMANDS = {
    "out of the pod": f"head -c {SIZE} /dev/zero",
    "into the pod": "cat >/dev/null",
}


@dataclass
class Rates:
    """MB/s of every transfer, by direction."""

    bare: dict[str, list[float]] = field(default_factory=dict)
    inside: dict[str, list[float]] = field(default_factory=dict)


def pod() -> Object:
    """A pod with a shell that does nothing."""
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}


def measure(kubectl: Path, bare: tuple[Path, str], inside: tuple[Path, str]) -> Rates:
    """Transfers on both sides, in turns.

    Args:
        kubectl: The program.
        bare: Kubeconfig of the host and the namespace there where `pod` runs.
        inside: The same of the virtual cluster.
    """
    rates = Rates()
    for _ in range(ROUNDS):
        for direction in _COMMANDS:
            for found, side in ((rates.bare, bare), (rates.inside, inside)):
                found.setdefault(direction, []).append(_transfer(kubectl, *side, direction))
    return rates


def _transfer(kubectl: Path, kubeconfig: Path, namespace: str, direction: str) -> float:
    """MB/s of one transfer, the start of kubectl included."""
    command = [
        str(kubectl),
        f"--kubeconfig={kubeconfig}",
        f"--namespace={namespace}",
        "exec",
        "--stdin",
        POD,
        "--",
    ]
    into = direction == "into the pod"
    start = time.monotonic()
    done = subprocess.run(
        [*command, "sh", "-c", _COMMANDS[direction]],
        input=bytes(SIZE) if into else b"",
        capture_output=True,
        check=False,
    )
    took = time.monotonic() - start
    received = 0 if into else SIZE
    if done.returncode or len(done.stdout) != received:
        raise RuntimeError(
            f"kubectl exec {direction}: exit code {done.returncode}, {len(done.stdout)} bytes of {received}: "
            f"{done.stderr.decode().strip()}"
        )
    return MEGABYTES / took


def table(rates: Rates) -> Table:
    """The figures."""
    rows: list[tuple[str, ...]] = []
    for direction in _COMMANDS:
        bare, inside = statistics.median(rates.bare[direction]), statistics.median(rates.inside[direction])
        ratio = f"{inside / bare:.2f} (aim: >= {AIM:g})"
        rows.append((direction, f"{bare:.0f} MB/s", f"{inside:.0f} MB/s", ratio))
    note = f"Medians of {ROUNDS} transfers of {MEGABYTES} MB each, on both sides in turns."
    return Table("`kubectl exec`", ("", "bare", "inside", "inside / bare"), rows, (note,))
