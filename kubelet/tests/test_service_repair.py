"""Services that went past admission get the host's addresses; what leads to it is put right."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from k3k_kubelet.api import SERVICES, NotFoundError
from k3k_kubelet.extension.webhook import CONFIGURATIONS
from k3k_kubelet.extension.webhook import NAME as WEBHOOK

from kubelet.tests.clusters import NAMESPACE, Clusters, started
from kubelet.tests.controlplane import ADDRESS
from kubelet.tests.replica import Replica
from kubelet.tests.services import asked, gone, service, settled, spec, twin
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

AT_ONCE = 25.0
"""Seconds in which two changes, one after the other, are not both put right by the patrol of each minute."""

pytestmark = pytest.mark.xdist_group("kubelet-services")  # stops its kubelet: not the other tests' one


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Clusters whose virtual API server has another range than the host."""
    flags = ["--service-cluster-ip-range=172.30.0.0/16", "--service-node-port-range=1-65535"]
    with started(tmp_path_factory.mktemp("repair"), virtual_flags=flags) as both:
        yield both


async def _configured(world: World) -> dict[str, Any] | None:
    try:
        return await world.virtual.get(CONFIGURATIONS, None, WEBHOOK)
    except NotFoundError:
        return None


def test_a_service_older_than_the_webhook_gets_the_hosts_address_and_stays_the_same(own: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        own.stop_kubelet()
        try:
            await world.virtual.delete(CONFIGURATIONS, None, WEBHOOK)
            plain = await eventually(lambda: _created(world, "plain", {}))
            exposed = await service(world, "exposed", type="NodePort")
            ranges = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"]}
            balanced = await service(world, "balanced", **ranges)
            headless = await service(world, "headless", clusterIP="None")
        finally:
            own.start_kubelet()
        for before in (plain, exposed, balanced):
            name = before["metadata"]["name"]
            await eventually(lambda name=name: _agrees(world, name))  # type: ignore[misc]
            after = await world.get(SERVICES, name)
            assert after is not None
            assert after["metadata"]["uid"] == before["metadata"]["uid"]
            assert after["spec"]["type"] == before["spec"]["type"]
            for key in ("selector", "loadBalancerSourceRanges"):
                assert after["spec"].get(key) == before["spec"].get(key)
            assert "annotations" not in after["metadata"]
            host = await eventually(lambda name=name: settled(world, name))  # type: ignore[misc]
            ports = [[p.get("nodePort") for p in each["spec"]["ports"]] for each in (after, host)]
            assert ports[0] == ports[1]
        now = await world.get(SERVICES, "headless")
        assert now is not None
        assert now["metadata"]["resourceVersion"] == headless["metadata"]["resourceVersion"]

    in_world(own, test)


async def _created(world: World, name: str, more: dict[str, Any]) -> dict[str, Any] | None:
    """A Service, as soon as the API server inside has noticed that there is no webhook."""
    try:
        return await service(world, name, **more)
    except Exception as error:
        if "failed calling webhook" not in str(error):
            raise
        return None


async def _agrees(world: World, name: str) -> bool:
    made, host = await world.get(SERVICES, name), await world.host_get(SERVICES, name)
    return bool(made and host and made["spec"].get("clusterIP") == host["spec"]["clusterIP"])


def test_the_api_servers_service_has_the_hosts_address_also_when_a_tenant_deletes_it(own: Clusters) -> None:
    async def address(world: World) -> str:
        try:
            found = await world.virtual.get(SERVICES, "default", "kubernetes")
        except NotFoundError:
            return ""
        return str(found["spec"].get("clusterIP"))

    async def test(world: World) -> None:
        wanted = own.api_address

        async def is_right() -> bool:
            return await address(world) == wanted

        await eventually(is_right)
        await world.virtual.delete(SERVICES, "default", "kubernetes")
        await eventually(is_right)
        outward = {"type": "ExternalName", "externalName": "x.example.com"} | dict.fromkeys(
            ("clusterIP", "clusterIPs")
        )
        await world.virtual.patch(
            *(SERVICES, "default", "kubernetes"),
            {"spec": outward},
        )
        await eventually(is_right)

    in_world(own, test)


def test_the_configuration_is_put_right_at_once(own: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        before = await _configured(world)
        assert before is not None
        await world.virtual.delete(CONFIGURATIONS, None, WEBHOOK)
        await eventually(lambda: _configured(world), seconds=AT_ONCE)
        webhook = before["webhooks"][0]
        spoiled = (
            {"failurePolicy": "Ignore"},
            {"namespaceSelector": {"matchLabels": {"a": "b"}}},
            {"clientConfig": {**webhook["clientConfig"], "url": "https://192.0.2.1/"}},
            {"rules": [{**webhook["rules"][0], "operations": ["UPDATE"]}]},
        )

        async def is_right() -> bool:
            found = await _configured(world)
            return found is not None and found["webhooks"] == [webhook]

        for each in spoiled:
            await world.virtual.patch(CONFIGURATIONS, None, WEBHOOK, {"webhooks": [webhook | each]})
            await eventually(is_right, seconds=AT_ONCE)

    in_world(own, test)


def test_turned_off_it_asks_no_more(own: Clusters) -> None:
    async def is_off(world: World) -> bool:
        return await _configured(world) is None

    async def test(world: World) -> None:
        await asked(world)
        await service(world, "web")
        await eventually(lambda: settled(world, "web"))
        own.set_policy(sync={"toHost": {"services": {"enabled": False}}})
        try:
            await eventually(lambda: is_off(world))
            await eventually(lambda: gone(world, "web"))
        finally:
            own.set_policy()
        await eventually(lambda: _configured(world))
        await eventually(lambda: _agrees(world, "web"))

    in_world(own, test)


def review(world: World, name: str, **request: Any) -> dict[str, Any]:
    """An AdmissionReview as an API server sends it, or somebody who pretends to be one."""
    obj = {"metadata": {"name": name, "namespace": world.namespace}, "spec": spec()}
    whole = {"uid": "1", "operation": "CREATE", "namespace": world.namespace, "object": obj, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}


def send(clusters: Clusters, body: bytes, address: str = ADDRESS) -> tuple[int, dict[str, Any]]:
    """Sends a review without a certificate; the answer's code, and its response."""
    context = ssl.create_default_context(cafile=str(clusters.virtual.pki / "kubelet-serving-ca.crt"))
    url = f"https://{address}:{clusters.extension_port}/admission/services"
    asking = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asking, context=context, timeout=60) as answer:
            return answer.status, json.load(answer)["response"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _at(obj: dict[str, Any], version: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}


async def _all_have_twins(world: World) -> bool:
    """Whether the Services of all tests have theirs: what the end of copies took comes back one by one."""
    hosts = await world.host.list_all(SERVICES, NAMESPACE)
    known = {(each["metadata"].get("annotations") or {}).get("k3k-pulumi.io/uid") for each in hosts}
    made = await world.virtual.list_all(SERVICES)
    addressed = [each for each in made if each["spec"].get("clusterIP") not in (None, "None")]
    mine = [each for each in addressed if each["metadata"]["namespace"] not in ("default", "kube-system")]
    return {each["metadata"]["uid"] for each in mine} <= known


def test_whoever_pretends_to_be_the_api_server_makes_no_more_than_a_twin_that_goes(own: Clusters) -> None:
    async def test(world: World) -> None:
        await asked(world)
        await eventually(lambda: _all_have_twins(world))
        before = {each["metadata"]["uid"] for each in await world.host.list_all(SERVICES, NAMESPACE)}
        code, response = send(own, json.dumps(review(world, "forged")).encode())
        assert (code, response["allowed"]) == (200, True)
        again = send(own, json.dumps(review(world, "forged")).encode())[1]
        assert again["patch"] == response["patch"]
        await eventually(lambda: gone(world, "forged"))
        service_of = {"metadata": {"name": "x"}, "spec": spec()}
        bad = [
            b"",
            b"{}",
            b"[" * 10_000,
            json.dumps(review(world, "x", namespace="../kube-system")).encode(),
            json.dumps(review(world, "x", operation="DELETE")).encode(),
            json.dumps(review(world, "x", object={"metadata": {}, "spec": []})).encode(),
            json.dumps(
                review(world, "x", object={**service_of, "spec": {"ports": [{"port": "x"}]}})
            ).encode(),
            json.dumps(review(world, "x", operation="UPDATE")).encode(),
            json.dumps(review(world, "x", oldObject=service_of)).encode(),
            *(
                json.dumps(
                    review(world, "x", operation="UPDATE", oldObject=_at(service_of, version))
                ).encode()
                for version in ("", "x", "1/2")
            ),
        ]
        for body in bad:
            assert send(own, body)[0] == 400, body[:200]
        after = {each["metadata"]["uid"] for each in await world.host.list_all(SERVICES, NAMESPACE)}
        assert after <= before

    in_world(own, test)


def test_a_forged_update_changes_no_twin_for_long_and_none_of_others(own: Clusters) -> None:
    async def test(world: World) -> None:
        # At first, so that the kubelet knows of it by then.
        foreign = world.host_name("taken")
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": foreign}, "spec": spec()}
        theirs = await world.host.create(SERVICES, NAMESPACE, body)
        await asked(world)
        made = await service(world, "web")
        host = await eventually(lambda: settled(world, "web"))
        new = {**made, "spec": {**made["spec"], "type": "NodePort"}}
        forged = review(world, "web", operation="UPDATE", object=new, oldObject=made)
        assert send(own, json.dumps(forged).encode())[1]["allowed"] is True

        async def is_back() -> bool:
            found = await twin(world, "web")
            return bool(found["spec"]["type"] == "ClusterIP")

        await eventually(is_back)
        assert (await twin(world, "web"))["metadata"]["uid"] == host["metadata"]["uid"]
        response = send(own, json.dumps(review(world, "taken")).encode())[1]
        assert response["allowed"] is False
        assert response["status"]["code"] == 409
        assert foreign not in response["status"]["message"]
        now = await world.host.get(SERVICES, NAMESPACE, foreign)
        assert now["metadata"]["resourceVersion"] == theirs["metadata"]["resourceVersion"]

    in_world(own, test)


def test_every_replica_answers_by_one_request_to_the_host(own: Clusters) -> None:
    own.stop_kubelet()
    pair = Replica(own, "kubelet-0"), Replica(own, "kubelet-1", "127.0.0.2")
    try:
        for replica in pair:
            replica.start()
        for replica in pair:
            asyncio.run(eventually(replica.ready))

        async def test(world: World) -> None:
            for replica in pair:
                name = f"by-{replica.name}"
                body = json.dumps(review(world, name)).encode()
                code, response = await asyncio.to_thread(send, own, body, replica.address)
                assert (code, response["allowed"]) == (200, True)
                assert await world.host_get(SERVICES, name) is not None
                assert (await asyncio.to_thread(send, own, body, pair[0].address))[1] == response

        in_world(own, test)
        # Who follows writes nothing else: one request for each admission that it has answered.
        (follower,) = [replica for replica in pair if not replica.leads()]
        writes = [each for each in follower.host.writes() if "/leases" not in each.path]
        reads = [each for each in follower.host.seen if each.method == "GET" and "/services/by-" in each.path]
        assert {each.method for each in writes} == {"PATCH"}
        assert all("/services/by-" in each.path for each in writes)
        assert (len(writes), reads) == (3 if follower is pair[0] else 1, [])
    finally:
        for replica in pair:
            replica.close()
        own.start_kubelet()
