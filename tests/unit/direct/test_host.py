"""A host that is busy: what it has no time for is asked again, and what it says in the end is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from k3k_pulumi.host import REWRITES, DirectError, Ref
from k3k_pulumi.host import Host as Client
from kubelet.tests import proxy
from kubelet.tests.proxy import Proxy
from tests.e2e.conftest import unique
from tests.unit.direct.conftest import Host

BUSY = {
    "too many requests": proxy.status(429, "TooManyRequests", **{"Retry-After": "1"}),
    "etcd took too long": proxy.status(500, "InternalError"),
    "a load balancer without a server": proxy.page(502),
    "not ready": proxy.status(503, "ServiceUnavailable"),
    "no time left, though it is done": proxy.swallowed(504),
    "another one of the quota's writers was first": proxy.status(409, "Conflict"),
}


@pytest.fixture
def busy(host: Host) -> Iterator[Proxy]:
    made = Proxy(host.plane, as_admin=True)
    yield made
    made.close()


@pytest.fixture
def client(host: Host, busy: Proxy) -> Iterator[Client]:
    made = Client.connect(host.kubeconfig("busy", busy.port))
    yield made
    made.close()


@pytest.fixture
def manifest(host: Host) -> dict[str, Any]:
    metadata = {"name": "it", "namespace": host.namespace(unique("t"))}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


def about_it(request: web.Request, _: bytes) -> bool:
    return request.path.endswith("/configmaps/it")


@pytest.mark.parametrize("answer", BUSY.values(), ids=BUSY)
def test_what_a_host_has_no_time_for_is_asked_again(
    busy: Proxy, client: Client, manifest: dict[str, Any], answer: proxy.Answer
) -> None:
    with busy.broken(answer, applies=about_it, times=2) as fault:
        assert client.apply(manifest)["data"] == {"a": "1"}
    assert fault.hits == 2


@pytest.mark.parametrize("answer", [BUSY["etcd took too long"], BUSY["no time left, though it is done"]])
def test_reads_and_deletions_are_asked_again(
    busy: Proxy, client: Client, manifest: dict[str, Any], answer: proxy.Answer
) -> None:
    client.apply(manifest)
    ref = Ref.of(manifest)
    with busy.broken(answer, applies=about_it, times=1):
        assert client.get(ref)
    with busy.broken(answer, applies=about_it, times=1):
        client.delete(ref)
    assert client.get(ref) is None


@pytest.mark.parametrize(("reason", "hits"), [("InternalError", 5), ("Conflict", REWRITES)])
def test_a_host_that_stays_busy_is_told(
    busy: Proxy, client: Client, manifest: dict[str, Any], reason: str, hits: int
) -> None:
    code = 409 if reason == "Conflict" else 500
    with (
        busy.broken(proxy.status(code, reason), applies=about_it) as fault,
        pytest.raises(DirectError, match=rf"ConfigMap t-.*/it: .*{reason}"),
    ):
        client.apply(manifest)
    assert fault.hits == hits


def test_a_field_that_is_somebody_elses_is_told_at_once(
    busy: Proxy, client: Client, manifest: dict[str, Any]
) -> None:
    client.apply(manifest, field_manager="somebody")
    with (
        busy.broken(proxy.slow(0), applies=about_it) as asked,
        pytest.raises(DirectError, match=r"somebody else manages it: .*\.data\.a"),
    ):
        client.apply({**manifest, "data": {"a": "2"}})
    assert asked.hits == 1
