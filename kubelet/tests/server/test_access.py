"""Who may use the kubelet API, asked of a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from k3k_kubelet.server import access
from k3k_kubelet.server.access import Access, Identity
from k3k_kubelet.server.messages import HttpError

from kubelet.tests.controlplane import ControlPlane
from tests.e2e.support.polling import eventually

NAMESPACE = "kubelet-api-access"
ACCOUNTS = {
    "reader": [{"resources": ["nodes/stats", "nodes/metrics"], "verbs": ["get"]}],
    "one-node": [{"resources": ["nodes/pods"], "resourceNames": ["node-a"], "verbs": ["get"]}],
    "get-proxy": [{"resources": ["nodes/proxy"], "verbs": ["get"]}],
    "create-proxy": [{"resources": ["nodes/proxy"], "verbs": ["create"]}],
    "nothing": [],
}


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The API server with a service account for each of `ACCOUNTS`."""
    items: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    group = "rbac.authorization.k8s.io"
    for name, rules in ACCOUNTS.items():
        metadata = {"name": f"{NAMESPACE}-{name}"}
        subject = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": name}
        role = {"apiGroup": group, "kind": "ClusterRole", **metadata}
        account = {"name": name, "namespace": NAMESPACE}
        items += [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRole",
                "metadata": metadata,
                "rules": [{"apiGroups": [""], **rule} for rule in rules],
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": role,
                "subjects": [subject],
            },
        ]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    control_plane.kubectl("apply", "-f", "-", stdin=document)
    for name, rules in ACCOUNTS.items():
        account = f"system:serviceaccount:{NAMESPACE}:{name}"
        for rule in rules:
            resource, _, subresource = rule["resources"][0].partition("/")
            right = {"verb": rule["verbs"][0], "resource": resource, "subresource": subresource}
            right["name"] = "".join(rule.get("resourceNames", ()))
            eventually(lambda account=account, right=right: control_plane.may(account, **right))  # type: ignore[misc]
    yield control_plane
    control_plane.kubectl("delete", "-f", "-", "--wait=false", stdin=document)


def with_access(plane: ControlPlane, test: Callable[[Access], Awaitable[None]]) -> None:
    async def run() -> None:
        client = plane.client()
        try:
            await test(Access(client))
        finally:
            await client.close()

    asyncio.run(run())


def token(plane: ControlPlane, account: str) -> str:
    return plane.kubectl("-n", NAMESPACE, "create", "token", account).strip()


def allowed_paths(plane: ControlPlane, account: str, node: str, asked: list[tuple[str, str]]) -> list[str]:
    """Those of (method, path) that the account may ask of the node."""
    allowed: list[str] = []

    async def test(gate: Access) -> None:
        identity = await gate.identify(None, f"Bearer {token(plane, account)}")
        assert identity.name == f"system:serviceaccount:{NAMESPACE}:{account}"
        for method, path in asked:
            try:
                await gate.permit(identity, node, method, path.split("/")[1:])
                allowed.append(path)
            except HttpError as error:
                if error.code != 403 or account not in error.message:
                    raise

    with_access(plane, test)
    return allowed


ASKED = [
    ("GET", "/stats/summary"),
    ("GET", "/metrics/resource"),
    ("GET", "/pods"),
    ("GET", "/healthz"),
    ("GET", "/containerLogs/ns/pod/c"),
    ("GET", "/exec/ns/pod/c"),
    ("POST", "/attach/ns/pod/c"),
    ("GET", "/portForward/ns/pod"),
    ("DELETE", "/pods"),
    ("BREW", "/pods"),
]


@pytest.mark.parametrize(
    ("account", "node", "paths"),
    [
        ("reader", "node-a", ["/stats/summary", "/metrics/resource"]),
        ("one-node", "node-a", ["/pods"]),
        ("one-node", "node-b", []),
        ("get-proxy", "node-a", ["/pods", "/healthz", "/containerLogs/ns/pod/c"]),
        ("create-proxy", "node-a", ["/exec/ns/pod/c", "/attach/ns/pod/c", "/portForward/ns/pod"]),
        ("nothing", "node-a", []),
    ],
)
def test_rights_on_nodes_decide(plane: ControlPlane, account: str, node: str, paths: list[str]) -> None:
    assert allowed_paths(plane, account, node, ASKED) == paths


@pytest.mark.parametrize(
    "header", ["Bearer not-a-token", "Bearer ", "Basic dTpw", "", "bearer eyJhbGciOiJub25lIn0.e30."]
)
def test_an_unknown_token_is_nobody(plane: ControlPlane, header: str) -> None:
    async def test(gate: Access) -> None:
        for _ in range(2):  # the second time from the cache
            with pytest.raises(HttpError) as caught:
                await gate.identify(None, header)
            assert caught.value.code == 401

    with_access(plane, test)


def test_answers_are_kept_for_a_while(plane: ControlPlane) -> None:
    """After the rights are gone the cached answer still counts, until its time is over."""
    now = [1000.0]
    binding = f"{NAMESPACE}-reader"

    async def may(gate: Access, identity: Identity) -> bool:
        try:
            await gate.permit(identity, "node-a", "GET", ["stats", "summary"])
        except HttpError:
            return False
        return True

    async def test(other: Access) -> None:
        gate = Access(other._api, clock=lambda: now[0])
        bearer = f"Bearer {token(plane, 'reader')}"
        identity = await gate.identify(None, bearer)
        assert await may(gate, identity)
        saved = plane.kubectl("get", "clusterrolebinding", binding, "-o", "json")
        plane.kubectl("delete", "clusterrolebinding", binding)
        try:
            now[0] += access.ALLOWED_SECONDS - 1
            assert await may(gate, identity)
            now[0] += 2
            while await may(Access(gate._api), identity):  # until the API server itself has noticed
                pass
            assert not await may(gate, identity)
        finally:
            plane.kubectl("create", "-f", "-", stdin=saved)
        while not await may(Access(gate._api), identity):
            pass
        assert not await may(gate, identity)
        now[0] += access.DENIED_SECONDS + 1
        assert await may(gate, identity)

    with_access(plane, test)


def test_the_cache_forgets_the_oldest() -> None:
    cache: access._Cache[int, str] = access._Cache(lambda: 0.0, size=2)
    for key in (1, 2, 1, 3):
        cache.put(key, str(key), 60)
    assert [cache.get(key) for key in (1, 2, 3)] == ["1", None, "3"]


@pytest.mark.parametrize(
    ("subject", "identity"),
    [
        (
            (
                (("organizationName", "system:masters"),),
                (("organizationName", "b"),),
                (("commonName", "me"),),
            ),
            Identity("me", groups=("system:masters", "b")),
        ),
        (((("organizationName", "a"), ("commonName", "multi")),), Identity("multi", groups=("a",))),
        (((("organizationName", "system:masters"),),), None),
        ((), None),
    ],
)
def test_a_certificates_subject_is_the_identity(subject: Any, identity: Identity | None) -> None:
    assert access.of_certificate({"subject": subject}) == identity


@pytest.mark.parametrize(
    ("identity", "trusted"),
    [
        (Identity("admin", groups=("system:masters",)), True),
        (Identity("kube-apiserver-kubelet-client"), False),
        (Identity("system:apiserver", groups=("system:masters",)), True),
        (Identity("system:masters"), False),
        (Identity("kube-apiserver", groups=("system:authenticated",)), False),
    ],
)
def test_who_needs_no_review(identity: Identity, trusted: bool) -> None:
    assert identity.trusted is trusted


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresources"),
    [
        ("GET", "stats", "get", ("stats",)),
        ("GET", "stats/summary", "get", ("stats",)),
        ("GET", "statsX", "get", ("proxy",)),
        ("GET", "metrics/cadvisor", "get", ("metrics",)),
        ("GET", "logs/syslog", "get", ("log",)),
        ("GET", "pods", "get", ("pods", "proxy")),
        ("GET", "runningpods", "get", ("pods", "proxy")),
        ("GET", "healthz/ping", "get", ("healthz", "proxy")),
        ("GET", "configz", "get", ("configz", "proxy")),
        ("GET", "flagz", "get", ("configz",)),
        ("POST", "checkpoint/ns/pod/c", "create", ("checkpoint",)),
        ("PUT", "x", "update", ("proxy",)),
        ("PATCH", "x", "patch", ("proxy",)),
        ("DELETE", "x", "delete", ("proxy",)),
        ("GET", "containerLogs/ns/pod/c", "get", ("proxy",)),
        ("GET", "exec/ns/pod/c", "create", ("proxy",)),
        ("GET", "run/ns/pod/c", "create", ("proxy",)),
        ("HEAD", "pods", "", ("pods", "proxy")),
    ],
)
def test_attributes(method: str, path: str, verb: str, subresources: tuple[str, ...]) -> None:
    assert access.attributes(method, path.split("/")) == (verb, subresources)
