"""Asking an API server whether it is ready: one that is the tenant's may answer whatever it likes."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from k3k_pulumi import endpoint
from k3k_pulumi.endpoint import UnreachableError, wait_until_ready
from tests.e2e.support.certificates import serving

NAME = "kubernetes.default.svc"
Answer = Callable[[ssl.SSLSocket], None]


def say(text: str, status: str = "503 Service Unavailable") -> Answer:
    """Answers with a status and a body."""
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def forever(first: bytes, again: bytes) -> Answer:
    """Begins an answer and never ends it: each packet comes long before a socket's own time-out."""

    def answer(connection: ssl.SSLSocket) -> None:
        connection.sendall(first)
        with contextlib.suppress(OSError):  # until the client has gone
            connection.settimeout(0.05)
            while True:
                connection.sendall(again)
                with contextlib.suppress(TimeoutError):
                    connection.recv(1)

    return answer


def silence(connection: ssl.SSLSocket) -> None:
    """Answers nothing until the client has gone."""
    connection.recv(1)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], str]]:
    """Starts an API server that gives each request an answer; a kubeconfig for it.

    It is asked once in most tests, and may take its time on a busy machine.
    """
    monkeypatch.setattr(endpoint, "CONNECT_TIMEOUT", 60.0)
    monkeypatch.setattr(endpoint, "REQUEST_TIMEOUT", 60.0)
    pair = serving(NAME)
    file = tmp_path / "server.pem"
    file.write_text(pair.certificate + pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(answer: Answer) -> str:
        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener is closed in the end
                while True:
                    plain, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
                        tls.recv(4096)
                        answer(tls)

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        user = {"client-certificate-data": encoded(pair.certificate), "client-key-data": encoded(pair.key)}
        cluster = {
            "server": f"https://127.0.0.1:{listener.getsockname()[1]}",
            "tls-server-name": NAME,
            "certificate-authority-data": encoded(pair.certificate),
        }
        return json.dumps({"clusters": [{"cluster": cluster}], "users": [{"user": user}]})

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_one_that_says_200_is_ready_whatever_it_says_beside(server: Callable[[Answer], str]) -> None:
    wait_until_ready(server(say("x" * 10, "200 OK")), 60.0)


def test_what_it_says_is_one_line_that_does_nothing(server: Callable[[Answer], str]) -> None:
    kubeconfig = server(say("[-]etcd failed\n\x1b[2Jerror: forged\n##vso[task.setvariable]" + "x" * 999))
    with pytest.raises(UnreachableError) as told:
        wait_until_ready(kubeconfig, 0.0)
    text = str(told.value)
    assert text.isprintable()
    assert r"503 [-]etcd failed \x1b[2Jerror: forged # #vso[task.setvariable]xxx" in text
    assert len(text) < 700


def test_so_is_what_is_no_answer(server: Callable[[Answer], str]) -> None:
    kubeconfig = server(lambda connection: connection.sendall(b"\x1b[2J##vso[a]" + b"y" * 9000 + b"\r\n\r\n"))
    with pytest.raises(UnreachableError, match="# #vso") as told:
        wait_until_ready(kubeconfig, 0.0)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 700


@pytest.mark.parametrize(
    "answer",
    [
        forever(b"HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\n", b"x"),
        forever(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        forever(b"HTTP/1.1 503 No\r\n", b"X-More: y\r\n"),
    ],
    ids=["body", "100 Continue", "headers"],
)
def test_it_gets_no_more_than_its_time(
    server: Callable[[Answer], str], answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REQUEST_TIMEOUT", 1.0)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="no whole answer within 1 s"):
        wait_until_ready(server(answer), 0.0)
    assert time.monotonic() - began < 30.0  # a busy machine's; without a limit it never ends


def test_one_that_says_nothing_has_no_other_reason_when_the_timer_is_late(
    server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REQUEST_TIMEOUT", 1.0)
    monkeypatch.setattr(endpoint, "_cut_off", lambda *_: contextlib.nullcontext())
    with pytest.raises(UnreachableError, match="no whole answer within 1 s"):
        wait_until_ready(server(silence), 0.0)
