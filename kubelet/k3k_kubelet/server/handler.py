"""Answers one request to a node's kubelet API: who, may, what, and the host's answer to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import h11
import orjson

from k3k_kubelet import metrics
from k3k_kubelet.api.endpoint import Endpoint
from k3k_kubelet.server import messages, routes, tunnel
from k3k_kubelet.server.access import Access, Identity
from k3k_kubelet.server.listener import Limits
from k3k_kubelet.server.messages import Exchange, HttpError
from k3k_kubelet.server.pages import Pages
from k3k_kubelet.server.routes import Action, Page, PodRequest
from k3k_kubelet.server.trim import Trim

log = logging.getLogger(__name__)

PATIENCE_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""Pauses between looks at the index for a pod or container that is not there."""

Lookup = Callable[[str, str], "PodRef | None"]


@dataclass(frozen=True)
class PodRef:
    """A virtual pod and its host copy, as the kubelet's index knows them now.

    Attributes:
        namespace: In the virtual cluster; `name`, `uid` and `node` too.
        containers: Names of all its containers: ordinary, init and ephemeral ones.
        host_namespace: Of the host copy; `host_name` too.
    """

    namespace: str
    name: str
    uid: str
    node: str
    containers: frozenset[str]
    host_namespace: str
    host_name: str


class Handler:
    """Answers requests.

    Args:
        host: The host's API server.
        lookup: (virtual namespace, name) -> the pod, None for one without a host copy.
        pages: What a Node tells by itself.
        access: Who may do what.
        limits: Caps and time-outs.
    """

    def __init__(self, host: Endpoint, lookup: Lookup, pages: Pages, access: Access, limits: Limits) -> None:
        self._host = host
        self._lookup = lookup
        self._pages = pages
        self._access = access
        self._limits = limits
        self._tunnels = 0
        self._trim = Trim()

    async def answer(self, exchange: Exchange) -> None:
        """Writes the answer to a request, an error too. A stream has ended when this returns."""
        request, stream = exchange.request, exchange.stream
        asked: PodRequest | Page | None = None
        code = 200
        try:
            authorization = request.header(b"authorization")
            identity = await self._access.identify(stream.peer_certificate(), authorization)
            await self._access.permit(identity, exchange.port, request.method, request.segments)
            asked = routes.parse(request)
            if isinstance(asked, PodRequest):
                code = 200 if asked.action is Action.LOGS else 101
                await self._stream(exchange, asked, identity)
            else:
                body, content_type = await self._pages.body(asked, exchange.port)
                await messages.respond(exchange.connection, stream, 200, body, content_type=content_type)
        except HttpError as error:
            plain = isinstance(asked, PodRequest) and asked.action is Action.LOGS
            code = error.code
            await messages.respond_error(exchange.connection, stream, error, plain=plain)
        finally:
            metrics.SERVED.labels("kubelet", _name(asked), code).inc()

    async def _stream(self, exchange: Exchange, asked: PodRequest, identity: Identity) -> None:
        pod = await self._find(exchange.port, asked)
        request = exchange.request
        logs = asked.action is Action.LOGS
        headers = tunnel.close_headers() if logs else tunnel.upgrade_headers(request)
        target = host_target(pod, asked)
        with self._slot(asked.action):
            host = await tunnel.open_stream(self._host, request.method, target, headers)
            try:
                if host.code != (200 if logs else 101):
                    raise _refusal(host.code, await host.error_body(), pod)
                who = {
                    "pod": f"{pod.namespace}/{pod.name}",
                    "container": asked.container,
                    "user": identity.name,
                }
                log.debug("%s begins", asked.action.value, extra=who)
                await (self._log(exchange, host) if logs else self._tunnel(exchange, host))
                await exchange.stream.flush(self._limits.idle_seconds)
            finally:
                await host.stream.close()

    async def _find(self, node: str, asked: PodRequest) -> PodRef:
        """The pod, if it runs on this node and has the container.

        Another replica may have written a moment ago what the request knows already, and our watch does not.
        """
        for pause in PATIENCE_SECONDS:
            try:
                return self._known(node, asked)
            except HttpError:
                await asyncio.sleep(pause)
        return self._known(node, asked)

    def _known(self, node: str, asked: PodRequest) -> PodRef:
        pod = self._lookup(asked.namespace, asked.name)
        if pod is None or pod.node != node or (asked.uid and asked.uid != pod.uid):
            details = {"kind": "pods", "name": asked.name}
            raise HttpError(404, f'pod "{asked.name}" does not exist on this node', details=details)
        if asked.container and asked.container not in pod.containers:
            raise HttpError(404, f'container "{asked.container}" not found in pod "{asked.name}"')
        return pod

    async def _tunnel(self, exchange: Exchange, host: tunnel.HostStream) -> None:
        """Passes on that the protocol was switched, then bytes both ways."""
        headers = [(b"Connection", b"Upgrade"), *host.headers()]
        switched = h11.InformationalResponse(status_code=101, headers=headers, reason=b"Switching Protocols")
        exchange.stream.write((exchange.connection.send(switched) or b"") + host.early)
        host.stream.write(exchange.connection.trailing_data[0])
        await tunnel.splice(exchange.stream, host.stream, idle_seconds=self._limits.idle_seconds)

    async def _log(self, exchange: Exchange, host: tunnel.HostStream) -> None:
        """Passes on the head of the host's answer, then its body as it is."""
        names = {name.lower() for name, _ in host.headers()}
        if not names & {b"content-length", b"transfer-encoding"}:
            raise HttpError(502, "the host's API server answered without a length")
        answer = h11.Response(status_code=200, headers=[*host.headers(), (b"Connection", b"close")])
        exchange.stream.write((exchange.connection.send(answer) or b"") + host.early)
        await tunnel.follow(exchange.stream, host.stream, idle_seconds=self._limits.idle_seconds)

    @contextlib.contextmanager
    def _slot(self, action: Action) -> Iterator[None]:
        if self._tunnels >= self._limits.tunnels:
            raise HttpError(503, f"the kubelet has {self._tunnels} streams open, its limit; try again later")
        self._tunnels += 1
        try:
            with metrics.STREAMS.labels(action.value).track_inprogress():
                yield
        finally:
            self._tunnels -= 1
            self._trim.soon()


def _name(asked: PodRequest | Page | None) -> str:
    """What was asked for, as a label: nothing of the request's own text."""
    if asked is None:
        return "other"
    return asked.action.value if isinstance(asked, PodRequest) else asked.value


def host_target(pod: PodRef, asked: PodRequest) -> str:
    """Path and query of the host's API for a request; made of the index and checked values alone."""
    query = [*asked.query, ("container", asked.container)] if asked.container else list(asked.query)
    path = f"/api/v1/namespaces/{quote(pod.host_namespace, safe='')}/pods/{quote(pod.host_name, safe='')}"
    return f"{path}/{asked.action.value}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")


def _refusal(code: int, body: bytes, pod: PodRef) -> HttpError:
    """The host's error in the virtual cluster's names."""
    try:
        message = str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()
    if code in (401, 403) or code < 400:
        # What the kubelet may do on the host, and under which name, is nothing for a tenant.
        log.error("the host refused a stream", extra={"code": code, "pod": pod.host_name, "host": message})
        return HttpError(500, "the host refused the request; the virtual kubelet's log says why")
    details = {"kind": "pods", "name": pod.name}
    return HttpError(code, message.replace(pod.host_name, pod.name) or f"HTTP status {code}", details=details)
