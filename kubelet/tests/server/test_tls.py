"""The TLS stream alone, against blocking sockets: nothing is lost, whoever ends first."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

import pytest
from k3k_kubelet.server import tls
from k3k_kubelet.server.tls import TlsStream

from kubelet.tests.server import peers
from kubelet.tests.server.conftest import Run

Serve = Callable[[TlsStream], Awaitable[None]]


def client_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "serving-ca.crt"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def blocking_client(folder: Path, port: int) -> ssl.SSLSocket:
    plain = socket.create_connection((peers.ADDRESS, port))
    return client_context(folder).wrap_socket(plain, server_hostname=peers.ADDRESS)


async def with_server(folder: Path, serve: Serve, client: Callable[[int], None]) -> None:
    """Runs `client` in a thread against a server whose connections `serve` gets, and waits for both."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "serving.crt", folder / "serving.key")
    context.num_tickets = 0  # a client that closes with an unread ticket resets the connection
    loop = asyncio.get_running_loop()
    served: list[asyncio.Future[None]] = []

    async def run(stream: TlsStream) -> None:
        try:
            await stream.handshake()
            await serve(stream)
        finally:
            stream.abort()

    def accepted(stream: TlsStream) -> None:
        served.append(asyncio.ensure_future(run(stream)))

    server = await loop.create_server(lambda: TlsStream(context, accepted=accepted), peers.ADDRESS, 0)
    try:
        await asyncio.to_thread(client, server.sockets[0].getsockname()[1])
        await asyncio.gather(*served)
    finally:
        server.close()


def test_a_peer_that_still_sends_gets_everything(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `yes | kubectl exec -i pod -- head`: a plain close would reset the connection, and data with it."""
    monkeypatch.setattr(tls, "SHUTDOWN_SECONDS", 60.0)
    output = os.urandom(2_000_000)

    async def serve(stream: TlsStream) -> None:
        for start in range(0, len(output), 10_000):
            stream.write(output[start : start + 10_000])
            await stream.drain()
        await stream.close()

    async def test(folder: Path) -> None:
        got = bytearray()

        def client(port: int) -> None:
            connection = blocking_client(folder, port)

            def send() -> None:
                try:
                    while True:
                        connection.sendall(bytes(16384))
                except OSError:
                    pass  # closed below

            sender = threading.Thread(target=send)
            sender.start()
            while data := connection.recv(65536):
                got.extend(data)
            connection.shutdown(socket.SHUT_RDWR)
            sender.join()
            connection.close()

        await with_server(folder, serve, client)
        assert sha256(got).digest() == sha256(output).digest()

    run(test)


def test_what_came_before_the_end_can_be_read_after_it(run: Run) -> None:
    """The peer has closed long before a slow reader reads on."""
    sent = os.urandom(tls.HELD_BYTES * 3)
    gone = threading.Event()

    async def serve(stream: TlsStream) -> None:
        received = await stream.read(1000)
        await asyncio.to_thread(gone.wait)
        while data := await stream.read(1000):
            received += data
        assert sha256(received).digest() == sha256(sent).digest()
        assert await stream.read() == b""

    async def test(folder: Path) -> None:
        gone.clear()

        def client(port: int) -> None:
            with blocking_client(folder, port) as connection:
                connection.sendall(sent)
            gone.set()

        await with_server(folder, serve, client)

    run(test)


def test_an_end_without_notification_is_an_end_too(run: Run) -> None:
    async def serve(stream: TlsStream) -> None:
        received = b""
        while data := await stream.read():
            received += data
        assert received == b"cut off"

    async def test(folder: Path) -> None:
        def client(port: int) -> None:
            connection = blocking_client(folder, port)
            connection.sendall(b"cut off")
            os.close(connection.detach())

        await with_server(folder, serve, client)

    run(test)


def test_garbage_is_an_error(run: Run) -> None:
    async def serve(stream: TlsStream) -> None:
        assert await stream.read() == b"good"
        stream.write(b"x")
        with pytest.raises(ssl.SSLError):
            await stream.read()
        assert await stream.read() == b""

    async def test(folder: Path) -> None:
        def client(port: int) -> None:
            connection = blocking_client(folder, port)
            connection.sendall(b"good")
            assert connection.recv(1) == b"x"
            plain = socket.socket(fileno=connection.detach())
            plain.sendall(b"this is no TLS record at all")
            plain.recv(1000)
            plain.close()

        await with_server(folder, serve, client)

    run(test)


def test_who_does_not_shake_hands_is_dropped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.2)

    async def serve(_: TlsStream) -> None:
        raise AssertionError("the handshake did not take place")

    async def test(folder: Path) -> None:
        def client(port: int) -> None:
            with socket.create_connection((peers.ADDRESS, port)) as silent:
                assert silent.recv(1) == b""

        with pytest.raises(TimeoutError):
            await with_server(folder, serve, client)

    run(test)


def test_a_reader_that_takes_nothing_ends_the_flush(run: Run) -> None:
    done = threading.Event()

    async def serve(stream: TlsStream) -> None:
        stream.write(bytes(16_000_000))
        with pytest.raises(TimeoutError):
            await stream.flush(0.2)
        done.set()

    async def test(folder: Path) -> None:
        done.clear()

        def client(port: int) -> None:
            with blocking_client(folder, port):
                done.wait()

        await with_server(folder, serve, client)

    run(test)


async def write_for_ever(stream: TlsStream) -> None:
    while True:
        stream.write(bytes(100_000))
        await stream.drain()


def test_writing_to_a_lost_connection_is_an_error(run: Run) -> None:
    async def serve(stream: TlsStream) -> None:
        with pytest.raises(ConnectionResetError):
            await write_for_ever(stream)
        with pytest.raises(ConnectionResetError):
            stream.write(b"more")
        await stream.close()

    async def test(folder: Path) -> None:
        def client(port: int) -> None:
            blocking_client(folder, port).close()

        await with_server(folder, serve, client)

    run(test)


def test_a_server_that_is_somebody_else_is_not_talked_to(run: Run) -> None:
    async def serve(_: TlsStream) -> None:
        raise AssertionError("the client went on")

    async def test(folder: Path) -> None:
        outcome: list[str] = []

        def client(port: int) -> None:
            async def connect() -> None:
                try:
                    await tls.connect("localhost", port, client_context(folder))
                except ssl.SSLCertVerificationError as error:
                    outcome.append(error.verify_message)

            asyncio.run(connect())

        with pytest.raises(ssl.SSLError):
            await with_server(folder, serve, client)
        assert outcome == ["Hostname mismatch, certificate is not valid for 'localhost'."]

    run(test)
