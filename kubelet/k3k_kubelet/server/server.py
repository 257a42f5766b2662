"""The kubelet API of every virtual node: one TLS port each, all in this process."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import h11

from k3k_kubelet.api.endpoint import Endpoint
from k3k_kubelet.server import messages
from k3k_kubelet.server.access import Access
from k3k_kubelet.server.handler import Exchange, Handler, Limits, Lookup, PodsOf
from k3k_kubelet.server.messages import HttpError
from k3k_kubelet.server.tls import TlsStream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the serving certificate and key, and the CA whose client certificates are believed."""

    certificate: Path
    key: Path
    client_ca: Path


class KubeletServer:
    """The kubelet API.

    Args:
        host: The host's API server.
        lookup: (virtual namespace, name) -> the pod, None for one without a host copy.
        pods_of: Node name -> its virtual pods, for /pods.
        access: Who may do what.
        tls: Certificate files; `reload_tls` after they were renewed.
        limits: Caps and time-outs.
        address: Where to listen, all addresses by default.
    """

    def __init__(
        self,
        host: Endpoint,
        lookup: Lookup,
        pods_of: PodsOf,
        access: Access,
        tls: TlsFiles,
        *,
        limits: Limits | None = None,
        address: str = "",
    ) -> None:
        self._tls = tls
        self._limits = limits or Limits()
        self._address = address
        self._handler = Handler(host, lookup, pods_of, access, self._limits)
        self._context = _server_context(tls)
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: dict[asyncio.Task[None], str] = {}

    def reload_tls(self) -> None:
        """Takes the renewed certificate for new connections. A new client CA needs a new process."""
        self._context.load_cert_chain(self._tls.certificate, self._tls.key)

    async def listen(self, node: str, port: int) -> int:
        """Serves the kubelet API of a node; for one that is served already this does nothing.

        Args:
            node: The virtual Node.
            port: TCP port, 0 for a free one.

        Returns:
            The port.

        Raises:
            OSError: The port is taken.
        """
        server = self._servers.get(node)
        if server is None:

            def accepted(stream: TlsStream) -> None:
                task = loop.create_task(self._serve(node, stream))
                self._connections[task] = node
                task.add_done_callback(self._connections.pop)

            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: TlsStream(self._context, accepted=accepted), sock=_bind(self._address, port)
            )
            self._servers[node] = server
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def close(self, node: str | None = None) -> None:
        """Stops serving a node, or all of them, and ends their connections."""
        for name in [node] if node is not None else list(self._servers):
            server = self._servers.pop(name, None)
            if server:
                server.close()
        tasks = [task for task, name in self._connections.items() if node in (None, name)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, node: str, stream: TlsStream) -> None:
        """Serves one connection."""
        try:
            if len(self._connections) <= self._limits.connections:
                await stream.handshake()
                await self._requests(node, stream)
                await stream.close()
        except (OSError, h11.LocalProtocolError) as error:
            log.debug("connection ended", extra={"node": node, "error": repr(error)})
        except Exception:
            log.exception("request failed", extra={"node": node})
        finally:
            stream.abort()

    async def _requests(self, node: str, stream: TlsStream) -> None:
        """Answers the requests of a connection, one after the other."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=messages.HEAD_BYTES)
        seconds = self._limits.head_seconds
        while True:
            try:
                async with asyncio.timeout(seconds):
                    request = await messages.read_request(connection, stream)
            except HttpError as error:
                await messages.respond_error(connection, stream, error)
                return
            if request is None:
                return
            await self._handler.answer(Exchange(node, request, connection, stream))
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


def _server_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Optional: a client without a certificate may have a token. One with a wrong certificate fails here.
    context.verify_mode = ssl.CERT_OPTIONAL
    # Python >= 3.13 refuses CAs without a keyUsage or key identifiers, which Go, and so Kubernetes, accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # resumed sessions would need a session id context, and clients rarely resume
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(tls.client_ca)
    context.load_cert_chain(tls.certificate, tls.key)
    return context
