"""The small readers of the model: versions, quantities, address ranges, names."""

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
    assert networks.denied(host, 4) == [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.51.100.0/24",
    ]
    assert networks.denied(host, 6) == ["2001:db8::/32", "fc00::/7", "fe80::/10"]


@pytest.mark.parametrize("text", ["172.16.0.0/12", "10.43.0.0/28", "fd00::/108", "198.51.100.0/24"])
def test_ranges_that_services_may_have(text: str) -> None:
    networks.check_service_range(networks.parse(text))


def test_names_of_all_host_objects() -> None:
    all_names = names.Names("my-c", "team", "planes")
    assert {
        field: getattr(all_names, field)
        for field in dir(names.Names)
        if isinstance(getattr(names.Names, field), property)
    } == {
        "anchor": "my-c-anchor",
        "api": "my-c-api",
        "api_host_variable": "MY_C_API_SERVICE_HOST",
        "client_ca": "my-c-client-ca",
        "default_deny": "my-c-default-deny",
        "etcd_ca": "my-c-etcd-ca",
        "join_token": "my-c-join-token",
        "kubelet": "my-c-kubelet",
        "kubelet_serving_ca": "my-c-kubelet-serving-ca",
        "policy": "my-c-policy",
        "probe_token": "my-c-probe-token",
        "request_header_ca": "my-c-request-header-ca",
        "server": "my-c-server",
        "server_ca": "my-c-server-ca",
        "service_account_issuer": "https://my-c-api.planes.svc",
        "service_account_key": "my-c-service-account-key",
        "workload": "my-c-workload",
    }
    assert all_names.claim(0) == "data-my-c-server-0"
