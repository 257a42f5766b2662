"""Address ranges."""

from __future__ import annotations

import functools
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
(compatible, 6to4, local NAT64); mapped addresses are on no wire, and
`parse` takes no range of them. Kubernetes takes none from 1.36 on.
"""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix behind which a NAT64 gateway reaches IPv4 (RFC 6052)."""


def _behind_nat64(network: ipaddress.IPv4Network) -> ipaddress.IPv6Network:
    address = int(_NAT64.network_address) | int(network.network_address)
    return ipaddress.IPv6Network((address, _NAT64.prefixlen + network.prefixlen))


_METADATA_ADDRESSES = tuple(
    map(
        ipaddress.ip_network,
        (
            "100.100.100.200/32",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "192.0.0.192/32",
            "fd00:ec2::/32",
            "fd20:ce::254/128",
            "fe80::/10",
        ),
    )
)

METADATA: tuple[Network, ...] = (
    *_METADATA_ADDRESSES,
    *(_behind_nat64(each) for each in _METADATA_ADDRESSES if isinstance(each, ipaddress.IPv4Network)),
)
"""Where clouds tell a machine its secrets: link-local for most (169.254.169.254; AWS' pods and tasks too, and
Scaleway), others in ranges that have a private look (Alibaba, Azure, Oracle; AWS and Google by IPv6), each of
IPv4 also as a NAT64 gateway has it. What somebody allows by a wider range was not meant for these.
"""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

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
        ValueError: Not a CIDR, one with host bits, or one of IPv4-mapped addresses, which network
            plugins read differently; the text says what is allowed.
    """
    if not isinstance(text, str):  # a number would be taken for an address
        raise ValueError("must be a CIDR like 10.43.0.0/16")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if contains(_MAPPED, found):
            raise ValueError("has IPv4 addresses mapped to IPv6: write them as an IPv4 range")
        return found
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


def contains(outer: Network, inner: Network) -> bool:
    """Whether a range has all addresses of another one."""
    return overlap(outer, inner) and outer.prefixlen <= inner.prefixlen


def collapse(networks: Iterable[Network], version: int) -> list[str]:
    """The ranges of one address family as text, sorted, without those that others contain."""
    members: Sequence[Network] = [network for network in networks if network.version == version]
    return [str(network) for network in ipaddress.collapse_addresses(members)]  # type: ignore[type-var]


def denied(host_cidrs: Iterable[Network], version: int) -> list[str]:
    """What egress `internet` leaves out of one address family's whole range.

    An IPv4 range is left out of IPv6 too, where NAT64 has it.
    """
    return list(_denied(tuple(host_cidrs), version))


@functools.lru_cache(maxsize=64)  # clusters of one program ask the same
def _denied(host_cidrs: tuple[Network, ...], version: int) -> tuple[str, ...]:
    ranges = [*PRIVATE, *host_cidrs]
    translated = [_behind_nat64(each) for each in ranges if isinstance(each, ipaddress.IPv4Network)]
    return tuple(collapse([*ranges, *translated], version))


def metadata_within(network: Network) -> list[Network]:
    """The metadata addresses in a range that is more than these: what `egress_cidrs` leaves out of it.

    To open such an address, name it (or its range in `METADATA`) by itself.
    """
    return [each for each in METADATA if each != network and contains(network, each)]


def without(networks: Iterable[Network], taken: Iterable[Network]) -> list[Network]:
    """Ranges with all of `taken` cut out."""
    left = list(networks)
    for hole in taken:
        left = [part for each in left for part in _cut(each, hole)]
    return left


def within(network: Network, ranges: Iterable[Network]) -> bool:
    """Whether one of the ranges has all of it."""
    return any(contains(each, network) for each in ranges)


def _cut(network: Network, hole: Network) -> list[Network]:
    if not overlap(network, hole):
        return [network]
    if contains(hole, network):
        return []
    return list(network.address_exclude(hole))  # type: ignore[arg-type]


def is_address(text: str) -> bool:
    """Whether `text` is a single IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
