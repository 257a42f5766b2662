"""Address ranges."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "224.0.0.0/3",
            "::/96",
            "64:ff9b:1::/48",
            "2002::/16",
            "fc00::/7",
            "fe80::/9",
            "ff00::/8",
        ),
    )
)
"""Ranges that egress `internet` leaves out: nothing in them is the internet.

Private (RFC 1918, 4193), shared (RFC 6598), link-local with the clouds' metadata addresses, loopback, and
what IANA reserves: 192.0.0.0/24 and 198.18.0.0/15 are used inside data centres, 240.0.0.0/4 for pods by
some. Two of the clouds' services hide elsewhere: Oracle's metadata in 192.0.0.0/24, and Azure's
168.63.129.16, which gives any pod its node's credentials. In IPv6 also what carries an IPv4 address inside
(compatible, 6to4, local NAT64); mapped addresses are on no wire, and Kubernetes takes no rule with them.
"""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix behind which a NAT64 gateway reaches IPv4 (RFC 6052)."""

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
    """What egress `internet` leaves out of one address family's whole range.

    An IPv4 range is left out of IPv6 too, where NAT64 has it.
    """
    ranges = [*PRIVATE, *host_cidrs]
    translated = [_behind_nat64(each) for each in ranges if isinstance(each, ipaddress.IPv4Network)]
    return collapse([*ranges, *translated], version)


def _behind_nat64(network: ipaddress.IPv4Network) -> ipaddress.IPv6Network:
    address = int(_NAT64.network_address) | int(network.network_address)
    return ipaddress.IPv6Network((address, _NAT64.prefixlen + network.prefixlen))


def is_address(text: str) -> bool:
    """Whether `text` is a single IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
