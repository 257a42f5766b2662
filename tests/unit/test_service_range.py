"""The range of the API server's Services: what the servers are told, and when the pod refuses to start."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.support import containers, find, manifests, templates

DISTRIBUTIONS = pytest.mark.parametrize("distribution", ["kubernetes", "k3s"])


def flag(objects: list[Any]) -> str:
    """The value of the flag that says it."""
    servers = containers(templates(objects)["server"])
    server = servers.get("kube-apiserver") or servers["k3s"]
    names = ("--service-cluster-ip-range=", "--service-cidr=")
    (found,) = [argument for argument in server["args"] if argument.startswith(names)]
    return str(found.partition("=")[2])


def check(objects: list[Any]) -> dict[str, str]:
    """What the init container checks."""
    config = find(objects, "ConfigMap", "c-server")["data"]["certificates.json"]
    (found,) = json.loads(config)["addresses"]
    return dict(found)


@DISTRIBUTIONS
def test_by_default_it_is_the_largest_block_around_one_of_the_hosts_addresses(distribution: str) -> None:
    objects = manifests(distribution=distribution)
    assert flag(objects) == "$(C_API_SERVICE_HOST)/12"
    assert check(objects)["within"] == "0.0.0.0/0"
    assert check(objects)["address"] == "$API_SERVICE_HOST"


@DISTRIBUTIONS
def test_an_explicit_one_is_taken_as_it_is(distribution: str) -> None:
    objects = manifests(distribution=distribution, service_cidr="10.96.0.0/16")
    assert flag(objects) == "10.96.0.0/16"
    assert "10.96.0.1" in json.dumps(objects)  # in the serving certificate


@pytest.mark.parametrize(
    ("version", "cidr", "within"),
    [
        ("v1.32.1+k3s1", "10.96.0.0/16", "10.96.0.0/16"),
        ("v1.33.0+k3s1", "10.96.0.0/16", "0.0.0.0/0"),
        ("v1.33.0+k3s1", "fd00:43::/112", "::/0"),
        ("v1.21.2+k3s1", "fd00:43::/112", "fd00:43::/112"),
    ],
)
def test_where_ranges_cannot_grow_it_has_to_contain_the_hosts(version: str, cidr: str, within: str) -> None:
    found = check(manifests(distribution="k3s", version=version, service_cidr=cidr))
    assert found["within"] == within
    assert found["otherwise"].startswith("service_cidr: {address}, an address of the host's Services, is ")
    assert cidr in found["otherwise"]


def test_who_looks_at_the_pod_reads_why_it_does_not_start() -> None:
    found = containers(templates(manifests())["server"])["certificates"]
    assert found["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_hosts_ranges_may_contain_it() -> None:
    manifests(service_cidr="10.96.0.0/16", host_cidrs=["10.96.0.0/12"])
