"""Instances by name: which host cluster an instance is, where a new one goes, up and down."""

from __future__ import annotations

import zlib
from dataclasses import replace

from devcluster import config, network, packages, shell
from devcluster.config import Instance
from devcluster.errors import DevclusterError
from devcluster.existing import Existing
from devcluster.host import Host
from devcluster.kind import Kind
from devcluster.locks import locked
from devcluster.parts import Parts
from devcluster.progress import Progress

HOSTS: dict[str, type[Parts] | type[Kind] | type[Existing]] = {
    "parts": Parts,
    "kind": Kind,
    "existing": Existing,
}


def of(instance: Instance) -> Host:
    """The host cluster that an instance is."""
    return HOSTS[instance.host](instance)


def suggested() -> str:
    """The kind of host that suits this machine: `kind` where a Docker engine runs, else `parts`."""
    return "kind" if shell.works("docker", "info") else "parts"


def up(
    name: str,
    progress: Progress,
    *,
    host: str | None = None,
    nodes: int | None = None,
    ipv6: bool = False,
    network_policies: bool = True,
    restart: bool = False,
) -> Instance:
    """Brings the instance of that name up: a new one, or the one there is.

    Args:
        name: The instance's name.
        progress: Where to show what is going on.
        host: One of `HOSTS`; what the instance is, or what suits the machine, by default.
        nodes: How many nodes; by default as many as it has, or 2.
        ipv6: IPv6 beside IPv4.
        network_policies: Whether a new one enforces NetworkPolicies.
        restart: Start running nodes anew.

    Raises:
        DevclusterError: An argument contradicts what is there, or the cluster does not come up.
    """
    with locked(f"instance-{name}"):
        instance = _found_or_placed(name, host, nodes, ipv6, network_policies, progress)
        of(instance).up(progress, restart=restart)
        return instance


def _found_or_placed(
    name: str, host: str | None, nodes: int | None, ipv6: bool, network_policies: bool, progress: Progress
) -> Instance:
    found = config.load(name)
    if found is None:
        kind_of_host = host or suggested()
        if kind_of_host == "parts":
            packages.ensure(packages.NODE, progress)  # `place` needs some of them
        with locked("slots"):
            instance = place(Instance(name, 0, nodes or 2, ipv6, kind_of_host, network_policies))
            instance.save()
            return instance
    if host and host != found.host:
        raise DevclusterError(f"--host: {name!r} is a cluster of kind {found.host!r}; take it down first")
    if ipv6 and not found.ipv6:
        raise DevclusterError(f"--ipv6: {name!r} is up with IPv4 alone; take it down first")
    if found.network_policies and not network_policies:
        raise DevclusterError(f"--no-network-policies: {name!r} enforces them; take it down first")
    if nodes and (nodes < found.nodes or (nodes > found.nodes and found.host != "parts")):
        raise DevclusterError(
            f"--nodes: {name!r} has {found.nodes} nodes; take it down first to have {nodes}"
        )
    return replace(found, nodes=nodes or found.nodes)


def place(wanted: Instance) -> Instance:
    """The instance in a slot whose names and ranges nothing on the machine uses."""
    if wanted.host == "existing":
        return wanted
    taken = {each.slot for each in config.instances() if each.host != "existing"}
    first = 0 if wanted.name == "dev" else zlib.crc32(wanted.name.encode()) % (config.SLOTS - 1) + 1
    reasons = []
    for slot in (*range(first, config.SLOTS), *range(first)):
        instance = replace(wanted, slot=slot)
        if slot in taken:
            reasons.append(f"slot {slot}: another dev cluster")
            continue
        reason = network.taken(instance)
        if reason is None:
            return instance
        reasons.append(f"slot {slot}: {reason}")
    raise DevclusterError(f"no room for another dev cluster on this machine: {'; '.join(reasons)}")


def down(name: str, progress: Progress) -> None:
    """Removes the instance of that name, if there is one."""
    with locked(f"instance-{name}"):
        instance = config.load(name)
        if instance is None:
            progress.info(f"there is no dev cluster {name!r}")
            return
        of(instance).down(progress)
