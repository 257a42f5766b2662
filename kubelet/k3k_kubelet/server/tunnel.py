"""The host's side of a request, and the pipe between the two sides.

An upgraded connection (SPDY or WebSocket alike) and a log are bytes to us: what the host's API server and the
client say to each other there is theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

import h11

from k3k_kubelet import metrics
from k3k_kubelet.api.endpoint import Endpoint
from k3k_kubelet.server import tls
from k3k_kubelet.server.messages import Headers, HttpError, Request
from k3k_kubelet.server.tls import TlsStream

ANSWER_SECONDS = 60.0
"""For the host's answer: its API server may have to wait for a node that does not answer."""
ERROR_BYTES = 64 * 1024
USER_AGENT = b"k3k-kubelet"

# What the upgrade protocols say to each other beyond `Connection` and `Upgrade`, which are written anew. All
# else, in both directions, means something only on its own side: a header that the client's API server let
# pass must not speak to the host's or to a proxy before it (Authorization, Impersonate-*, X-Remote-*,
# X-Forwarded-*, cookies, Audit-ID; `Connection: Authorization` would have a proxy drop our token).
_FORWARDED = (b"x-stream-protocol-version", b"sec-websocket-")
_RETURNED = {101: (*_FORWARDED, b"upgrade"), 200: (b"content-type", b"content-length", b"transfer-encoding")}
_UPGRADES = {"spdy/3.1": b"SPDY/3.1", "websocket": b"websocket"}
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105, how browsers send a token

Answer = h11.Response | h11.InformationalResponse


@dataclass
class HostStream:
    """An open request to the host's API server whose answer has begun."""

    stream: TlsStream
    connection: h11.Connection
    answer: Answer

    @property
    def code(self) -> int:
        """HTTP status."""
        return self.answer.status_code

    @property
    def early(self) -> bytes:
        """What came after the answer's head in the same packets."""
        return self.connection.trailing_data[0]

    def headers(self) -> Headers:
        """Those of a successful answer that the client may see."""
        kept = _RETURNED[self.code]
        return [(name, value) for name, value in self.answer.headers.raw_items() if _starts(name, kept)]

    async def error_body(self) -> bytes:
        """The body of an error, at most `ERROR_BYTES` of it."""
        body = b""
        with contextlib.suppress(h11.RemoteProtocolError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while len(body) < ERROR_BYTES:
                    event = await _next_event(self.connection, self.stream)
                    if not isinstance(event, h11.Data):
                        break
                    body += bytes(event.data)
        return body[:ERROR_BYTES]


async def open_stream(endpoint: Endpoint, method: str, target: str, headers: Headers) -> HostStream:
    """Sends a request without a body and waits for the head of its answer.

    Args:
        endpoint: The host's API server; its token is read now, and once more when it is refused.
        method: GET or POST.
        target: Path and query, built by us.
        headers: From `upgrade_headers` or `close_headers`.

    Raises:
        HttpError: 503 when the host's API server cannot be reached or says no HTTP.
    """
    stream = await _open(endpoint, method, target, headers)
    if stream.code == 401:
        await stream.stream.close()
        endpoint.refresh()
        stream = await _open(endpoint, method, target, headers)
    return stream


def upgrade_headers(request: Request) -> Headers:
    """What of a client's upgrade request goes to the host.

    Raises:
        HttpError: 400 for a request that is no upgrade to SPDY or WebSocket.
    """
    protocol = _UPGRADES.get(request.upgrade.lower())
    if protocol is None:
        raise HttpError(400, "unable to upgrade: needs Connection: Upgrade, Upgrade: SPDY/3.1 or websocket")
    headers = [(b"Connection", b"Upgrade"), (b"Upgrade", protocol)]
    for name, value in request.headers:
        if _starts(name, _FORWARDED):
            headers.append((name, _without_tokens(value) if name == b"sec-websocket-protocol" else value))
    return headers


def close_headers() -> Headers:
    """For an answer that ends with its connection, so that its body can be passed on as it is."""
    return [(b"Connection", b"close")]


async def splice(client: TlsStream, host: TlsStream, *, idle_seconds: float) -> None:
    """Passes bytes both ways until one side ends or nothing has moved for `idle_seconds`.

    What a side sent before it ended still reaches the other one. A slow reader slows its writer down: at most
    some hundred KB are held per direction.
    """
    moved = [time.monotonic()]
    directions = [_pump(client, host, moved, "to_host"), _pump(host, client, moved, "to_client")]
    await _until_an_end(directions, moved, idle_seconds)


async def follow(client: TlsStream, host: TlsStream, *, idle_seconds: float) -> None:
    """Passes the host's bytes to the client until one side ends, or for `idle_seconds` without any.

    Nothing goes the other way: after an ordinary request a client's bytes would be its next one, and on the
    host's connection that would be one of ours, with our rights.
    """
    moved = [time.monotonic()]
    await _until_an_end([_pump(host, client, moved, "to_client"), _wait_for_end(client)], moved, idle_seconds)


async def _until_an_end(
    directions: Sequence[Coroutine[None, None, _End]], moved: list[float], idle_seconds: float
) -> None:
    pumps = {asyncio.create_task(direction) for direction in directions}
    try:
        while pumps and (left := moved[0] + idle_seconds - time.monotonic()) > 0:
            done, pumps = await asyncio.wait(pumps, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if any(pump.result() is _End.SOURCE for pump in done):
                break
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _wait_for_end(client: TlsStream) -> _End:
    with contextlib.suppress(OSError):
        while await client.read():
            pass
    return _End.SOURCE


class _End(enum.Enum):
    """Why no more bytes pass in one direction."""

    SOURCE = "the source has ended"
    TARGET = "the target takes no more; what it sent before may still be on its way"


async def _pump(source: TlsStream, target: TlsStream, moved: list[float], direction: str) -> _End:
    count = metrics.STREAM_BYTES.labels(direction).inc
    while True:
        try:
            data = await source.read()
        except OSError:
            return _End.SOURCE
        if not data:
            return _End.SOURCE
        moved[0] = time.monotonic()
        try:
            target.write(data)
            await target.drain()
        except OSError:
            return _End.TARGET
        count(len(data))
        moved[0] = time.monotonic()


async def _open(endpoint: Endpoint, method: str, target: str, headers: Headers) -> HostStream:
    try:
        stream = await tls.connect(endpoint.host, endpoint.port, endpoint.ssl_context())
    except OSError as error:
        raise HttpError(
            503, f"the host's API server cannot be reached: {error or type(error).__name__}"
        ) from error
    try:
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method=method.encode(), target=target.encode(), headers=[*_own_headers(endpoint), *headers]
        )
        stream.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        async with asyncio.timeout(ANSWER_SECONDS):
            await stream.drain()
            return HostStream(stream, connection, await _answer(connection, stream))
    except (h11.ProtocolError, OSError) as error:
        stream.abort()
        raise HttpError(
            503, f"the host's API server did not answer: {error or type(error).__name__}"
        ) from error
    except BaseException:
        stream.abort()
        raise


def _own_headers(endpoint: Endpoint) -> Headers:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    headers = [(b"Host", f"{host}:{endpoint.port}".encode()), (b"User-Agent", USER_AGENT)]
    token = endpoint.token()
    return [*headers, (b"Authorization", f"Bearer {token}".encode())] if token else headers


async def _answer(connection: h11.Connection, stream: TlsStream) -> Answer:
    """The head of the answer proper, after `100 Continue` and the like."""
    while True:
        event = await _next_event(connection, stream)
        if isinstance(event, h11.Response) or (
            isinstance(event, h11.InformationalResponse) and event.status_code == 101
        ):
            return event


async def _next_event(connection: h11.Connection, stream: TlsStream) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        data = await stream.read()
        if not data and connection.their_state is h11.SEND_RESPONSE:
            raise ConnectionResetError("it closed the connection")
        connection.receive_data(data)
    return event


def _starts(name: bytes, prefixes: tuple[bytes, ...]) -> bool:
    return name.lower().startswith(prefixes)


def _without_tokens(value: bytes) -> bytes:
    protocols = [protocol.strip() for protocol in value.decode("latin-1").split(",")]
    return ", ".join(name for name in protocols if not name.startswith(_TOKEN_PROTOCOL)).encode("latin-1")
