"""The proof that a host enforces NetworkPolicies, before anybody relies on them: `k3k-kubelet probe`.

Two pods of a Job run it. The first listens on three ports. The second one connects to them through a Service:
a NetworkPolicy closes one port where packets arrive (ingress) and another one where they leave (egress). An
answer on the open port says each time that there is a way, and somebody who listens. Rules may come late: it
is tried again until all is as the policy has it, or the time is over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

NOT_ENFORCED = 3
"""Exit code where another try would find the same."""
SECONDS = 30.0
"""How long the other pod may take to answer, and the rules from then on."""
CONNECT_SECONDS = 4.0
"""For one connection: a lost packet is sent again after one and after three seconds."""
PAUSE_SECONDS = 0.5

_GREETING, _END = b"k3k-pulumi network probe\n", b"end\n"


@dataclass(frozen=True)
class Ports:
    """Ports of the pod that listens.

    Attributes:
        open: Let in and out.
        no_ingress: Not let in there.
        no_egress: Not let out of the other pod.
    """

    open: int
    no_ingress: int
    no_egress: int


class Verdict(NamedTuple):
    """What came of it.

    Attributes:
        wrong: What is wrong; `""` for nothing.
        sure: Whether another try would find the same: the other pod may just not run yet.
    """

    wrong: str
    sure: bool


class Round(NamedTuple):
    """What was reached, each port at one time."""

    open: bool
    no_ingress: bool
    no_egress: bool

    @property
    def enforced(self) -> bool:
        """Whether it is what the NetworkPolicy says."""
        return self == Round(open=True, no_ingress=False, no_egress=False)


async def listen(ports: Ports, address: str = "") -> None:
    """Answers on all ports until the other pod says on the open one that it is done."""
    done = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(_GREETING)
            await writer.drain()
            if await reader.readline() == _END:
                done.set()
        except (OSError, ValueError):
            pass  # whoever does not talk as the probe does
        finally:
            writer.close()

    # The open port comes last: who gets an answer there knows that the others listen.
    for port in (ports.no_ingress, ports.no_egress, ports.open):
        await asyncio.start_server(greet, address or None, port)
    await done.wait()


async def ask(host: str, ports: Ports, seconds: float = SECONDS, connect: float = CONNECT_SECONDS) -> Verdict:
    """Tries until the host does what the NetworkPolicy says.

    Args:
        host: Address of the Service that leads to the pod that listens.
        ports: Its ports.
        seconds: How long to try; begins anew with the first answer.
        connect: How long to wait for one answer.

    Returns:
        The verdict; when nothing is wrong, the other pod knows it too.
    """
    deadline, met = time.monotonic() + seconds, False
    while True:
        found = await _round(host, ports, connect)
        if found.enforced and await _greeted(host, ports.open, connect, last=True):
            return Verdict("", sure=True)
        if found.open and not met:
            deadline, met = time.monotonic() + seconds, True
        if time.monotonic() > deadline:
            return Verdict(_wrong(host, ports, found, seconds), sure=found.open)
        await asyncio.sleep(PAUSE_SECONDS)


async def _round(host: str, ports: Ports, connect: float) -> Round:
    if not await _greeted(host, ports.open, connect):
        return Round(open=False, no_ingress=False, no_egress=False)
    closed = (_greeted(host, port, connect) for port in (ports.no_ingress, ports.no_egress))
    no_ingress, no_egress = await asyncio.gather(*closed)
    return Round(open=True, no_ingress=no_ingress, no_egress=no_egress)


async def _greeted(host: str, port: int, connect: float, *, last: bool = False) -> bool:
    """Whether the other pod answers on a port; refused or not answered is all one: packets do not pass."""
    try:
        async with asyncio.timeout(connect):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                greeted = await reader.readline() == _GREETING
                writer.write(_END if last else b"\n")
                await writer.drain()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return greeted


def _wrong(host: str, ports: Ports, found: Round, seconds: float) -> str:
    if not found.open:
        return (
            f"one pod of this Job did not reach the other one at {host} port {ports.open} within {seconds:g} "
            "s, though a NetworkPolicy allows that: look at the Job's pods, at other NetworkPolicies of this "
            "namespace and at the host's network plugin"
        )
    lets = []
    if found.no_ingress:
        lets.append(f"lets connections in to port {ports.no_ingress}, where a NetworkPolicy admits nobody")
    if found.no_egress:
        lets.append(f"lets them out to port {ports.no_egress}, which a NetworkPolicy does not allow")
    return (
        "the host does not enforce NetworkPolicies: after "
        f"{seconds:g} s its network plugin still {' and '.join(lets)}. The pods of a virtual cluster would "
        "not be kept apart from anything: use a network plugin that enforces NetworkPolicies in both "
        "directions, or leave require_network_policy out"
    )


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Is one of the two pods, as its index in the Job says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="k3k-kubelet probe")
    for name in ("open", "no-ingress", "no-egress"):
        parser.add_argument(f"--{name}", type=int, required=True, metavar="PORT")
    given = parser.parse_args(arguments)
    ports = Ports(given.open, given.no_ingress, given.no_egress)
    if environment.get("JOB_COMPLETION_INDEX") == "0":
        asyncio.run(listen(ports))
        return 0
    host = environment.get("K3K_PROBE_HOST", "")
    if not host or host.startswith("$"):  # the node did not know of the Service yet
        print("k3k-kubelet probe: K3K_PROBE_HOST has no address", file=sys.stderr)
        return 1
    wrong, sure = asyncio.run(ask(host, ports))
    if wrong:
        print(f"k3k-kubelet probe: {wrong}", file=sys.stderr)
        return NOT_ENFORCED if sure else 1
    print("k3k-kubelet probe: the host enforces NetworkPolicies in both directions")
    return 0
