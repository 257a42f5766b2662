"""Service-account tokens of pods: whose they are, how long they live, and that they go with the pod."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from k3k_kubelet.api import PODS, SECRETS, TOKEN_REVIEWS
from k3k_kubelet.sync.tokens import RENEW_AT, renew_at

from kubelet.tests.clusters import NAMESPACE, Clusters, decoded
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


@pytest.mark.parametrize(
    ("life", "share"),
    [(600, 0.75), (200, 0.5), (3600, 0.8), (7 * 86400, 1 / 7)],
    ids=["short", "shorter than the way into the pod", "usual", "a week"],
)
def test_when_a_token_is_renewed(life: int, share: float) -> None:
    assert renew_at(1000.0, 1000.0 + life) == pytest.approx(1000.0 + share * life)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


async def review(world: World, token: str, *audiences: str) -> dict[str, Any]:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": list(audiences)},
    }
    answer = await world.virtual.create(TOKEN_REVIEWS, None, body)
    status: dict[str, Any] = answer["status"]
    return status


async def token_of(world: World, pod: str) -> dict[str, Any]:
    secrets = await eventually(lambda: world.token_secrets(pod))
    assert len(secrets) == 1
    return secrets[0]


def test_the_mounted_token_is_the_pods_own(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        pod = await world.pod("caller", automountServiceAccountToken=True)
        copy = await world.host_pod("caller")
        secret = await token_of(world, "caller")
        (token,) = decoded(secret["data"]).values()
        status = await review(world, token)
        assert status["authenticated"]
        assert status["user"]["username"] == f"system:serviceaccount:{world.namespace}:default"
        assert claims(token)["kubernetes.io"]["pod"]["uid"] == pod["metadata"]["uid"]
        projected = next(v["projected"] for v in copy["spec"]["volumes"] if "projected" in v)
        names = [each["secret"]["name"] for each in projected["sources"] if "secret" in each]
        assert names == [secret["metadata"]["name"]]

    in_world(clusters, test)


def test_audience_and_life_are_kept_and_the_end_of_the_pod_is_the_tokens(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        source = {"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 1200}}
        volume = {"name": "v", "projected": {"sources": [source]}}
        await world.pod("vault", volumes=[volume])
        secret = await token_of(world, "vault")
        (token,) = decoded(secret["data"]).values()
        found = claims(token)
        assert found["aud"] == ["vault"]
        assert found["exp"] - found["iat"] == 1200
        due = int(secret["metadata"]["annotations"][RENEW_AT])
        assert 900 <= due - found["iat"] <= 961
        assert (await review(world, token, "vault"))["authenticated"]
        await world.running("vault", "node-a")
        await world.virtual.delete(PODS, world.namespace, "vault", grace_period=0)
        await eventually(lambda: _rejected(world, token))

        async def no_secret() -> bool:
            return not await world.token_secrets("vault")

        await eventually(no_secret)

    in_world(clusters, test)


async def _rejected(world: World, token: str) -> bool:
    return not (await review(world, token, "vault")).get("authenticated")


def test_a_due_token_is_replaced_in_place_and_the_secret_belongs_to_the_host_pod(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("renews", automountServiceAccountToken=True)
        copy = await world.host_pod("renews")
        before = await token_of(world, "renews")
        assert [owner["kind"] for owner in before["metadata"]["ownerReferences"]] == ["ConfigMap"]
        name = before["metadata"]["name"]
        change = {"metadata": {"annotations": {RENEW_AT: str(int(time.time()) - 5)}}}
        await world.host.patch(SECRETS, NAMESPACE, name, change)

        async def renewed() -> dict[str, Any] | None:
            secret = await token_of(world, "renews")
            return secret if secret["data"] != before["data"] else None

        after = await eventually(renewed)
        assert after is not None
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert [o["uid"] for o in after["metadata"]["ownerReferences"]] == [copy["metadata"]["uid"]]

    in_world(clusters, test)
