"""Where a virtual cluster's API is reached, and whether it answers there."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k3k_pulumi.printable import printable

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec


POLL_SECONDS = 0.2
"""Between two questions to the API server."""
CONNECT_TIMEOUT, REQUEST_TIMEOUT = 1.0, 5.0
"""Seconds for the connection and one answer. A packet sent before the Service has its rules is lost, and TCP
repeats it only after a second or more."""
QUIET_SECONDS = 15.0
"""So long a wait is nothing to talk about."""
_SHOWN = 400
"""Characters of what an API server says."""
READY = ("/readyz", "/api/v1/namespaces/default/serviceaccounts/default")
"""The server's own word, and the account without which it refuses pods: its controllers make that later."""


class UnreachableError(TimeoutError):
    """The API server did not become ready in time; the text tells what was tried and what to look at."""


def endpoint(spec: VirtualClusterSpec, service: Mapping[str, Any]) -> str | None:
    """URL of the cluster's API as its Service exposes it.

    Args:
        spec: The cluster.
        service: The API Service as the host has it: `spec`, and `status` with the type LoadBalancer.

    Returns:
        The URL, or None as long as the host has not allocated what it is made of.
    """
    spec_of_service = service.get("spec") or {}
    port = (spec_of_service.get("ports") or [{}])[0]
    number = port.get("nodePort" if spec.expose.type == "NodePort" else "port")
    if spec.expose.type == "ClusterIP":
        host = spec_of_service.get("clusterIP")
    else:
        host = spec.expose.host or _balancer(service)
    if not host or not number:
        return None
    return f"https://[{host}]:{int(number)}" if ":" in host else f"https://{host}:{int(number)}"


def _balancer(service: Mapping[str, Any]) -> str | None:
    """Address of the load balancer, when the host has given one."""
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    ingress: Mapping[str, str] = (balancer.get("ingress") or [{}])[0]
    return ingress.get("ip") or ingress.get("hostname")


def wait_until_ready(kubeconfig: str, timeout: float, on_wait: Callable[[str], None] | None = None) -> None:
    """Asks the API server with the credentials of a kubeconfig until it is ready and would take a pod.

    Args:
        kubeconfig: As made by `kubeconfig.kubeconfig`: JSON, everything inline.
        timeout: Seconds.
        on_wait: Told in a long wait why there was no answer, at most once in `QUIET_SECONDS`, and again only
            when that has changed.

    Raises:
        UnreachableError: No answer 200 to one of `READY` in time.
    """
    target = _Target.of(kubeconfig)
    context = target.context()
    told, last = "", time.monotonic()
    deadline = last + timeout
    for path in READY:
        while (failure := _failure(target, context, path)) is not None:
            if on_wait and failure != told and time.monotonic() - last >= QUIET_SECONDS:
                on_wait(failure)
                told, last = failure, time.monotonic()
            if time.monotonic() + POLL_SECONDS > deadline:
                raise UnreachableError(
                    f"{target.url}{path} did not answer 200 within {timeout:g} s, asked from this machine; "
                    f"last: {failure}"
                )
            time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class _Target:
    """What a connection needs: all from the kubeconfig that users get."""

    url: str
    server_name: str
    ca_certificate: str
    certificate: str
    key: str

    @classmethod
    def of(cls, kubeconfig: str) -> _Target:
        document = json.loads(kubeconfig)
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        return cls(
            url=cluster["server"],
            server_name=cluster.get("tls-server-name") or _host_and_port(cluster["server"])[0],
            ca_certificate=_text(cluster["certificate-authority-data"]),
            certificate=_text(user["client-certificate-data"]),
            key=_text(user["client-key-data"]),
        )

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca_certificate)
        with tempfile.TemporaryDirectory(prefix="k3k-pulumi-") as folder:  # mode 0700; ssl takes files only
            pair = Path(folder, "client.pem")
            pair.write_text(self.certificate + self.key)
            context.load_cert_chain(pair)
        return context


def _failure(target: _Target, context: ssl.SSLContext, path: str) -> str | None:
    """Why the API server does not answer 200; None when it does.

    What answers is the tenant's as far as he has taken it over: it gets no more than its time, and what it
    says is made fit to be printed.
    """
    host, port = _host_and_port(target.url)
    connection = http.client.HTTPConnection(host, port)
    was_cut = threading.Event()
    try:
        plain = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT)
        plain.settimeout(REQUEST_TIMEOUT)
        # The name to check is not always the one to connect to, which HTTPSConnection takes for granted.
        connection.sock = context.wrap_socket(
            plain, server_hostname=target.server_name, do_handshake_on_connect=False
        )
        with _cut_off(connection.sock, was_cut):
            connection.sock.do_handshake()
            connection.request("GET", path)
            answer = connection.getresponse()
            is_ready = answer.status == http.HTTPStatus.OK
            body = "" if is_ready else answer.read(1000).decode(errors="replace")
    except TimeoutError:
        if connection.sock is None:
            return (
                "the connection timed out (is this machine's address within expose.source_cidrs? Through a "
                "node port, unless expose.external_traffic_policy is Local, the nodes' addresses have to be)"
            )
        was_cut.set()  # the socket's own limit of a silence may be over before the timer's thread has run
        why = ""
    except (OSError, http.client.HTTPException) as error:
        kind = "TLS: " if isinstance(error, ssl.SSLError) else ""
        why = kind + printable(str(error) or type(error).__name__, _SHOWN)
    else:
        if is_ready:
            return None
        why = f"{answer.status} {printable(body, _SHOWN)}"
    finally:
        connection.close()
    return f"no whole answer within {REQUEST_TIMEOUT:g} s" if was_cut.is_set() else why


@contextmanager
def _cut_off(connection: socket.socket, was_cut: threading.Event) -> Iterator[None]:
    """Ends a connection that is not done in `REQUEST_TIMEOUT`: the socket's own limit is for each packet."""

    def cut() -> None:
        was_cut.set()
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # TLS' own shutdown would talk

    timer = threading.Timer(REQUEST_TIMEOUT, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or 443


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
