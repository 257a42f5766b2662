"""The probe of NetworkPolicies, by real connections: ports that nobody listens on stand for closed ones.

What a network plugin makes of the NetworkPolicy itself is in tests/e2e.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from k3k_kubelet import probe
from k3k_kubelet.probe import NOT_ENFORCED, Ports, Verdict

from kubelet.tests.controlplane import ADDRESS, free_ports
from kubelet.tests.waiting import eventually

LONG = 30.0
"""Seconds for one connection: a port that nobody listens on refuses at once, a busy machine does not."""


async def proved(listening: Ports, asked: Ports, seconds: float = 2.0) -> tuple[Verdict, bool]:
    """What `ask` says after that time at the latest, and whether the pod that listens has ended."""
    listener = asyncio.create_task(probe.listen(listening, ADDRESS))
    try:
        await eventually(lambda: _listens(listening.open))  # else the time runs from before that
        verdict = await probe.ask(ADDRESS, asked, seconds=seconds, connect=LONG)
        if not verdict.wrong:
            await asyncio.wait_for(listener, 60)
        return verdict, listener.done()
    finally:
        listener.cancel()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(ADDRESS, port)
    except OSError:
        return False
    writer.close()
    return True


def test_closed_ports_are_the_proof_and_end_both_pods() -> None:
    listening = Ports(*free_ports(3))
    closed = Ports(listening.open, *free_ports(2))
    assert asyncio.run(proved(listening, closed, 60.0)) == (Verdict("", sure=True), True)


@pytest.mark.parametrize(
    ("ingress", "egress", "told"),
    [
        (True, False, "still lets connections in to port"),
        (False, True, "still lets them out to port"),
        (True, True, "where a NetworkPolicy admits nobody and lets them out to port"),
    ],
)
def test_a_port_that_is_reached_is_told(*, ingress: bool, egress: bool, told: str) -> None:
    listening, other = Ports(*free_ports(3)), free_ports(2)
    asked = Ports(
        listening.open,
        listening.no_ingress if ingress else other[0],
        listening.no_egress if egress else other[1],
    )
    (wrong, sure), ended = asyncio.run(proved(listening, asked))
    assert told in wrong
    assert wrong.startswith("the host does not enforce NetworkPolicies")
    assert wrong.endswith("or leave require_network_policy out")
    assert sure
    assert not ended


def test_where_nothing_is_reached_nothing_is_proved() -> None:
    (wrong, sure), _ = asyncio.run(proved(Ports(*free_ports(3)), Ports(*free_ports(3))))
    assert "did not reach the other one" in wrong
    assert not sure  # the other pod's image may still be on its way


def test_rules_may_come_late() -> None:
    async def late() -> Verdict:
        ports, turned_away = Ports(*free_ports(3)), asyncio.Event()

        def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            turned_away.set()

        early = await asyncio.start_server(turn_away, ADDRESS, ports.open)
        asking = asyncio.create_task(probe.ask(ADDRESS, Ports(ports.open, *free_ports(2)), connect=LONG))
        await asyncio.wait_for(turned_away.wait(), 60)
        early.close()
        await early.wait_closed()
        listener = asyncio.create_task(probe.listen(ports, ADDRESS))
        verdict = await asyncio.wait_for(asking, 60)
        await asyncio.wait_for(listener, 60)
        return verdict

    assert asyncio.run(late()) == Verdict("", sure=True)


def test_the_program_is_both_pods() -> None:
    ports = Ports(*free_ports(3))
    closed = free_ports(2)

    def start(index: str, no_ingress: int, no_egress: int, host: str = ADDRESS) -> subprocess.Popen[str]:
        flags = (f"--open={ports.open}", f"--no-ingress={no_ingress}", f"--no-egress={no_egress}")
        return subprocess.Popen(
            [sys.executable, "-m", "k3k_kubelet", "probe", *flags],
            env={"JOB_COMPLETION_INDEX": index, "K3K_PROBE_HOST": host},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    listener, asking = start("0", ports.no_ingress, ports.no_egress), start("1", *closed)
    try:
        assert "enforces NetworkPolicies in both directions" in asking.communicate(timeout=60)[0]
        assert asking.returncode == 0
        assert listener.wait(timeout=60) == 0
    finally:
        for process in (listener, asking):
            process.kill()
            process.wait()


def test_without_an_address_another_try_is_worth_it() -> None:
    flags = ("--open=1", "--no-ingress=2", "--no-egress=3")
    environment = {"JOB_COMPLETION_INDEX": "1", "K3K_PROBE_HOST": "$(C_NETWORK_PROBE_SERVICE_HOST)"}
    code = probe.main(flags, environment)
    assert code not in (0, NOT_ENFORCED)
