"""Ranges of addresses: what is left of one when others are taken out."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from k3k_kubelet.translate.objects import Refused

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2), which are on no wire."""


@lru_cache(maxsize=64)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """CIDRs that are known to be some."""
    return tuple(ipaddress.ip_network(each) for each in texts)


def parse(text: str) -> Network:
    """A CIDR as a tenant writes it: with blanks around it, or with bits beyond its prefix.

    IPv4 addresses in IPv6's clothes are refused, as Kubernetes does from 1.36: some network plugins read them
    as the IPv4 ranges that they hold, in which nothing is denied then.

    Raises:
        ValueError: it is none, or within `::ffff:0:0/96`.
    """
    if "%" in text:  # a zone, which no policy has
        raise ValueError(text)
    found = ipaddress.ip_network(text.strip(), strict=False)
    if within(found, MAPPED):
        raise ValueError(text)
    return found


def read(text: str, path: str) -> Network:
    """The CIDR in the field `path` of a tenant's object; see `parse`.

    Raises:
        Refused: it is none.
    """
    try:
        return parse(text)
    except ValueError:
        hint = "write it like 192.0.2.0/24, and an IPv4 range as one of IPv4"
        raise Refused(path, f"{text!r} is not a CIDR", hint) from None


def within(inner: Network, outer: Network) -> bool:
    """Whether every address of one is of the other as well."""
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def less(whole: Network, taken: Iterable[Network]) -> list[Network] | None:
    """The ranges in `whole` that `taken` takes out, each once; None where nothing is left of it."""
    meant: list[Network] = []
    # In this order one follows the one that holds it: a tenant may write thousands.
    for each in sorted(set(taken), key=lambda one: (one.version, int(one.network_address), one.prefixlen)):
        if within(whole, each):
            return None
        if within(each, whole) and not (meant and within(each, meant[-1])):
            meant.append(each)
    return meant


def common(ranges: Iterable[Network], allowed: Sequence[Network]) -> list[Network]:
    """The parts of some ranges that lie in the allowed ones. Of two CIDRs one holds the other, or nothing."""
    found: list[Network] = []
    for each in ranges:
        if any(within(each, other) for other in allowed):
            found.append(each)
        else:
            found += [other for other in allowed if within(other, each)]
    return list(dict.fromkeys(found))


def are_everything(ranges: Iterable[Network]) -> bool:
    """Whether ranges hold every address of both families."""
    return {each.version for each in ranges if each.prefixlen == 0} == {4, 6}
