"""The port on which the virtual API server reaches the kubelet: for metrics.k8s.io and for admission."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from k3k_kubelet import metrics
from k3k_kubelet.extension import documents
from k3k_kubelet.extension.identity import of_headers
from k3k_kubelet.extension.metrics_api import MetricsApi, Query, table
from k3k_kubelet.server import messages
from k3k_kubelet.server.access import Access, Identity
from k3k_kubelet.server.listener import Limits, Listener, TlsFiles
from k3k_kubelet.server.messages import Exchange, HttpError, Request

_NAME = "extension"
_TABLE = re.compile(r"application/json\s*;(?=[^,]*\bas=Table\b)(?=[^,]*\bv=v1\b)")
_ACCEPT = 1024
"""Characters of the Accept header that are read; kubectl sends 120. Searching takes their number squared."""
_ADMISSION = ("admission", "services")
_REVIEW_BYTES = 3 * 2**20
"""Largest AdmissionReview: an API server takes no larger object from its clients."""
_REVIEWS = 64
"""That are read and answered at a time; more of them wait."""
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


Admit = Callable[[bytes], Awaitable[tuple[bytes, int]]]
"""Answers an AdmissionReview: with another one, and the code to count it under. ValueError: it is none."""


class ExtensionServer(Listener):
    """Serves metrics.k8s.io and what describes it, and the admission of Services.

    The aggregator has a certificate of the request-header CA. API servers have none for webhooks, so whoever
    gets to this port may send an AdmissionReview: what that does is no more than a tenant may do anyway.

    Args:
        api: Answers queries.
        admit: Answers AdmissionReviews of Services.
        access: Who may do what. The API server has asked that already; generic API servers ask again too.
        tls: `client_ca` is the request-header CA.
        limits: Caps and time-outs.
        address: Where to listen, all addresses by default.
    """

    def __init__(
        self,
        api: MetricsApi,
        admit: Admit,
        access: Access,
        tls: TlsFiles,
        *,
        limits: Limits | None = None,
        address: str = "",
    ) -> None:
        super().__init__(tls, self._respond, takes_bodies=True, limits=limits, address=address)
        self._api = api
        self._admit = admit
        self._reviews = asyncio.Semaphore(_REVIEWS)
        self._access = access

    async def serve(self, port: int) -> int:
        """Listens; returns the port, which 0 leaves to the system.

        Raises:
            OSError: The port is taken.
        """
        return await self.listen(_NAME, port)

    async def _respond(self, exchange: Exchange) -> None:
        request, code, path = exchange.request, 200, "documents"
        try:
            if request.segments == _ADMISSION:
                path = "admission"
                body, code = await self._review(exchange)
            elif exchange.stream.peer_certificate() is None:
                raise HttpError(401, "Unauthorized")
            else:
                query = _query(request)
                path = query.resource if query else path
                body = orjson.dumps(await self._body(of_headers(request), request, query))
            await messages.respond(exchange.connection, exchange.stream, 200, body)
        except HttpError as error:
            code = error.code
            await messages.respond_error(exchange.connection, exchange.stream, error)
        finally:
            metrics.SERVED.labels(_NAME, path, code).inc()

    async def _review(self, exchange: Exchange) -> tuple[bytes, int]:
        if exchange.request.method != "POST":
            raise HttpError(405, f"{exchange.request.method} {exchange.request.path}: must be POST")
        async with self._reviews:
            body = await messages.read_body(exchange.connection, exchange.stream, _REVIEW_BYTES)
            try:
                return await self._admit(body)
            except ValueError as error:
                raise HttpError(400, f"not an AdmissionReview of a Service: {error}") from error

    async def _body(self, identity: Identity, request: Request, query: Query | None) -> dict[str, Any]:
        await self._permit(identity, request, query)
        if request.method != "GET":
            raise HttpError(405, f"{request.method} {request.path}: this can only be read")
        if query is None:
            document = documents.document(request.segments)
            if document is None:
                raise HttpError(404, f"the virtual kubelet does not serve {request.path}")
            return document
        parameters = dict(request.query)
        if parameters.get("watch", "false") not in ("false", "0"):
            raise HttpError(405, f"{query.resource}.{documents.GROUP} cannot be watched")
        answer = await self._api.answer(query)
        if _TABLE.search(request.header(b"accept")[:_ACCEPT]):
            return table(query.resource, answer, parameters.get("includeObject", ""))
        return answer

    async def _permit(self, identity: Identity, request: Request, query: Query | None) -> None:
        verb = _VERBS.get(request.method, request.method.lower())
        if query is None:
            attributes, what = {"path": request.path, "verb": verb}, request.path
        else:
            what = f"{query.resource}.{documents.GROUP}"
            attributes = {
                "verb": "list" if verb == "get" and not query.name else verb,
                "group": documents.GROUP,
                "version": documents.VERSION,
                "resource": query.resource,
                "namespace": query.namespace or "",
                "name": query.name,
            }
        if not await self._access.may(identity, attributes):
            raise HttpError(403, f'forbidden: user "{identity.name}" cannot {attributes["verb"]} {what}')


def _query(request: Request) -> Query | None:
    """The query for metrics; None for anything else."""
    parameters = dict(request.query)
    selectors = (parameters.get("labelSelector", ""), parameters.get("fieldSelector", ""))
    match request.segments:
        case ("apis", documents.GROUP, documents.VERSION, "nodes" | "pods" as resource):
            return Query(resource, None, "", *selectors)
        case ("apis", documents.GROUP, documents.VERSION, "nodes", name) if name:
            return Query("nodes", None, name)
        case ("apis", documents.GROUP, documents.VERSION, "namespaces", namespace, "pods") if namespace:
            return Query("pods", namespace, "", *selectors)
        case ("apis", documents.GROUP, documents.VERSION, "namespaces", namespace, "pods", name) if name:
            return Query("pods", namespace, name)
    return None
