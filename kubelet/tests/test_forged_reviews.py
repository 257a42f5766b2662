"""AdmissionReviews that no API server has sent: a tenant gets to the kubelet's port through his own."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest
from k3k_kubelet.api import SERVICES

from kubelet.tests.clusters import Clusters
from kubelet.tests.controlplane import ADDRESS
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")


async def posted(world: World, **request: Any) -> tuple[int, Any]:
    """The answer to a request that changes the Service `forged` to type NodePort."""
    metadata = {"name": "forged", "uid": "forged", "resourceVersion": "1", **request.pop("metadata", {})}
    old = {"metadata": metadata, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}
    new = {"metadata": metadata, "spec": {**old["spec"], "type": "NodePort"}}
    whole = {"uid": "forged", "operation": "UPDATE", "namespace": world.namespace, **request}
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {**whole, "object": new, "oldObject": old},
    }
    context = ssl.create_default_context(cafile=world.clusters.directory / "tls" / "kubelet-serving-ca.crt")
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    url = f"https://{ADDRESS}:{world.clusters.extension_port}/admission/services"

    async def answered() -> tuple[int, Any] | None:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(url, json=review, ssl=context) as answer,
            ):
                return answer.status, await answer.json()
        except aiohttp.ClientConnectorError:  # the kubelet begins
            return None

    return await eventually(answered)


def test_what_is_made_of_one_goes_again(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        code, answer = await posted(world)
        assert (code, answer["response"]["allowed"]) == (200, True)
        assert await world.host_get(SERVICES, "forged") is not None
        await world.host_gone(SERVICES, "forged")

    in_world(clusters, test)


@pytest.mark.parametrize(
    "request_",
    [
        {"metadata": {"resourceVersion": "x"}},
        {"metadata": {"resourceVersion": ""}},
        {"metadata": {"resourceVersion": "1/2"}},
        {"metadata": {"name": "../forged"}},
        {"namespace": "../other"},
        {"operation": "CREATE"},
        {"operation": "DELETE"},
    ],
)
def test_one_that_cannot_be_makes_nothing(clusters: Clusters, request_: dict[str, Any]) -> None:
    async def test(world: World) -> None:
        code, answer = await posted(world, **request_)
        assert code == 400 or not answer["response"].get("patch")
        made = [each["metadata"]["name"] for each in await world.host.list_all(SERVICES)]
        assert not [name for name in made if world.namespace in name]

    in_world(clusters, test)
