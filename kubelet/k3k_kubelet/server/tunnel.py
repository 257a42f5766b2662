"""The host's side of a request, and the pipe between the two sides.

An upgraded connection (SPDY or WebSocket alike) and a log are bytes to us: what the host's API server and the
client say to each other there is theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import dataclass

import h11

from k3k_kubelet.api.endpoint import Endpoint
from k3k_kubelet.server.messages import CHUNK_BYTES, Headers, HttpError

HANDSHAKE_SECONDS = 10.0
SHUTDOWN_SECONDS = 5.0
FLUSH_SECONDS = 30.0
"""For a slow reader to take what is left when the other side has ended."""
ANSWER_SECONDS = 60.0
"""For the host's answer: its API server may have to wait for a node that does not answer."""
ERROR_BYTES = 64 * 1024
USER_AGENT = b"k3k-kubelet"

# What the upgrade protocols use. Everything else, in both directions, means something only on its own side: a
# header that the client's API server let pass must not speak to the host's (Authorization, Impersonate-*,
# X-Remote-*, X-Forwarded-*, cookies of some proxy, Audit-ID).
_FORWARDED = (b"connection", b"upgrade", b"x-stream-protocol-version", b"sec-websocket-")
_RETURNED = (*_FORWARDED, b"content-type", b"content-length", b"transfer-encoding")
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105, how browsers send a token


Answer = h11.Response | h11.InformationalResponse


@dataclass
class HostStream:
    """An open request to the host's API server whose answer has begun."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
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
        """Those of the answer that the client may see."""
        return [(name, value) for name, value in self.answer.headers.raw_items() if _starts(name, _RETURNED)]

    async def error_body(self) -> bytes:
        """The body of an error, at most `ERROR_BYTES` of it."""
        body = b""
        with contextlib.suppress(h11.RemoteProtocolError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while len(body) < ERROR_BYTES:
                    event = await _next_event(self.connection, self.reader)
                    if not isinstance(event, h11.Data):
                        break
                    body += bytes(event.data)
        return body[:ERROR_BYTES]

    async def close(self) -> None:
        """Closes the connection."""
        await close(self.writer)


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
        await stream.close()
        endpoint.refresh()
        stream = await _open(endpoint, method, target, headers)
    return stream


def upgrade_headers(headers: Headers) -> Headers:
    """What of a client's upgrade request goes to the host."""
    kept = [(name, value) for name, value in headers if _starts(name, _FORWARDED)]
    return [
        (name, _without_tokens(value) if name == b"sec-websocket-protocol" else value) for name, value in kept
    ]


def close_headers() -> Headers:
    """For an answer that ends with its connection, so that its body can be passed on as it is."""
    return [(b"Connection", b"close")]


async def splice(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter], host: HostStream, *, idle_seconds: float
) -> None:
    """Passes bytes both ways until one side ends or nothing has moved for `idle_seconds`.

    A slow reader slows its writer down: at most some hundred KB are held per direction.
    """
    reader, writer = client
    moved = [time.monotonic()]
    pumps = [
        asyncio.create_task(_pump(reader, host.writer, moved)),
        asyncio.create_task(_pump(host.reader, writer, moved)),
    ]
    try:
        while (left := moved[0] + idle_seconds - time.monotonic()) > 0:
            done, _ = await asyncio.wait(pumps, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def close(writer: asyncio.StreamWriter) -> None:
    """Closes a connection after what was written to it has left, for a limited time."""
    writer.close()
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Has the kernel notice a peer that vanished, within about two minutes."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


async def _open(endpoint: Endpoint, method: str, target: str, headers: Headers) -> HostStream:
    try:
        reader, writer = await asyncio.open_connection(
            endpoint.host,
            endpoint.port,
            limit=CHUNK_BYTES,
            ssl=endpoint.ssl_context(),
            server_hostname=endpoint.host,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )
    except (OSError, TimeoutError) as error:
        raise HttpError(503, f"the host's API server cannot be reached: {error}") from error
    try:
        keep_alive(writer)
        connection = h11.Connection(h11.CLIENT)
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        own = [(b"Host", f"{host}:{endpoint.port}".encode()), (b"User-Agent", USER_AGENT)]
        token = endpoint.token()
        if token:
            own.append((b"Authorization", f"Bearer {token}".encode()))
        request = h11.Request(method=method.encode(), target=target.encode(), headers=[*own, *headers])
        writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        async with asyncio.timeout(ANSWER_SECONDS):
            await writer.drain()
            answer = await _answer(connection, reader)
    except (h11.ProtocolError, OSError, TimeoutError) as error:
        writer.transport.abort()
        how = f"did not answer: {error or type(error).__name__}"
        how = "closed the connection" if reader.at_eof() else how
        raise HttpError(503, f"the host's API server {how}") from error
    except BaseException:
        writer.transport.abort()
        raise
    return HostStream(reader, writer, connection, answer)


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    """The head of the answer proper, after `100 Continue` and the like."""
    while True:
        event = await _next_event(connection, reader)
        if isinstance(event, h11.Response) or (
            isinstance(event, h11.InformationalResponse) and event.status_code == 101
        ):
            return event


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(CHUNK_BYTES))
    return event


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: list[float]) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(CHUNK_BYTES):
            moved[0] = time.monotonic()
            writer.write(data)
            await writer.drain()
            moved[0] = time.monotonic()


def _starts(name: bytes, prefixes: tuple[bytes, ...]) -> bool:
    return name.lower().startswith(prefixes)


def _without_tokens(value: bytes) -> bytes:
    protocols = [protocol.strip() for protocol in value.decode("latin-1").split(",")]
    return ", ".join(name for name in protocols if not name.startswith(_TOKEN_PROTOCOL)).encode("latin-1")
