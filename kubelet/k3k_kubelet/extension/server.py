"""The port on which the virtual API server's aggregator reaches the kubelet."""

from __future__ import annotations

import re
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
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class ExtensionServer(Listener):
    """Serves metrics.k8s.io and what describes it.

    Args:
        api: Answers queries.
        access: Who may do what. The API server has asked that already; generic API servers ask again too.
        tls: `client_ca` is the request-header CA.
        limits: Caps and time-outs.
        address: Where to listen, all addresses by default.
    """

    def __init__(
        self,
        api: MetricsApi,
        access: Access,
        tls: TlsFiles,
        *,
        limits: Limits | None = None,
        address: str = "",
    ) -> None:
        super().__init__(tls, self._respond, needs_certificate=True, limits=limits, address=address)
        self._api = api
        self._access = access

    async def serve(self, port: int) -> int:
        """Listens; returns the port, which 0 leaves to the system.

        Raises:
            OSError: The port is taken.
        """
        return await self.listen(_NAME, port)

    async def _respond(self, exchange: Exchange) -> None:
        request, code = exchange.request, 200
        query = _query(request)
        try:
            body = await self._body(of_headers(request), request, query)
            await messages.respond(exchange.connection, exchange.stream, 200, orjson.dumps(body))
        except HttpError as error:
            code = error.code
            await messages.respond_error(exchange.connection, exchange.stream, error)
        finally:
            metrics.SERVED.labels(_NAME, query.resource if query else "documents", code).inc()

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
