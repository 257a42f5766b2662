"""Service-account tokens in pods: who they are, how long, for whom; renewed in place; gone with the pod."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import PREFIX, View, both, identity, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, pod, shell
from tests.e2e.support.polling import eventually
from tests.e2e.support.raw import Raw, RawError

DEFAULT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
EXTRA = "authentication.kubernetes.io"


def source(path: str, life: int, audience: str = "") -> dict[str, Any]:
    """One projected token."""
    return {
        "serviceAccountToken": {
            "path": path,
            "expirationSeconds": life,
            **({"audience": audience} if audience else {}),
        }
    }


def caller(name: str, account: str) -> dict[str, Any]:
    """A pod with the usual token and two others."""
    made = pod(
        name,
        container(volumeMounts=[{"name": "own", "mountPath": "/tokens"}]),
        serviceAccountName=account,
        volumes=[
            {
                "name": "own",
                "projected": {"sources": [source("vault", 600, "vault"), source("long", 7200, "vault")]},
            }
        ],
    )
    del made["spec"]["automountServiceAccountToken"]
    return made


def account(name: str) -> dict[str, Any]:
    """A service account."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def read(inside: Kubectl, name: str, file: str) -> str:
    """A file of a pod."""
    result = inside.exec(name, ["cat", file])
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


def claims(token: str) -> dict[str, Any]:
    """What a token says of itself."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def review(inside: Kubectl, token: str, *audiences: str) -> dict[str, Any]:
    """What the virtual API server says of a token."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": list(audiences)},
    }
    made = inside("create", "-f", "-", "-o", "json", stdin=json.dumps(body).encode())
    status: dict[str, Any] = json.loads(made)["status"]
    return status


def user_of(inside: Kubectl, token: str, *audiences: str) -> dict[str, Any]:
    """Whom the virtual API server knows by a token.

    It looks at pods and Secrets as its watches have told, which may be the earlier ones of their names.
    """

    def known() -> dict[str, Any]:
        status = review(inside, token, *audiences)
        assert status.get("authenticated") is True, status
        return dict(status["user"])

    return eventually(known)


def is_rejected(inside: Kubectl, token: str, *audiences: str) -> bool:
    """Whether the virtual API server takes the token no more; it keeps answers for some seconds."""
    return not review(inside, token, *audiences).get("authenticated")


def renew_now(cluster: View, inside: Kubectl, name: str) -> None:
    """Makes the pod's tokens due, and has the node look at the pod again, which it does once a minute."""
    selector = f"{PREFIX}cluster={cluster.name},{PREFIX}namespace={inside.namespace},{PREFIX}component=token"
    (secret,) = cluster.workloads.get("secrets", "-l", selector)
    cluster.workloads("annotate", "secret", secret["metadata"]["name"], f"{PREFIX}renew-at=1", "--overwrite")

    def renewed() -> bool:
        now = cluster.workloads.get("secret", secret["metadata"]["name"])
        return bool(now["data"] != secret["data"])

    eventually(renewed)
    inside("label", "pod", name, "look=again")


@both
def test_tokens_are_the_pods_own_and_end_with_it(
    host: Host, cluster: View, inside: Kubectl, distribution: str
) -> None:
    inside.apply(account("someone"), caller("caller", "someone"))
    (made,) = running(inside, "app=caller", 1)
    usual, vault, long = (read(inside, "caller", file) for file in (DEFAULT, "/tokens/vault", "/tokens/long"))

    for token, audiences in ((usual, ()), (vault, ("vault",)), (long, ("vault",))):
        user = user_of(inside, token, *audiences)
        assert user["username"] == f"system:serviceaccount:{inside.namespace}:someone"
        assert set(user["groups"]) == {
            "system:serviceaccounts",
            f"system:serviceaccounts:{inside.namespace}",
            "system:authenticated",
        }
        assert user["extra"][f"{EXTRA}/pod-name"] == ["caller"]
        assert user["extra"][f"{EXTRA}/pod-uid"] == [made["metadata"]["uid"]]
        with pytest.raises(RawError) as refused:
            Raw(host.kubeconfig, token)("GET", "/version")
        assert refused.value.code == 401
    assert claims(vault)["aud"] == claims(long)["aud"] == ["vault"]
    assert [claims(token)["exp"] - claims(token)["iat"] for token in (vault, long)] == [600, 7200]
    assert is_rejected(inside, vault)  # it is not for the API server

    renew_now(cluster, inside, "caller")
    eventually(lambda: read(inside, "caller", "/tokens/vault") != vault, timeout=240)
    eventually(lambda: read(inside, "caller", DEFAULT) != usual, timeout=240)
    again = inside.get("pod", "caller")
    assert identity(again) == identity(made)
    new = read(inside, "caller", DEFAULT)
    user = user_of(inside, new)
    if distribution == "kubernetes":  # tokens name the node from 1.32 on
        node = inside.get("node", again["spec"]["nodeName"])
        assert user["extra"][f"{EXTRA}/node-name"] == [node["metadata"]["name"]]
        assert user["extra"][f"{EXTRA}/node-uid"] == [node["metadata"]["uid"]]
    assert user_of(inside, usual)  # as long as it lives, as everywhere

    inside("delete", "pod", "caller", "--force", "--grace-period=0")
    for token in (usual, new):
        eventually(lambda token=token: is_rejected(inside, token))  # type: ignore[misc]
    eventually(lambda: is_rejected(inside, vault, "vault"))


@both
def test_a_pod_made_again_has_another_token(inside: Kubectl) -> None:
    inside.apply(account("someone"), caller("caller", "someone"))
    running(inside, "app=caller", 1)
    old = read(inside, "caller", DEFAULT)
    inside("delete", "pod", "caller", "--timeout=120s")
    inside.apply(caller("caller", "someone"))
    (made,) = running(inside, "app=caller", 1)
    new = read(inside, "caller", DEFAULT)
    assert user_of(inside, new)["extra"][f"{EXTRA}/pod-uid"] == [made["metadata"]["uid"]]
    eventually(lambda: is_rejected(inside, old))
    inside("delete", "serviceaccount", "someone")
    eventually(lambda: is_rejected(inside, new))


@both
def test_a_legacy_token_secret_is_the_virtual_clusters(host: Host, inside: Kubectl) -> None:
    """The copy's type must be another: the host's controllers fill or delete such Secrets."""
    legacy = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "legacy", "annotations": {"kubernetes.io/service-account.name": "someone"}},
    }
    inside.apply(account("someone"), legacy)
    inside.apply(
        pod(
            "reader",
            shell("until [ -s /legacy/token ]; do sleep 1; done; cat /legacy/token", volumeMounts=[
                {"name": "legacy", "mountPath": "/legacy"}
            ]),
            restartPolicy="Never",
            volumes=[{"name": "legacy", "secret": {"secretName": "legacy"}}],
        )
    )  # fmt: skip
    # A node looks at mounted Secrets each minute or two: this one may have been empty when it was mounted.
    inside("wait", "pod/reader", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=240s")
    token = inside("logs", "reader")
    assert user_of(inside, token)["username"] == f"system:serviceaccount:{inside.namespace}:someone"
    with pytest.raises(RawError) as refused:
        Raw(host.kubeconfig, token)("GET", "/version")
    assert refused.value.code == 401
