"""The cluster's DNS: what its name servers answer beyond the cluster's own names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from k3k_pulumi.model import networks
from k3k_pulumi.model.parts import Cidr, Domain, Integer, Part, rule, wrong

PORT = 53
"""Port of name servers that name none."""
MAX_RESOLVERS = 15
"""Most name servers of one zone: CoreDNS' plugin `forward` takes no more."""

_BRACKETS = re.compile(r"\[([^\]]*)\](?::(\d+))?")
_PORT = re.compile(r"([^:]*):(\d+)")
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"\*|(\*|{_LABEL})\.{_LABEL}")


def resolver(text: str) -> tuple[str, int]:
    """Address and port of a name server: `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`.

    Raises:
        ValueError: None of these; the text says what is allowed.
    """
    match = _BRACKETS.fullmatch(text) or _PORT.fullmatch(text)
    address, port = (match[1], int(match[2] or PORT)) if match else (text, PORT)
    if not networks.is_address(address) or not 0 < port < 65536:
        raise ValueError("must be an IP address, with a port like 192.0.2.1:5353 if that is not 53")
    return address, port


def _check_resolver(text: str) -> str:
    resolver(text)
    return text


def _check_host_name(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ValueError("must be <service>.<namespace> of the host, *.<namespace> or *")
    return text


Resolver = Annotated[str, AfterValidator(rule(_check_resolver))]
HostName = Annotated[str, AfterValidator(rule(_check_host_name))]


class Dns(Part):
    """The name servers and what they forward."""

    replicas: Integer = 1
    upstreams: tuple[Resolver, ...] = ()
    stub_zones: dict[Domain, tuple[Resolver, ...]] = Field(default_factory=dict)
    host_names: tuple[HostName, ...] = ()
    host_domain: Domain = "cluster.local"
    source_cidrs: tuple[Cidr, ...] = ()

    @property
    def ports(self) -> list[int]:
        """The ports of all name servers that queries are forwarded to, sorted; 53 is always one of them."""
        named = [*self.upstreams, *(each for zone in self.stub_zones.values() for each in zone)]
        return sorted({PORT, *(resolver(each)[1] for each in named)})

    @field_validator("replicas")
    @classmethod
    def _is_one_or_two(cls, value: int) -> int:
        if value not in (1, 2):
            raise wrong("must be 1 or 2")
        return value

    @field_validator("upstreams")
    @classmethod
    def _are_not_too_many(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _check_number(value)
        return value

    @field_validator("stub_zones")
    @classmethod
    def _have_resolvers(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for zone, resolvers in value.items():
            if not resolvers:
                raise wrong(f"has no name server for {zone!r}: list the addresses to ask")
            _check_number(resolvers)
        return value


def is_within(name: str, zone: str) -> bool:
    """Whether a domain is a zone or below it."""
    return name == zone or name.endswith(f".{zone}")


def contradictions(dns: Dns, cluster_domain: str, egress: str, whose: str = "") -> list[str]:
    """What of the DNS settings contradicts the rest of the cluster, a whole line for each.

    Args:
        dns: The settings.
        cluster_domain: Of the cluster.
        egress: Of the cluster.
        whose: Words on where the egress comes from, if not from the cluster's own arguments.
    """
    problems = []
    forwarded = ("upstreams", "stub_zones", "host_names")
    if egress == "none" and (given := [field for field in forwarded if getattr(dns, field)]):
        problems += [
            f"dns.{field}: has no use with egress 'none'{whose}, which lets no query out: leave it out"
            for field in given
        ]
    for zone in _inside(dns.stub_zones, cluster_domain):
        problems.append(
            f"dns.stub_zones: has {zone!r}, which lies in cluster_domain {cluster_domain!r}: the cluster "
            "itself answers for it"
        )
    below = cluster_domain != dns.host_domain and is_within(cluster_domain, dns.host_domain)
    if dns.host_names and below:
        problems.append(
            f"dns.host_names: cannot be used with cluster_domain {cluster_domain!r} below dns.host_domain "
            f"{dns.host_domain!r}: give the cluster another domain"
        )
    return problems


def _inside(zones: Iterable[str], domain: str) -> list[str]:
    return [zone for zone in zones if is_within(zone, domain)]


def _check_number(resolvers: tuple[str, ...]) -> None:
    if len(resolvers) > MAX_RESOLVERS:
        raise wrong(f"has {len(resolvers)} name servers for one zone: must be at most {MAX_RESOLVERS}")
