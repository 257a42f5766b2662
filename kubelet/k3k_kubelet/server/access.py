"""Who asks, and whether that one may: as a kubelet with webhook authentication and authorization does.

Who: the subject of a client certificate that the virtual cluster's client CA signed, or a bearer token that
the virtual API server knows (TokenReview). May: system:masters, to which the API server itself belongs,
without a question, everyone else by a SubjectAccessReview on nodes/<subresource>. Rules and subresources:
pkg/kubelet/server/auth.go of Kubernetes 1.34.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson

from k3k_kubelet.api.client import ApiClient
from k3k_kubelet.api.errors import ApiError
from k3k_kubelet.api.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from k3k_kubelet.server.messages import HttpError

TOKEN_SECONDS = 120.0
ALLOWED_SECONDS = 300.0
DENIED_SECONDS = 30.0
"""How long an answer holds: the defaults of a kubelet's webhook authentication and authorization."""
CACHE_SIZE = 1024
MASTERS = "system:masters"
"""The group in the API server's client certificate, in both distributions; no CSR can ask for it."""

_VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = {
    "pods": ("pods", "proxy"),
    "runningpods": ("pods", "proxy"),
    "healthz": ("healthz", "proxy"),
    "configz": ("configz", "proxy"),
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "checkpoint": ("checkpoint",),
    "statusz": ("statusz",),
    "flagz": ("configz",),
}
_STREAMING = frozenset({"exec", "attach", "portForward", "run"})

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Identity:
    """A user as the virtual API server names it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)

    @property
    def trusted(self) -> bool:
        """Whether this user may do everything: the API server itself, or an administrator."""
        return MASTERS in self.groups


def of_certificate(certificate: Mapping[str, Any] | None) -> Identity | None:
    """The identity in a verified client certificate (as `SSLSocket.getpeercert` gives it); None without one.

    As in Kubernetes the common name is the user and each organization a group.
    """
    if not certificate:
        return None
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for name, value in pairs if name == "commonName"]
    groups = tuple(value for name, value in pairs if name == "organizationName")
    return Identity(names[-1], groups=groups) if names else None


def attributes(method: str, segments: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The verb and the node subresources of which one must be allowed.

    Stricter than a kubelet in one point: to run or reach something in a container is always `create`. A
    WebSocket does that with GET, which there lets everyone exec who may `get` nodes/proxy, given for reading.
    """
    if segments[0] in _STREAMING:
        return "create", ("proxy",)
    return _VERBS.get(method, ""), _SUBRESOURCES.get(segments[0], ("proxy",))


class _Cache(Generic[Key, Value]):
    """Values that are forgotten after a time of their own, the oldest ones also when there are too many."""

    def __init__(self, clock: Callable[[], float], size: int = CACHE_SIZE) -> None:
        self._clock = clock
        self._size = size
        self._values: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key) -> Value | None:
        until, value = self._values.get(key, (0.0, None))
        return value if self._clock() < until else None

    def put(self, key: Key, value: Value, seconds: float) -> None:
        self._values.pop(key, None)
        while len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = (self._clock() + seconds, value)


class Access:
    """Authentication and authorization by the virtual API server.

    Args:
        api: Its client.
        clock: Seconds, for the age of answers.
    """

    def __init__(self, api: ApiClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._tokens: _Cache[bytes, tuple[Identity | None]] = _Cache(clock)
        self._decisions: _Cache[bytes, bool] = _Cache(clock)

    async def identify(self, certificate: Mapping[str, Any] | None, authorization: str) -> Identity:
        """Who sent a request.

        Args:
            certificate: The verified client certificate, if there was one.
            authorization: The Authorization header.

        Raises:
            HttpError: 401 for nobody known, 503 when the API server could not be asked.
        """
        identity = of_certificate(certificate)
        scheme, _, token = authorization.partition(" ")
        if identity is None and scheme.lower() == "bearer" and token.strip():
            identity = await self._of_token(token.strip())
        if identity is None:
            raise HttpError(401, "Unauthorized")
        return identity

    async def permit(self, identity: Identity, node: str, method: str, segments: Sequence[str]) -> None:
        """Lets a request pass.

        Raises:
            HttpError: 403 when it may not, 503 when the API server could not be asked.
        """
        verb, subresources = attributes(method, segments)
        for subresource in subresources:
            resource = {"version": "v1", "resource": "nodes", "subresource": subresource, "name": node}
            if verb and await self.may(identity, {"verb": verb, **resource}):
                return
        what = " or ".join(f"nodes/{subresource}" for subresource in subresources)
        raise HttpError(403, f"Forbidden: user {identity.name} may not {verb or method} {what} of {node}")

    async def may(self, identity: Identity, attributes: Mapping[str, str]) -> bool:
        """Whether a user may do something.

        Args:
            identity: Who.
            attributes: `resourceAttributes` of a SubjectAccessReview; `nonResourceAttributes` with a `path`.

        Raises:
            HttpError: 503 when the API server could not be asked.
        """
        if identity.trusted:
            return True
        kind = "nonResourceAttributes" if "path" in attributes else "resourceAttributes"
        user = {"user": identity.name, "groups": list(identity.groups), "uid": identity.uid}
        spec = user | {"extra": dict(identity.extra), kind: dict(attributes)}
        key = hashlib.sha256(orjson.dumps(spec)).digest()  # texts of the tenant's can be long
        allowed = self._decisions.get(key)
        if allowed is None:
            allowed = bool((await self._review(SUBJECT_ACCESS_REVIEWS, spec)).get("allowed"))
            self._decisions.put(key, allowed, ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        return allowed

    async def _of_token(self, token: str) -> Identity | None:
        key = hashlib.sha256(token.encode()).digest()
        cached = self._tokens.get(key)
        if cached is None:
            status = await self._review(TOKEN_REVIEWS, {"token": token})
            cached = (_user(status.get("user") or {}) if status.get("authenticated") else None,)
            self._tokens.put(key, cached, TOKEN_SECONDS)
        return cached[0]

    async def _review(self, resource: Any, spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        try:
            answer = await self._api.create(resource, None, body)
        except (ApiError, TimeoutError) as error:
            raise HttpError(503, f"the API server could not be asked ({resource.kind}): {error}") from error
        status: dict[str, Any] = answer.get("status") or {}
        return status


def _user(user: Mapping[str, Any]) -> Identity | None:
    if not user.get("username"):
        return None
    groups: Iterable[str] = user.get("groups") or ()
    return Identity(str(user["username"]), str(user.get("uid") or ""), tuple(groups), user.get("extra") or {})
