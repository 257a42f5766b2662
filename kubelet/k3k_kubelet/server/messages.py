"""HTTP/1.1 on the kubelet API's side: requests read, answers written, errors as Kubernetes says them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import h11
import orjson

from k3k_kubelet.server.tls import TlsStream

Headers = list[tuple[bytes, bytes]]

HEAD_BYTES = 256 * 1024
"""Largest request head: `kubectl exec` puts the whole command into the query."""
WRITE_SECONDS = 30.0
"""For a client to take an answer."""
BODY_SECONDS = 5.0
"""For a client to send a body."""

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalError",
    502: "InternalError",
    503: "ServiceUnavailable",
}


class HttpError(Exception):
    """An answer other than success; `details` as in a Status."""

    def __init__(self, code: int, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def status(self) -> dict[str, Any]:
        """The error as a Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": _REASONS.get(self.code, "InternalError"),
            "code": self.code,
        }
        return status | ({"details": self.details} if self.details else {})


@dataclass(frozen=True)
class Request:
    """A request head. `segments` are the path's parts, decoded; header names are in lower case.

    Attributes:
        upgrade: The protocol asked for, as `SPDY/3.1` or `websocket`; empty for an ordinary request.
    """

    method: str
    path: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    headers: Headers
    upgrade: str

    def header(self, name: bytes) -> str:
        """The first value of a header, empty when there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


@dataclass(frozen=True)
class Exchange:
    """A request and the connection it came on.

    Attributes:
        port: Name of the port it came to; of the kubelet API, the Node's.
    """

    port: str
    request: Request
    connection: h11.Connection
    stream: TlsStream


async def read_request(
    connection: h11.Connection, stream: TlsStream, *, takes_bodies: bool = False
) -> Request | None:
    """The next request; None when the client has closed.

    Args:
        connection: What is known of the client's HTTP.
        stream: Where it comes from.
        takes_bodies: Leaves the body of a POST for `read_body`.

    Raises:
        HttpError: Not HTTP, too large a head, or a body, which few requests have.
    """
    request: h11.Request | None = None
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.read())
                continue
        except h11.RemoteProtocolError as error:
            raise HttpError(error.error_status_hint, f"bad request: {error}") from error
        if isinstance(event, h11.Request):
            request = event
            if takes_bodies and event.method == b"POST":
                return _request(event)
        elif isinstance(event, h11.Data):
            raise HttpError(400, "bad request: the kubelet API takes no request body")
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return _request(request)
        else:
            return None


async def read_body(connection: h11.Connection, stream: TlsStream, limit: int) -> bytes:
    """The body of a request whose head has been read.

    Raises:
        HttpError: It is no HTTP, larger than `limit` bytes, or does not come.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.read())
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > limit:
                        raise HttpError(413, f"the body has more than {limit} bytes")
                elif isinstance(event, h11.EndOfMessage):
                    return bytes(body)
                else:
                    raise HttpError(400, "bad request: the body ends early")
    except h11.RemoteProtocolError as error:
        raise HttpError(error.error_status_hint, f"bad request: {error}") from error
    except TimeoutError as error:
        raise HttpError(400, f"the body did not come within {BODY_SECONDS:g} s") from error


def _request(event: h11.Request) -> Request:
    target = event.target.decode("latin-1")
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise HttpError(400, f"bad request: target {path[:100]!r} must begin with /")
    if event.http_version != b"1.1":
        raise HttpError(400, "bad request: needs HTTP/1.1")
    headers = list(event.headers)
    options = [value.lower() for name, value in headers if name == b"connection"]
    upgrades = any(b"upgrade" in [word.strip() for word in value.split(b",")] for value in options)
    upgrade = next((value.decode("latin-1") for name, value in headers if name == b"upgrade"), "")
    return Request(
        method=event.method.decode("latin-1"),
        path=path,
        segments=tuple(unquote(part) for part in path[1:].removesuffix("/").split("/")),
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        upgrade=upgrade if upgrades else "",
    )


async def respond(
    connection: h11.Connection,
    stream: TlsStream,
    code: int,
    body: bytes,
    *,
    content_type: str = "application/json",
) -> None:
    """Writes a whole answer. It goes to an unread or half-read request as well, which ends the connection."""
    headers = [
        (b"Content-Type", content_type.encode()),
        (b"Content-Length", str(len(body)).encode()),
        (b"Cache-Control", b"no-cache, private"),
    ]
    if code >= 400:
        # After a refusal nothing is known about what else the client has sent.
        headers.append((b"Connection", b"close"))
    for event in (h11.Response(status_code=code, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
        stream.write(connection.send(event) or b"")
    async with asyncio.timeout(WRITE_SECONDS):
        await stream.drain()


async def respond_error(
    connection: h11.Connection, stream: TlsStream, error: HttpError, *, plain: bool = False
) -> None:
    """Writes an error: a Status, or its message alone.

    The API server takes a kubelet's answer on logs for text and quotes it to the user, while kubectl decodes
    the answer to a refused upgrade as a Status.
    """
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    if plain:
        await respond(connection, stream, error.code, error.message.encode(), content_type="text/plain")
    else:
        await respond(connection, stream, error.code, orjson.dumps(error.status()))
