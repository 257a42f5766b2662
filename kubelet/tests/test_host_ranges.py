"""A host with addresses where nobody said it has any: `egress: internet` would be open to them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from k3k_kubelet.host_ranges import HostRanges, advice

from kubelet.tests.clusters import Clusters, started
from kubelet.tests.test_process import ask
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world, running_status

pytestmark = pytest.mark.xdist_group("kubelet-clusters")

PRIVATE = ["10.0.0.0/8", "127.0.0.0/8", "192.168.0.0/16", "fc00::/7"]
GIVEN = [*PRIVATE, "192.0.2.0/24", "198.51.100.0/24"]
"""With the addresses of pods that other tests may have left on the shared host."""


@pytest.mark.parametrize(
    ("cidrs", "addresses", "unlisted"),
    [
        (PRIVATE, ["10.0.0.7", "fd00::7", "127.0.0.1"], []),
        (PRIVATE, ["10.0.0.7", "203.0.113.7", "2001:db8::7"], ["203.0.113.7", "2001:db8::7"]),
        ([*PRIVATE, "203.0.113.0/24", "2001:db8::/32"], ["203.0.113.7", "2001:db8::7"], []),
        (PRIVATE, ["kubernetes.example.com", ""], []),
        ([], ["203.0.113.7"], []),
    ],
)
def test_addresses_are_in_the_ranges_that_somebody_gave(
    cidrs: list[str], addresses: list[str], unlisted: list[str]
) -> None:
    assert HostRanges(cidrs).unlisted(addresses) == unlisted


def test_a_pod_shows_its_addresses_and_those_of_its_node() -> None:
    status = {
        "hostIP": "203.0.113.7",
        "hostIPs": [{"ip": "203.0.113.7"}, {"ip": "2001:db8::7"}],
        "podIP": "10.1.0.5",
        "podIPs": [{"ip": "10.1.0.5"}, {"ip": "2001:db8:1::5"}],
    }
    assert HostRanges(PRIVATE).of_pod({"status": status}) == ["2001:db8:1::5", "2001:db8::7", "203.0.113.7"]
    assert HostRanges(PRIVATE).of_pod({}) == []


def test_a_node_shows_the_address_by_which_pods_reach_it() -> None:
    addresses = [
        {"type": "Hostname", "address": "node-1"},
        {"type": "InternalIP", "address": "203.0.113.7"},
        {"type": "ExternalIP", "address": "198.51.100.7"},
    ]
    assert HostRanges(PRIVATE).of_node({"status": {"addresses": addresses}}) == ["203.0.113.7"]


def test_each_address_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    ranges = HostRanges(PRIVATE)
    for _ in range(3):
        ranges.unlisted(["203.0.113.7"])
    (record,) = caplog.records
    assert "203.0.113.7" in record.getMessage()


def test_the_advice_names_the_field_and_not_a_thousand_addresses() -> None:
    text = advice(f"203.0.113.{n}" for n in range(200))
    assert "host_cidrs" in text
    assert "and 195 more" in text
    assert len(text) < 500


@contextmanager
def configured(clusters: Clusters, **changed: Any) -> Iterator[None]:
    """The kubelet with other values in its configuration."""
    file = clusters.directory / "config.json"
    before = file.read_text()
    clusters.stop_kubelet()
    file.write_text(json.dumps(json.loads(before) | changed))
    try:
        clusters.start_kubelet()
        yield
    finally:
        clusters.stop_kubelet()
        file.write_text(before)
        clusters.start_kubelet()
        # API servers inside ask it about the Services of the next test.
        asyncio.run(eventually(lambda: ask(clusters, "/readyz")[0] == 200))


def test_a_pods_node_with_such_an_address_makes_it_not_ready(clusters: Clusters) -> None:
    def readyz() -> tuple[int, str]:
        return ask(clusters, "/readyz")

    async def test(world: World) -> None:
        await eventually(lambda: readyz()[0] == 200)
        await world.pod("web")
        await world.schedule("web", "node-a")
        host = {"hostIP": "203.0.113.7", "hostIPs": [{"ip": "203.0.113.7"}]}
        pod = {"podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}]}
        await world.report("web", {**running_status(), **host, **pod})
        # For a moment it may have been not ready for another reason.
        code, text = await eventually(lambda: answer if "203.0.113.7" in (answer := readyz())[1] else None)
        assert code == 503
        assert "host_cidrs" in text
        assert "203.0.113.7" in clusters.log()
        # Whatever runs goes on: who waits for the kubelet to be ready is who makes the cluster.
        await world.pod("more")
        await world.schedule("more", "node-b")
        await world.ended("web")
        await eventually(lambda: readyz()[0] == 200)

    with configured(clusters, hostRanges=GIVEN):
        in_world(clusters, test)


def test_a_mirrored_node_with_such_an_address_makes_it_not_ready(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("mirrored")
    with started(folder, mirror_host_nodes=True) as own, configured(own, hostRanges=PRIVATE):
        asyncio.run(eventually(lambda: ask(own, "/readyz")[0] == 200))
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far"}}
        own.host.kubectl("apply", "-f", "-", stdin=json.dumps(node))
        status = {"status": {"addresses": [{"type": "InternalIP", "address": "203.0.113.8"}]}}
        own.host.kubectl("patch", "node", "far", "--subresource=status", "-p", json.dumps(status))
        asyncio.run(eventually(lambda: "203.0.113.8" in ask(own, "/readyz")[1]))


def test_it_does_not_start_on_such_a_host(clusters: Clusters) -> None:
    clusters.stop_kubelet()
    before = (clusters.directory / "config.json").read_text()
    (clusters.directory / "config.json").write_text(json.dumps(json.loads(before) | {"hostRanges": PRIVATE}))
    try:
        result = subprocess.run(
            clusters.kubelet_command(),
            env=clusters.environment() | {"HOST_IP": "203.0.113.7", "POD_IPS": "10.1.0.5,2001:db8::5"},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        (clusters.directory / "config.json").write_text(before)
        clusters.start_kubelet()
    asyncio.run(eventually(lambda: ask(clusters, "/readyz")[0] == 200))
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "k3k-kubelet: the host has addresses that are neither private nor in host_cidrs" in last
    assert "2001:db8::5, 203.0.113.7" in last
