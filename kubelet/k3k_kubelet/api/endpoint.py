"""Where the two API servers are, and how the kubelet proves who it is to each.

The host is reached with the pod's service-account token, which the host's kubelet replaces about every hour;
the virtual cluster with a client certificate of our own. Both are re-read from their files as they change.
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Protocol

TOKEN_MAX_AGE = 60.0
"""Seconds after which the token file is read again; client-go's value."""


class Endpoint(Protocol):
    """An API server and the credentials for it."""

    @property
    def name(self) -> str:
        """Which API server it is, for metrics: `host` or `virtual`."""

    @property
    def host(self) -> str:
        """Address or DNS name."""

    @property
    def port(self) -> int:
        """TCP port."""

    def ssl_context(self) -> ssl.SSLContext:
        """The context for new connections; another object after the files changed."""

    def token(self) -> str | None:
        """The bearer token for the next request, None with a client certificate."""

    def refresh(self) -> None:
        """Reads the credentials again at the next use: called on 401."""


def base_url(endpoint: Endpoint) -> str:
    """`https://host:port`, with brackets around an IPv6 address."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"https://{host}:{endpoint.port}"


def client_context(ca_file: Path) -> ssl.SSLContext:
    """A context that trusts one CA alone and speaks HTTP/1.1."""
    context = ssl.create_default_context(cafile=str(ca_file))
    # Python >= 3.13 refuses CAs without a keyUsage or key identifiers, which Go, and so Kubernetes, accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


class _ReloadedContext:
    """An SSLContext that is made anew when one of its files has changed."""

    def __init__(self, ca_file: Path, certificate: tuple[Path, Path] | None = None) -> None:
        self._ca_file = ca_file
        self._certificate = certificate
        self._stamp: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        files = (self._ca_file, *(self._certificate or ()))
        stamp = tuple(value for file in files for value in _stamp(file))
        if self._context is None or stamp != self._stamp:
            context = client_context(self._ca_file)
            if self._certificate:
                context.load_cert_chain(*self._certificate)
            self._context, self._stamp = context, stamp
        return self._context

    def forget(self) -> None:
        self._stamp = ()


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_ino


class _Address:
    """Where an API server is, and the context for new connections to it."""

    def __init__(self, host: str, port: int, context: _ReloadedContext) -> None:
        self.host = host
        self.port = port
        self._context = context

    def ssl_context(self) -> ssl.SSLContext:
        """The context for new connections."""
        return self._context.get()


class HostEndpoint(_Address):
    """The host's API server, with a mounted service-account token.

    Args:
        host: KUBERNETES_SERVICE_HOST.
        port: KUBERNETES_SERVICE_PORT.
        directory: Holds `token` and `ca.crt`.
    """

    name = "host"

    def __init__(self, host: str, port: int, directory: Path) -> None:
        super().__init__(host, port, _ReloadedContext(directory / "ca.crt"))
        self._token_file = directory / "token"
        self._token = ""
        self._read_at = float("-inf")

    def token(self) -> str | None:
        """The token, at most a minute old."""
        if time.monotonic() - self._read_at > TOKEN_MAX_AGE:
            self._token = self._token_file.read_text().strip()
            self._read_at = time.monotonic()
        return self._token

    def refresh(self) -> None:
        """Reads the token file at the next use."""
        self._read_at = float("-inf")


class VirtualEndpoint(_Address):
    """The virtual cluster's API server, with a client certificate.

    Args:
        host: ClusterIP of the API Service.
        port: Its port.
        ca_file: The server CA.
        certificate: Files of the client certificate and its key; replaced in place on renewal.
    """

    name = "virtual"

    def __init__(self, host: str, port: int, ca_file: Path, certificate: tuple[Path, Path]) -> None:
        super().__init__(host, port, _ReloadedContext(ca_file, certificate))

    def token(self) -> str | None:
        """None: the certificate says who we are."""
        return None

    def refresh(self) -> None:
        """Reads the certificate again at the next use."""
        self._context.forget()
