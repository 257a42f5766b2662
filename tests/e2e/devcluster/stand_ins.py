"""Machines outside a dev cluster: one network namespace on its bridge that has all of their addresses.

To the cluster's nodes they are where a route leads that its real network would have: the internet, a cloud's
metadata service, the networks of the company.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster import shell
from devcluster.config import Instance
from tests.e2e.devcluster.network_probes import SERVER, Conversation, talking
from tests.e2e.support.polling import eventually

PYTHON = "/usr/bin/python3"
"""The machine's own: the namespace has the machine's files."""
_LINK = 240
"""Number of the namespace's own address among the nodes'; they have the first ones."""


@dataclass(frozen=True)
class StandIns:
    """The namespace while it is there.

    Attributes:
        addresses: the addresses of each stand-in by its name, IPv4 first.
    """

    addresses: Mapping[str, Sequence[str]]
    _process: int

    @contextmanager
    def talking(self, script: str, *arguments: str) -> Iterator[Conversation]:
        """Runs a Python script there as long as the context lasts."""
        with talking([*_inside(self._process), PYTHON, "-c", script, *arguments]) as found:
            yield found


@contextmanager
def stand_ins(
    instance: Instance, addresses: Mapping[str, Sequence[str]], tcp: Sequence[int], udp: Sequence[int]
) -> Iterator[StandIns]:
    """Stand-ins that echo on some ports, as long as the context lasts.

    They send to the cluster's pods and nodes from the first stand-in's addresses, unless a socket is bound.

    Args:
        instance: the dev cluster.
        addresses: of each stand-in, of the families that the cluster has.
        tcp: TCP ports.
        udp: UDP ports.
    """
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as holder:
        server: subprocess.Popen[bytes] | None = None
        try:
            own = Path("/proc/self/ns/net").readlink()
            eventually(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own)
            _attach(instance, holder.pid, addresses)
            every = [each for some in addresses.values() for each in some]
            server = subprocess.Popen(
                [*_inside(holder.pid), PYTHON, "-c", SERVER, json.dumps(tcp), json.dumps(udp)],
                env={**os.environ, "POD_IPS": ",".join(every)},
            )
            yield StandIns(addresses, holder.pid)
        finally:
            for process in filter(None, (server, holder)):
                process.send_signal(signal.SIGKILL)
                process.wait()
            _detach(instance, addresses)


def _inside(process: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{process}/ns/net"]


def _port(instance: Instance) -> str:
    return f"{instance.bridge}out"


def _attach(instance: Instance, process: int, addresses: Mapping[str, Sequence[str]]) -> None:
    inside, port = _inside(process), _port(instance)
    shell.attempt("ip", "link", "delete", port)  # of a run that was killed
    shell.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(process))
    shell.run("ip", "link", "set", port, "master", instance.bridge, "up")
    shell.run(*inside, "ip", "link", "set", "lo", "up")
    sources = next(iter(addresses.values()))
    for family in instance.families:
        link = f"{family.nodes[_LINK]}/{family.nodes.prefixlen}"
        _address(inside, link, "nodad" if family.nodes.version == 6 else "")
    shell.run(*inside, "ip", "link", "set", "eth0", "up")
    for some in addresses.values():
        for address in some:
            _address(inside, f"{address}/{128 if ':' in address else 32}", "nodad" if ":" in address else "")
    for number, family in enumerate(instance.families):
        for index in range(1, instance.nodes + 1):
            node, source = str(family.node(index)), sources[number]
            for target, via in (
                (f"{node}/{family.nodes.max_prefixlen}", []),
                (str(family.pod_range(index)), ["via", node]),
            ):
                shell.run(
                    *inside, "ip", f"-{family.nodes.version}", "route", "replace", target,
                    *via, "dev", "eth0", "src", source,
                )  # fmt: skip
    _routes(instance, addresses, "replace")


def _address(inside: list[str], address: str, option: str) -> None:
    shell.run(*inside, "ip", "address", "add", address, "dev", "eth0", *([option] if option else []))


def _routes(instance: Instance, addresses: Mapping[str, Sequence[str]], verb: str) -> None:
    """Every node's routes to the stand-ins."""
    links: dict[int, str] = {family.nodes.version: str(family.nodes[_LINK]) for family in instance.families}
    for node in instance.node_names:
        inside = ["nsenter", f"--net={instance.namespace(node)}"]
        for address in (each for some in addresses.values() for each in some):
            version = 6 if ":" in address else 4
            command = [
                *inside,
                "ip",
                f"-{version}",
                "route",
                verb,
                address,
                "via",
                links[version],
                "dev",
                "eth0",
            ]
            (shell.run if verb == "replace" else shell.attempt)(*command)


def _detach(instance: Instance, addresses: Mapping[str, Sequence[str]]) -> None:
    """The interface goes with the namespace; the nodes live on."""
    _routes(instance, addresses, "delete")
    eventually(lambda: not Path("/sys/class/net", _port(instance)).exists())
