"""TLS over a TCP connection, for tunnels: no byte is lost at the end of one side, and little memory is held.

Why not the event loop's own TLS: uvloop's throws away what it has received when the peer's end arrives while
reading is paused (its pull request 661), which cuts the tail off a `kubectl exec` whose reader is slower than
its writer; asyncio's cuts it off after the shutdown time-out, and holds 256 KB per connection. TLS itself is
OpenSSL's here as well; what is ours is when to read, when to stop reading and when to close.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

CHUNK_BYTES = 64 * 1024
HELD_BYTES = 128 * 1024
"""Received and not yet read: more than this stops reading from the connection."""
HANDSHAKE_SECONDS = 10.0
FLUSH_SECONDS = 30.0
SHUTDOWN_SECONDS = 5.0


class TlsStream(asyncio.Protocol):
    """A TLS connection. One task may read and one may write at a time.

    Args:
        context: Certificates and what is accepted.
        server_hostname: Whom the peer must prove to be; None on the server's side.
        accepted: Called with the stream when a client has connected (before the handshake).
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        accepted: Callable[[TlsStream], None] | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        self._accepted = accepted
        self._readable, self._writable, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._writable.set()
        self._transport = cast("asyncio.Transport", None)
        self._paused = self._lost = self._discarding = self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        _notice_lost_peers(transport.get_extra_info("socket"))
        if self._accepted:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        if self._discarding:
            return
        self._incoming.write(data)
        self._readable.set()
        if self._incoming.pending >= HELD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Part of asyncio.Protocol: True keeps our direction open."""
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, asyncio's signature
        """Part of asyncio.Protocol. What was received before can still be read."""
        self._lost = True
        self._writable.set()
        self._end()

    def pause_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self._writable.set()

    def peer_certificate(self) -> Mapping[str, Any] | None:
        """The peer's verified certificate as `SSLSocket.getpeercert` gives it; None when it sent none."""
        return self._tls.getpeercert() or None

    async def handshake(self) -> None:
        """Does the TLS handshake.

        Raises:
            OSError: The peer's certificate or something else in its TLS is not accepted (ssl.SSLError), or it
                has closed. TimeoutError is one too.
        """
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            while True:
                self._readable.clear()
                try:
                    self._tls.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    self._send()
                    await self._readable.wait()
                finally:
                    self._send()

    async def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Up to `size` bytes, at least one; nothing when the peer has ended.

        Raises:
            ssl.SSLError: What came is not TLS.
        """
        while True:
            self._readable.clear()
            data = self._decrypt(size)
            if data or self._finished:
                return data
            self._resume()
            await self._readable.wait()

    def write(self, data: bytes) -> None:
        """Sends bytes; `drain` waits until more may follow.

        Raises:
            ConnectionResetError: The connection is gone.
        """
        if self._lost:
            raise ConnectionResetError("connection lost")
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        self._send()

    async def drain(self) -> None:
        """Waits until the peer has taken most of what was written.

        Raises:
            ConnectionResetError: The connection is gone.
        """
        if self._transport.is_closing():
            await asyncio.sleep(0)  # lets the loop tell us that the connection is lost
        await self._writable.wait()
        if self._lost:
            raise ConnectionResetError("connection lost")

    async def flush(self, seconds: float) -> None:
        """Waits until all that was written has left this process, or the connection is gone.

        Raises:
            TimeoutError: The peer did not take it within `seconds`.
        """
        if not self._lost:
            self._transport.set_write_buffer_limits(high=0)
            async with asyncio.timeout(seconds):
                await self._writable.wait()

    async def close(self) -> None:
        """Ends the connection so that the peer gets all that was written.

        A socket closed while something unread lies in it is reset, and takes unsent data with it; so what the
        peer still sends is read and thrown away until it closes too, for a few seconds.
        """
        self._discarding = True
        try:
            if not self._lost:
                with contextlib.suppress(ssl.SSLError, ValueError):
                    self._tls.unwrap()  # writes the close notification; the answer is not waited for
                self._send()
                await self.flush(FLUSH_SECONDS)
                with contextlib.suppress(OSError, RuntimeError):
                    self._transport.write_eof()
                self._resume()
                async with asyncio.timeout(SHUTDOWN_SECONDS):
                    await self._ended.wait()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def _decrypt(self, size: int) -> bytes:
        chunks: list[bytes] = []
        try:
            while size > 0 and not self._finished:
                chunk = self._tls.read(size)
                self._finished = not chunk
                chunks.append(chunk)
                size -= len(chunk)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError, ssl.SSLSyscallError):
            self._finished = True
        except ssl.SSLError:
            self._finished = True
            if not chunks:
                raise
        self._send()  # TLS itself may have something to answer
        if self._incoming.pending < HELD_BYTES // 2:
            self._resume()
        return b"".join(chunks)

    def _send(self) -> None:
        data = self._outgoing.read()
        if data and not self._lost:
            self._transport.write(data)

    def _resume(self) -> None:
        if self._paused and not self._ended.is_set():
            self._paused = False
            self._transport.resume_reading()

    def _end(self) -> None:
        self._incoming.write_eof()
        self._ended.set()
        self._readable.set()


async def connect(host: str, port: int, context: ssl.SSLContext) -> TlsStream:
    """Connects to a TLS server and checks that it is `host`.

    Raises:
        OSError: It cannot be reached or is not accepted; TimeoutError is one too.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        _, stream = await loop.create_connection(lambda: TlsStream(context, server_hostname=host), host, port)
    try:
        await stream.handshake()
    except BaseException:
        stream.abort()
        raise
    return stream


def _notice_lost_peers(sock: socket.socket | None) -> None:
    """Has the kernel find out within two minutes that a peer has vanished, and send small writes at once."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
