"""Watches: a stream of events of one collection, as lines of JSON that may be megabytes long."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from k3k_kubelet.api.client import ApiClient, Object
from k3k_kubelet.api.endpoint import base_url
from k3k_kubelet.api.errors import UnreachableError, from_response, from_status
from k3k_kubelet.api.resources import Resource

IDLE_SECONDS = 80.0
"""A watch without a byte for so long is dead: an API server sends a bookmark each minute."""
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class LineSplitter:
    """Cuts chunks of bytes into lines without a limit on a line's length and without copying it twice."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their newline; empty ones are left out."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            self._rest.append(lines[0])
            lines[0] = b"".join(self._rest)
            self._rest.clear()
        if rest:
            self._rest.append(rest)
        return [line for line in lines if line]


async def watch(
    client: ApiClient,
    resource: Resource,
    namespace: str | None,
    resource_version: str,
    *,
    query: Mapping[str, str] | None = None,
    metadata_only: bool = False,
    idle: float = IDLE_SECONDS,
) -> AsyncIterator[tuple[str, Object]]:
    """Yields `(type, object)`, type ADDED, MODIFIED, DELETED or BOOKMARK, until the server ends the watch.

    Args:
        client: The API server.
        resource: What to watch.
        namespace: One namespace, None for all.
        resource_version: Events after this one.
        query: Selectors.
        metadata_only: Objects come as PartialObjectMetadata.
        idle: Seconds without any byte after which the connection counts as dead.

    Raises:
        GoneError: `resource_version` is too old; list again.
        ApiError: Any other refusal, or the connection was cut (`Unreachable`).
    """
    parameters = {
        **(query or {}),
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        "timeoutSeconds": str(random.randint(300, 600)),  # noqa: S311 - so that watches do not all end at once
    }
    accept = _METADATA_ONLY if metadata_only else "application/json"
    try:
        async with client.watch_session().get(
            base_url(client.endpoint) + resource.path(namespace),
            params=parameters,
            headers=client.headers({"Accept": accept}),
            ssl=client.endpoint.ssl_context(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=idle),
            allow_redirects=False,
        ) as response:
            if response.status >= 300:
                if response.status == 401:
                    client.endpoint.refresh()
                raise from_response(
                    response.status, await response.read(), response.headers.get("Retry-After")
                )
            splitter = LineSplitter()
            async for chunk in response.content.iter_any():
                for line in splitter.feed(chunk):
                    yield _event(orjson.loads(line))
    except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
        raise UnreachableError(f"watch {resource.plural}: {type(error).__name__} {error}".strip()) from error


def _event(event: dict[str, Any]) -> tuple[str, Object]:
    if event["type"] == "ERROR":
        raise from_status(event["object"])
    return event["type"], event["object"]
