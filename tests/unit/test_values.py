"""The small readers of the model: versions, quantities, address ranges, names."""

import ipaddress
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from k3k_pulumi.model import names, networks, quantity, versions


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", Decimal(1)),
        ("500m", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("1.5Gi", Decimal(1610612736)),
        ("2G", Decimal(2000000000)),
        ("1e3", Decimal(1000)),
        ("3u", Decimal("0.000003")),
        (2, Decimal(2)),
        (0.5, Decimal("0.5")),
    ],
)
def test_quantities(text: str | int | float, value: Decimal) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "1GB", "-1", "1 Gi", "1KiB", "0x1", "1e", "1e999", "9" * 31])
def test_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="must be a quantity like 500m"):
        quantity.parse(text)


def test_the_librarys_version_is_that_of_its_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == versions.LIBRARY


def test_versions_are_ordered_by_number() -> None:
    parsed = [versions.parse("kubernetes", text) for text in ("v1.34.10", "v1.34.9", "v1.33.99")]
    assert sorted(parsed) == parsed[::-1]


def test_denied_ranges_hold_the_hosts_own_and_no_range_twice() -> None:
    host = [networks.parse(text) for text in ("198.51.100.0/24", "10.1.0.0/16", "2001:db8::/32")]
    four, six = networks.denied(host, 4), networks.denied(host, 6)
    assert "198.51.100.0/24" in four
    assert "10.1.0.0/16" not in four  # 10.0.0.0/8 has it
    assert "2001:db8::/32" in six
    assert "64:ff9b::c633:6400/120" in six  # 198.51.100.0/24 by way of NAT64
    assert len({*four, *six}) == len(four) + len(six)


_TRAPS = {
    "a private address": "10.1.2.3",
    "metadata of most clouds": "169.254.169.254",
    "metadata of Oracle's, once": "192.0.0.192",
    "metadata of Alibaba's": "100.100.100.200",
    "Azure's WireServer": "168.63.129.16",
    "class E, where GKE may put pods": "240.0.0.1",
    "loopback": "127.0.0.1",
    "metadata of AWS by IPv6": "fd00:ec2::254",
    "link-local": "fe80::1",
    "site-local": "fec0::1",
    "metadata behind NAT64": "64:ff9b::a9fe:a9fe",
    "a private address behind NAT64": "64:ff9b::a01:203",
    "NAT64 of one's own": "64:ff9b:1::1",
    "a private address in 6to4": "2002:a01:203::1",
}


@pytest.mark.parametrize("address", _TRAPS.values(), ids=_TRAPS.keys())
def test_no_address_of_the_host_or_its_cloud_is_internet(address: str) -> None:
    wanted = ipaddress.ip_address(address)
    assert any(wanted in ipaddress.ip_network(each) for each in networks.denied([], wanted.version))


@pytest.mark.parametrize("address", ["1.1.1.1", "192.0.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_the_internet_is_reached(address: str) -> None:
    wanted = ipaddress.ip_address(address)
    assert not any(wanted in ipaddress.ip_network(each) for each in networks.denied([], wanted.version))


@pytest.mark.parametrize("text", ["172.16.0.0/12", "10.43.0.0/28", "fd00::/108", "198.51.100.0/24"])
def test_ranges_that_services_may_have(text: str) -> None:
    networks.check_service_range(networks.parse(text))


BEHIND_NAT64 = [
    f"64:ff9b::{each}" for each in ("6464:64c8/128", "a83f:8110/128", "a9fe:0/112", "c000:c0/128")
]


@pytest.mark.parametrize(
    ("cidr", "holes"),
    [
        ("0.0.0.0/0", ["100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.192/32"]),
        ("::/0", ["fd00:ec2::/32", "fd20:ce::254/128", "fe80::/10", *BEHIND_NAT64]),
        ("64:ff9b::/96", BEHIND_NAT64),
        ("64:ff9b::a9fe:a9fe/128", []),
        ("168.0.0.0/7", ["168.63.129.16/32", "169.254.0.0/16"]),
        ("fd00::/8", ["fd00:ec2::/32", "fd20:ce::254/128"]),
        ("10.0.0.0/8", []),
        ("169.254.0.0/16", []),  # named by itself
        ("169.254.169.254/32", []),
    ],
)
def test_a_wide_range_does_not_mean_metadata_addresses(cidr: str, holes: list[str]) -> None:
    assert [str(each) for each in networks.metadata_within(networks.parse(cidr))] == holes


def test_metadata_addresses_are_denied_unless_named() -> None:
    denied = [networks.parse(cidr) for version in (4, 6) for cidr in networks.denied([], version)]
    assert [each for each in networks.METADATA if not networks.within(each, denied)] == []


@pytest.mark.parametrize(
    ("ranges", "taken", "left"),
    [
        (["10.0.0.0/8"], ["10.0.0.0/9"], ["10.128.0.0/9"]),
        (["10.0.0.0/8"], ["0.0.0.0/0"], []),
        (["10.0.0.0/8"], ["11.0.0.0/8", "::/0"], ["10.0.0.0/8"]),
        (["fd00::/8"], ["fd00::/9", "fd80::/10"], ["fdc0::/10"]),
        (["10.0.0.0/30", "fd00::/126"], ["10.0.0.1/32"], ["10.0.0.0/32", "10.0.0.2/31", "fd00::/126"]),
    ],
)
def test_ranges_without_others(ranges: list[str], taken: list[str], left: list[str]) -> None:
    found = networks.without(map(networks.parse, ranges), map(networks.parse, taken))
    assert sorted(map(str, found)) == sorted(left)


@pytest.mark.parametrize("text", ["::ffff:169.254.169.254/128", "::ffff:a00:0/104", "::ffff:0:0/96"])
def test_ipv4_addresses_mapped_to_ipv6_are_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="as an IPv4 range"):
        networks.parse(text)
    assert networks.parse("::/0") == ipaddress.ip_network("::/0")


def test_names_of_all_host_objects() -> None:
    all_names = names.Names("my-c", "team", "planes")
    assert {
        field: getattr(all_names, field)
        for field in dir(names.Names)
        if isinstance(getattr(names.Names, field), property)
    } == {
        "admission_policy": "my-c.planes.k3k-pulumi.io",
        "anchor": "my-c-anchor",
        "api": "my-c-api",
        "api_host_variable": "MY_C_API_SERVICE_HOST",
        "client_ca": "my-c-client-ca",
        "cluster_reader": "k3k-pulumi.io:planes:my-c",
        "default_deny": "my-c-default-deny",
        "dns": "my-c-dns",
        "dns_host_variable": "MY_C_DNS_SERVICE_HOST",
        "etcd_ca": "my-c-etcd-ca",
        "join_token": "my-c-join-token",
        "kubelet": "my-c-kubelet",
        "kubelet_serving_ca": "my-c-kubelet-serving-ca",
        "network_probe": "my-c-network-probe",
        "network_probe_host_variable": "MY_C_NETWORK_PROBE_SERVICE_HOST",
        "policy": "my-c-policy",
        "probe_token": "my-c-probe-token",
        "request_header_ca": "my-c-request-header-ca",
        "server": "my-c-server",
        "server_ca": "my-c-server-ca",
        "service_account_issuer": "https://my-c-api.planes.svc",
        "service_account_key": "my-c-service-account-key",
        "workload": "my-c-workload",
        "workload_ingress": "my-c-workload-ingress",
        "workload_egress": "my-c-workload-egress",
    }
    assert all_names.claim(0) == "data-my-c-server-0"
