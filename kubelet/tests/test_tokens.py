"""Service-account tokens of pods: whose they are, how long they live, and that they go with the pod."""

from __future__ import annotations

import base64
import datetime
import json
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from k3k_kubelet.api import PODS, SECRETS, SERVICE_ACCOUNTS, TOKEN_REVIEWS
from k3k_kubelet.sync.tokens import NODE, NODE_SECONDS, NODE_SPREAD, RENEW_AT, _due, renew_at

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


async def force_renewal(world: World, secret: dict[str, Any]) -> None:
    """Makes a token Secret due at once."""
    change = {"metadata": {"annotations": {RENEW_AT: "1"}}}
    await world.host.patch(SECRETS, NAMESPACE, secret["metadata"]["name"], change)


async def renewed(world: World, pod: str, before: dict[str, Any]) -> dict[str, Any]:
    """The token Secret of a pod, as soon as its tokens are others."""

    async def found() -> dict[str, Any] | None:
        secret = await token_of(world, pod)
        return secret if secret["data"] != before["data"] else None

    secret = await eventually(found)
    assert secret is not None
    return secret


def test_each_audience_and_life_has_a_token_of_its_own(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        wanted = [("", 3600), ("vault", 600), ("vault", 7200), ("https://other.example", 600)]
        sources = [
            {
                "serviceAccountToken": {
                    "path": f"t{n}",
                    "expirationSeconds": life,
                    **({"audience": audience} if audience else {}),
                }
            }
            for n, (audience, life) in enumerate([*wanted, wanted[1]])
        ]
        await world.pod("many", volumes=[{"name": "v", "projected": {"sources": sources}}])
        secret = await token_of(world, "many")
        found = [claims(token) for token in decoded(secret["data"]).values()]
        lives = [(each["aud"], each["exp"] - each["iat"]) for each in found]
        own = [aud for aud, life in lives if life not in (600, 7200)]
        assert own[0] != ["vault"]
        assert sorted(lives, key=str)[1:] == [
            (["https://other.example"], 600), (["vault"], 600), (["vault"], 7200),
        ]  # fmt: skip
        due = int(secret["metadata"]["annotations"][RENEW_AT])
        shortest = [each["iat"] for each in found if each["exp"] - each["iat"] == 600]
        assert due - min(shortest) <= 451  # as the shortest of them needs it

    in_world(clusters, test)


def test_tokens_name_the_node_when_the_pod_has_one(clusters: Clusters) -> None:
    """The first ones are made before there is a node: the next ones, a minute later, say it."""

    async def test(world: World) -> None:
        await world.pod("caller", automountServiceAccountToken=True)
        first = await token_of(world, "caller")
        (token,) = decoded(first["data"]).values()
        assert "node" not in claims(token)["kubernetes.io"]
        assert first["metadata"]["annotations"][NODE] == ""
        await world.running("caller", "node-a")
        await force_renewal(world, first)
        second = await renewed(world, "caller", first)
        (token,) = decoded(second["data"]).values()
        node = await world.node("node-a")
        assert node is not None
        assert claims(token)["kubernetes.io"]["node"] == {"name": "node-a", "uid": node["metadata"]["uid"]}
        status = await review(world, token)
        assert status["user"]["extra"]["authentication.kubernetes.io/node-name"] == ["node-a"]
        assert status["user"]["extra"]["authentication.kubernetes.io/node-uid"] == [node["metadata"]["uid"]]
        assert second["metadata"]["annotations"][NODE] == "node-a"

    in_world(clusters, test)


def test_when_a_secret_without_a_node_is_due() -> None:
    annotations = {RENEW_AT: "4000000000"}
    metadata = {"creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations}
    made = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()

    def pod(uid: str = "", **spec: str) -> dict[str, Any]:
        return {"metadata": {"uid": uid}, "spec": spec}

    assert _due({"metadata": metadata}, pod()) == 4e9
    seconds = [_due({"metadata": metadata}, pod(str(uuid4()), nodeName="a")) - made for _ in range(1000)]
    assert min(seconds) >= NODE_SECONDS
    assert max(seconds) <= NODE_SECONDS + NODE_SPREAD
    tenths = Counter(int((each - NODE_SECONDS) / NODE_SPREAD * 10) for each in seconds)
    assert max(tenths.values()) < 200, f"a burst of pods is renewed in a burst: {tenths}"
    annotations[NODE] = "a"
    assert _due({"metadata": metadata}, pod(nodeName="a")) == 4e9
    annotations[RENEW_AT] = "²"
    assert _due({"metadata": metadata}, pod()) == 0


def test_a_pod_of_the_same_name_gets_its_own(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("again", automountServiceAccountToken=True)
        first = await token_of(world, "again")
        (old,) = decoded(first["data"]).values()
        await world.running("again", "node-a")
        await world.virtual.delete(PODS, world.namespace, "again", grace_period=0)
        await world.gone(PODS, "again")
        pod = await world.pod("again", automountServiceAccountToken=True)
        await eventually(lambda: _rejected(world, old))
        await world.killed("again")

        async def own() -> str | None:
            for secret in await world.token_secrets("again"):
                (token,) = decoded(secret["data"]).values()
                if claims(token)["kubernetes.io"]["pod"]["uid"] == pod["metadata"]["uid"]:
                    return str(secret["metadata"]["name"])
            return None

        name = await eventually(own)
        assert name != first["metadata"]["name"]

        async def alone() -> bool:
            return [each["metadata"]["name"] for each in await world.token_secrets("again")] == [name]

        await eventually(alone)

    in_world(clusters, test)


def test_a_service_account_that_goes_takes_its_tokens_and_brings_others_back(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.create(SERVICE_ACCOUNTS, "worker")
        await world.pod("busy", serviceAccountName="worker", automountServiceAccountToken=True)
        before = await token_of(world, "busy")
        (old,) = decoded(before["data"]).values()
        await world.virtual.delete(SERVICE_ACCOUNTS, world.namespace, "worker")

        async def rejected() -> bool:
            return not (await review(world, old)).get("authenticated")

        await eventually(rejected)
        await force_renewal(world, before)  # tried in vain
        account = await world.create(SERVICE_ACCOUNTS, "worker")
        after = await renewed(world, "busy", before)
        (token,) = decoded(after["data"]).values()
        assert claims(token)["kubernetes.io"]["serviceaccount"]["uid"] == account["metadata"]["uid"]
        assert (await review(world, token))["authenticated"]

    in_world(clusters, test)
