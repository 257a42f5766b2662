"""Which pods have usage, how fresh it is, and what a host may answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from k3k_kubelet.api import ApiClient
from k3k_kubelet.usage import UnavailableError, Usage
from k3k_kubelet.usage.reading import FRESH_SECONDS, HostUsage

from kubelet.tests.server import peers
from kubelet.tests.server.peers import Setup, answering
from kubelet.tests.usage.samples import CLUSTER, HOST_NAMESPACE, pod_metrics, usage_of, virtual_pod


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a scripted host."""
    made = tmp_path_factory.mktemp("usage")
    peers.make_files(made)
    return made


def asking(folder: Path, script: peers.Script, test: Callable[[Setup, ApiClient], Awaitable[None]]) -> None:
    """Runs a test with a client of a host that answers by `script`."""

    async def run() -> None:
        async with peers.running(folder, script) as setup:
            host = ApiClient(setup.host)
            try:
                await test(setup, host)
            finally:
                await host.close()

    asyncio.run(run())


def telling(*items: dict[str, Any]) -> peers.Script:
    return answering(200, json.dumps({"items": items}).encode())


def using(
    folder: Path, script: peers.Script, pods: list[Any], test: Callable[[Usage], Awaitable[None]]
) -> None:
    asking(folder, script, lambda _, host: test(usage_of(host, pods)))


def test_the_copy_of_an_earlier_pod_of_the_name_is_not_this_pods(folder: Path) -> None:
    again = virtual_pod("web") | {"metadata": virtual_pod("web")["metadata"] | {"uid": "another"}}
    unbound = virtual_pod("db")
    del unbound["metadata"]["annotations"]
    used = telling(pod_metrics("web"), pod_metrics("db"), pod_metrics("fine"))

    async def test(usage: Usage) -> None:
        found = [each.pod["metadata"]["name"] for each in await usage.all()]
        assert found == ["fine"]

    using(folder, used, [again, unbound, virtual_pod("fine"), virtual_pod("without-sample")], test)


def test_figures_that_nobody_can_read_keep_back_no_others(folder: Path) -> None:
    bad = [
        pod_metrics("a", cpu="much"),
        pod_metrics("b", memory=""),
        pod_metrics("c", at="yesterday"),
        pod_metrics("d", window="long"),
    ]
    pods = [virtual_pod(name) for name in ("a", "b", "c", "d", "fine")]

    async def test(usage: Usage) -> None:
        (fine,) = await usage.of_node("node-a")
        assert (fine.nanocores, fine.memory) == (250_000_000, 64 * 2**20)

    using(folder, telling(*bad, pod_metrics("fine")), pods, test)


def test_who_asks_at_the_same_time_shares_one_request(folder: Path) -> None:
    async def test(setup: Setup, host: ApiClient) -> None:
        now = [100.0]
        source = HostUsage(host, HOST_NAMESPACE, CLUSTER, clock=lambda: now[0])
        readings = await asyncio.gather(*(source.read() for _ in range(20)))
        assert all(reading.keys() == {"host-web"} for reading in readings)
        assert len(setup.received) == 1
        now[0] += FRESH_SECONDS
        await source.read()
        assert len(setup.received) == 2

    asking(folder, telling(pod_metrics("web")), test)


@pytest.mark.parametrize(
    ("script", "requests", "words"),
    [
        (answering(404, b"secret words", "text/plain"), 1, "the host cluster has no metrics.k8s.io API"),
        (answering(403, b"secret words"), 1, "cannot be read at present (HTTP status 403)"),
        (answering(200, b"secret words"), 4, "cannot be read at present (no answer)"),
    ],
)
def test_what_the_host_says_instead_is_not_passed_on_nor_asked_by_everyone(
    folder: Path, script: peers.Script, requests: int, words: str
) -> None:
    async def test(setup: Setup, host: ApiClient) -> None:
        source = HostUsage(host, HOST_NAMESPACE, CLUSTER, clock=lambda: 100.0)
        for _ in range(3):
            with pytest.raises(UnavailableError) as raised:
                await source.read()
            assert words in str(raised.value)
            assert "secret" not in str(raised.value)
        assert len(setup.received) == requests

    asking(folder, script, test)
