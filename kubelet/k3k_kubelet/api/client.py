"""Requests to one API server: get, list, create, patch, replace, delete, and subresources."""

from __future__ import annotations

import asyncio
import enum
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import aiohttp
import orjson
from aiohttp.client_reqrep import ConnectionKey

from k3k_kubelet import metrics
from k3k_kubelet.api.endpoint import Endpoint, base_url
from k3k_kubelet.api.errors import ApiError, UnauthorizedError, UnreachableError, from_response
from k3k_kubelet.api.resources import Resource

Object = dict[str, Any]
Answer = TypeVar("Answer")

USER_AGENT = "k3k-kubelet"
ATTEMPTS = 4
"""Tries of one request before its error is raised; the caller's queue goes on from there."""
MAX_PAUSE = 10.0
"""Seconds: the longest pause inside a request, whatever Retry-After says."""
PAGE = 500
KEEP_SECONDS = 20.0
"""How long an unused connection stays open: each takes 50 KB, and a burst opens many."""

_REJECTED = frozenset({429, 503})
"""Answers that mean 'not processed': any request may be repeated. Of the others only reads are."""
_METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"


class PatchType(enum.Enum):
    """Content types of a PATCH."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class ApiClient:
    """A client of one API server over a pool of HTTP/1.1 connections.

    Args:
        endpoint: Where it is, and the credentials.
        connections: Size of the pool; watches hold one each besides.
        timeout: Seconds for one try of a request.
        before_write: Called before each try of a request that may change something; what it raises is raised.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connections: int = 16,
        timeout: float = 30.0,
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        self.endpoint = endpoint
        self._before_write = before_write
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 10.0))
        self._session: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes every connection, running watches included."""
        for session in (self._session, self._watches):
            if session is not None:
                await session.close()
        self._session = self._watches = None

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, metadata_only: bool = False
    ) -> Object:
        """One object.

        Raises:
            NotFoundError: There is none.
        """
        path = resource.path(namespace, name)
        accept = _METADATA_ONLY.format("") if metadata_only else None
        return await self.request("GET", path, accept=accept)

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        metadata_only: bool = False,
        size: int | None = None,
    ) -> AsyncIterator[Object]:
        """The pages of a list, each a List object: one by one, so that a large one is never held whole.

        Raises:
            GoneError: The list outlived its snapshot; begin again.
        """
        accept = _METADATA_ONLY.format("List") if metadata_only else None
        parameters = {**(query or {}), "limit": str(size or PAGE)}
        while True:
            page = await self.request("GET", resource.path(namespace), query=parameters, accept=accept)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            parameters["continue"] = token

    async def list_all(
        self, resource: Resource, namespace: str | None = None, *, query: Mapping[str, str] | None = None
    ) -> list[Object]:
        """All objects of a (small) collection."""
        return [
            item
            async for page in self.pages(resource, namespace, query=query)
            for item in page.get("items") or ()
        ]

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Object,
        *,
        name: str = "",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Creates an object, or POSTs to a subresource (`binding`, `token`) of the object `name`.

        With `dry_run` the server only says whether it would.
        """
        path = resource.path(namespace, name or None, subresource)
        query = {"dryRun": "All"} if dry_run else None
        return await self.request("POST", path, query=query, body=body)

    async def replace(
        self, resource: Resource, namespace: str | None, name: str, body: Object, *, subresource: str = ""
    ) -> Object:
        """PUTs an object. metadata.resourceVersion and uid in the body are preconditions.

        Raises:
            ConflictError: They do not hold.
        """
        return await self.request("PUT", resource.path(namespace, name, subresource), body=body)

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Object,
        *,
        kind: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """Patches an object. metadata.uid in the body is a precondition (422 for another object).

        Server-side apply (`PatchType.APPLY`) needs a field manager and takes over foreign fields.
        """
        query = {"fieldManager": field_manager} if field_manager else {}
        if kind is PatchType.APPLY:
            query["force"] = "true"
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, query=query, body=body, content_type=kind.value)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period: int | None = None,
    ) -> Object:
        """Deletes an object.

        Args:
            resource: Of which resource.
            namespace: Its namespace, None for a cluster-scoped one.
            name: Its name.
            uid: Precondition: only the object with this uid.
            resource_version: Precondition: only as it is at this version.
            grace_period: Seconds; the object's own default when None.

        Raises:
            ConflictError: Another object has that name now, or this one has changed.
            NotFoundError: There is none.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        given = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in given.items() if value is not None}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        return await self.request("DELETE", resource.path(namespace, name), body=options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str | None = None,
    ) -> Object:
        """One request with its repetitions: 429 and 503 are waited for, reads also survive a cut.

        Raises:
            ApiError: The last try's error.
        """
        data = None if body is None else orjson.dumps(body)
        headers = {"Accept": accept or "application/json"}
        if data is not None:
            headers["Content-Type"] = content_type
        return await self._repeated(method, path, query or {}, data, headers, _object)

    async def read(
        self, path: str, decode: Callable[[bytes], Answer], *, query: Mapping[str, str] | None = None
    ) -> Answer:
        """GETs what is large and little of it wanted; as `request`.

        Args:
            path: Of the request.
            decode: Takes the JSON of the answer; raises ValueError where that is not what it should be.
            query: Parameters.
        """
        return await self._repeated("GET", path, query or {}, None, {"Accept": "application/json"}, decode)

    async def _repeated(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        data: bytes | None,
        headers: Mapping[str, str],
        decode: Callable[[bytes], Answer],
    ) -> Answer:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                body = await self._try(method, path, query, data, headers)
                try:
                    return decode(body)
                except ValueError as error:  # cut short, or from something in between
                    raise UnreachableError(f"{method} {path}: the answer is none: {error}") from error
            except ApiError as error:
                if attempt == ATTEMPTS or not _repeatable(method, error):
                    raise
                if isinstance(error, UnauthorizedError):
                    if attempt > 1:
                        raise
                    self.endpoint.refresh()
                    continue
                pause = error.retry_after if error.retry_after is not None else 0.1 * 2**attempt
                await asyncio.sleep(min(pause, MAX_PAUSE) * random.uniform(0.8, 1.2))  # noqa: S311
        raise AssertionError("unreachable")

    async def _try(
        self, method: str, path: str, query: Mapping[str, str], data: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        if self._session is None:
            self._session = _session(self._connections)
        if method != "GET":
            self._before_write()
        api, began, code = self.endpoint.name, time.monotonic(), 0
        try:
            async with self._session.request(
                method,
                base_url(self.endpoint) + path,
                params=query,
                data=data,
                headers=self.headers(headers),
                ssl=self.endpoint.ssl_context(),
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                code, body = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{method} {path}: {type(error).__name__} {error}".strip()) from error
        finally:
            metrics.API_REQUESTS.labels(api, method, code).inc()
            metrics.API_SECONDS.labels(api, method).observe(time.monotonic() - began)
        if response.status >= 300:
            raise from_response(response.status, body, response.headers.get("Retry-After"))
        return body

    def headers(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Request headers: the credentials of this moment, and `extra`."""
        token = self.endpoint.token()
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        return {"User-Agent": USER_AGENT, **authorization, **extra}

    def watch_session(self) -> aiohttp.ClientSession:
        """The session of streams, apart from the pool: a watch never waits for a request, nor the reverse."""
        if self._watches is None:
            self._watches = _session(0)
        return self._watches


class _Pool(aiohttp.TCPConnector):
    """A pool that uses the connection again that was used last.

    aiohttp takes the one that was not used for longest: a few requests a second would keep all connections
    of a burst open for good.
    """

    def _release(self, key: ConnectionKey, protocol: Any, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if (idle := self._conns.get(key)) is not None:
            idle.rotate(1)  # it takes the first and has just put this one last


def _session(connections: int) -> aiohttp.ClientSession:
    connector = _Pool(limit=connections, keepalive_timeout=KEEP_SECONDS, ttl_dns_cache=60)
    # No compression: it costs more CPU than it saves on a link inside one cluster.
    return aiohttp.ClientSession(
        connector=connector, auto_decompress=False, skip_auto_headers=("Accept-Encoding",)
    )


def _object(body: bytes) -> Object:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _repeatable(method: str, error: ApiError) -> bool:
    if isinstance(error, UnauthorizedError) or error.code in _REJECTED:
        return True
    return method == "GET" and error.is_outage
