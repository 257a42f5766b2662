"""The machine that this runs on: the address by which a virtual cluster's API knows it."""

from __future__ import annotations

import ipaddress
import socket

from k3k_pulumi.direct.ranges import kubernetes_service
from k3k_pulumi.host import DirectError, Host
from k3k_pulumi.model import VirtualClusterSpec, coverage, networks


def is_to_be_admitted(spec: VirtualClusterSpec) -> bool:
    """Whether this machine alone is let in: `source_cidrs` is not given, and a ClusterIP is all there is."""
    return spec.expose.type == "ClusterIP" and not spec.expose.source_cidrs


def check_machine(host: Host, spec: VirtualClusterSpec) -> None:
    """Refuses a cluster that this machine would have to reach and, by the policy, may not.

    Its address is taken to be the one that it has towards the host's Services. Who may not read those, or has
    no way there, is told later.

    Raises:
        DirectError: The address, those that are allowed, and what to do.
    """
    policy = spec.policy
    if policy is None or policy.source_cidrs is None or not is_to_be_admitted(spec):
        return
    try:
        found = [source_cidr(address) for address in kubernetes_service(host)]
    except DirectError:
        return
    for cidr in found:
        if not coverage.ranges(policy.source_cidrs, networks.parse(cidr)):
            allowed = ", ".join(map(str, policy.source_cidrs)) or "none"
            raise DirectError(
                f"virtual cluster {spec.namespace}/{spec.name}: this machine connects from {cidr}, which "
                f"VirtualClusterPolicy {policy.name!r} does not allow (source_cidrs: {allowed}): do this on "
                "a machine with an address in these, or have the policy changed"
            )


def source_cidr(address: str) -> str:
    """The one address from which this machine sends to `address`, as a CIDR. Nothing is sent.

    Raises:
        DirectError: There is no way there.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 443))
        except OSError as error:
            raise DirectError(
                f"no route from this machine to {address}: set expose.type to NodePort or LoadBalancer"
            ) from error
        return str(ipaddress.ip_network(probe.getsockname()[0].split("%")[0]))
