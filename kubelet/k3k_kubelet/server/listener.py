"""TLS ports and the connections that come to them; what is answered on them is another module's."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import h11

from k3k_kubelet.server import messages
from k3k_kubelet.server.messages import Exchange, HttpError
from k3k_kubelet.server.tls import TlsStream

log = logging.getLogger(__name__)

Answer = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the serving certificate and key, and the CA whose client certificates are believed."""

    certificate: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True)
class Limits:
    """What one client, or all together, may hold.

    Attributes:
        connections: At a time, on all ports of a listener.
        tunnels: Streams (exec, attach, port-forward, logs) among them; each holds about 100 KB.
        head_seconds: For the first request of a connection, TLS handshake not included.
        keep_alive_seconds: Between requests.
        idle_seconds: A stream on which nothing moves; a kubelet's default.
    """

    connections: int = 512
    tunnels: int = 128
    head_seconds: float = 10.0
    keep_alive_seconds: float = 120.0
    idle_seconds: float = 4 * 3600.0


class Listener:
    """Ports whose connections are served one request after the other.

    Args:
        tls: Certificate files; `reload_tls` after they were renewed.
        answer: Writes the answer to a request, an error too.
        takes_bodies: Whether `answer` reads the bodies of POSTs, by `messages.read_body`; otherwise
            requests have none.
        limits: Caps and time-outs.
        address: Where to listen, all addresses by default.
    """

    def __init__(
        self,
        tls: TlsFiles,
        answer: Answer,
        *,
        takes_bodies: bool = False,
        limits: Limits | None = None,
        address: str = "",
    ) -> None:
        self._tls = tls
        self._answer = answer
        self._limits = limits or Limits()
        self._address = address
        self._takes_bodies = takes_bodies
        self._context = _context(tls)
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: dict[asyncio.Task[None], str] = {}

    def reload_tls(self) -> None:
        """Takes the renewed certificate for new connections. A new client CA needs a new process."""
        self._context.load_cert_chain(self._tls.certificate, self._tls.key)

    async def listen(self, name: str, port: int) -> int:
        """Serves a port under a name; for one that is served already this does nothing.

        Args:
            name: What `Exchange.port` says of its requests.
            port: TCP port, 0 for a free one.

        Returns:
            The port.

        Raises:
            OSError: The port is taken.
        """
        server = self._servers.get(name)
        if server is None:

            def accepted(stream: TlsStream) -> None:
                task = loop.create_task(self._serve(name, stream))
                self._connections[task] = name
                task.add_done_callback(self._connections.pop)

            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: TlsStream(self._context, accepted=accepted), sock=_bind(self._address, port)
            )
            self._servers[name] = server
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def close(self, name: str | None = None) -> None:
        """Stops serving one port, or all of them, and ends their connections."""
        for each in [name] if name is not None else list(self._servers):
            server = self._servers.pop(each, None)
            if server:
                server.close()
        tasks = [task for task, each in self._connections.items() if name in (None, each)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, name: str, stream: TlsStream) -> None:
        """Serves one connection."""
        try:
            if len(self._connections) <= self._limits.connections:
                await stream.handshake()
                await self._requests(name, stream)
                await stream.close()
        except (OSError, h11.LocalProtocolError) as error:
            log.debug("connection ended", extra={"port": name, "error": repr(error)})
        except Exception:
            log.exception("request failed", extra={"port": name})
        finally:
            stream.abort()

    async def _requests(self, name: str, stream: TlsStream) -> None:
        """Answers the requests of a connection, one after the other."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=messages.HEAD_BYTES)
        seconds = self._limits.head_seconds
        while True:
            try:
                async with asyncio.timeout(seconds):
                    request = await messages.read_request(connection, stream, takes_bodies=self._takes_bodies)
            except HttpError as error:
                await messages.respond_error(connection, stream, error)
                return
            if request is None:
                return
            await self._answer(Exchange(name, request, connection, stream))
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            seconds = self._limits.keep_alive_seconds


def _bind(address: str, port: int) -> socket.socket:
    """A listening socket, on both address families where the machine has both."""
    if not address and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:
            log.debug("no dual-stack socket, listening on IPv4", extra={"port": port})
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def _context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL  # a certificate of another CA is turned away in the handshake
    # Python >= 3.13 refuses CAs without a keyUsage or key identifiers, which Go, and so Kubernetes, accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # resumed sessions would need a session id context, and clients rarely resume
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(tls.client_ca)
    context.load_cert_chain(tls.certificate, tls.key)
    return context
