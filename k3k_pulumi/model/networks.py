"""Address ranges."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "127.0.0.0/8",
            "fc00::/7",
            "fe80::/10",
        ),
    )
)
"""Ranges that egress `internet` leaves out: private (RFC 1918, 4193), shared (RFC 6598), link-local with the
clouds' metadata addresses, loopback."""

_UNUSABLE = tuple(
    map(
        ipaddress.ip_network,
        ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"),
    )
)

_SERVICE_PREFIXES = {4: (12, 28), 6: (108, 124)}


def parse(text: Any) -> Network:
    """Reads a CIDR.

    Raises:
        ValueError: Not a CIDR, or one with host bits; the text says what is allowed.
    """
    if not isinstance(text, str):  # a number would be taken for an address
        raise ValueError("must be a CIDR like 10.43.0.0/16")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be a CIDR like 10.43.0.0/16") from None
    raise ValueError(f"has bits set beyond its prefix: did you mean {str(meant)!r}?")


def check_service_range(network: Network) -> None:
    """Checks that kube-apiserver accepts a range for Services.

    Raises:
        ValueError: Too large, too small, or an address family's special range; the text says what is allowed.
    """
    widest, narrowest = _SERVICE_PREFIXES[network.version]
    if not widest <= network.prefixlen <= narrowest:
        raise ValueError(
            f"must have a prefix from /{widest} to /{narrowest}, kube-apiserver's limits for "
            f"IPv{network.version}"
        )
    for special in _UNUSABLE:
        if overlap(network, special):
            raise ValueError(f"overlaps {special}, which is no range for Services: take a private one")


def overlap(one: Network, other: Network) -> bool:
    """Whether two ranges share an address; ranges of different families do not."""
    return one.version == other.version and one.overlaps(other)


def collapse(networks: Iterable[Network], version: int) -> list[str]:
    """The ranges of one address family as text, sorted, without those that others contain."""
    members: Sequence[Network] = [network for network in networks if network.version == version]
    return [str(network) for network in ipaddress.collapse_addresses(members)]  # type: ignore[type-var]


def denied(host_cidrs: Iterable[Network], version: int) -> list[str]:
    """What egress `internet` leaves out of one address family's whole range."""
    return collapse(chain(PRIVATE, host_cidrs), version)


def is_address(text: str) -> bool:
    """Whether `text` is a single IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
