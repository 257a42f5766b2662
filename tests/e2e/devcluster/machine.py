"""What a machine has that a dev cluster could leave behind."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devcluster import config


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _network() -> Iterator[str]:
    for line in _output("ip", "-oneline", "link").splitlines():
        yield f"interface {line.split(':')[1].strip()}"
    for line in _output("ip", "-oneline", "address").splitlines():
        _, interface, _, address, *_ = line.split()
        yield f"address {address} of {interface}"
    for version in ("-4", "-6"):
        for route in json.loads(_output("ip", "-json", version, "route", "show", "table", "all") or "[]"):
            yield f"route {version} {route['dst']} via {route.get('gateway')} dev {route.get('dev')}"
    for rule in json.loads(_output("nft", "--json", "list", "ruleset"))["nftables"]:
        for kind, content in rule.items():
            if kind != "metainfo":
                without_handle = {key: value for key, value in content.items() if key != "handle"}
                yield f"nft {kind} {json.dumps(without_handle, sort_keys=True)}"


def _cgroups() -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield from (f"cgroup {path}" for path in Path(target).iterdir() if path.is_dir())


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        yield f"mount of {line.split()[0]} at {line.split()[1]}"


def _processes(name: str) -> Iterator[str]:
    """Processes in the instance's cgroups, or with its folder on their command line."""
    signs = (f"/k3k-{name}/".encode(), f"/k3k-pulumi/{name}/".encode())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cgroup").read_bytes() + (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(sign in text for sign in signs):
            yield f"process {process.name}: {text!r}"


@dataclass(frozen=True)
class Machine:
    """Its state in words. What belongs to other dev clusters, which come and go, is left out.

    Attributes:
        facts: Everything but processes.
        processes: Those of the instance in question.
    """

    facts: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def now(cls, name: str) -> Machine:
        """The machine's state as far as the instance of that name could have made it."""
        others = [each for each in config.instances() if each.name != name]
        # Their bridges and ports (k3k<slot>), cgroups (k3k-<name>) and folders.
        slots = "|".join(str(each.slot) for each in others) or "none"
        names = "|".join(each.name for each in others) or "none"
        foreign = re.compile(rf"\bk3k({slots})(n\d+)?\b|/k3k-({names})$|/k3k-pulumi/({names})/")
        found = {*_network(), *_cgroups(), *_mounts()}
        return cls(frozenset(fact for fact in found if not foreign.search(fact)), frozenset(_processes(name)))
