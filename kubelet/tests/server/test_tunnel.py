"""Streams: what the host is asked, what passes between the two sides, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest
from k3k_kubelet.server import tunnel

from kubelet.tests.server import peers
from kubelet.tests.server.conftest import Run
from kubelet.tests.server.peers import HOST_NAME, Answer, Reader, Received, Writer, head, running, upgrade
from kubelet.tests.waiting import eventually

EXEC = "POST /exec/default/web/main?output=1&command=ls"
LOGS = "GET /containerLogs/default/web/main"


def test_the_host_is_asked_for_the_same_under_its_own_names(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            line = (
                "POST /exec/default/web/side%20car?input=1&tty=1&command=sh&command=&command=a%26b%20%2F&x=y"
            )
            reader, writer = await setup.send(
                upgrade(
                    line,
                    "X-Stream-Protocol-Version: v4.channel.k8s.io",
                    "X-Stream-Protocol-Version: v3.channel.k8s.io",
                    "Authorization: Bearer the-tenants",
                    "Impersonate-User: system:admin",
                    "X-Remote-User: admin",
                    "X-Forwarded-For: 10.0.0.1",
                    "Cookie: session=1",
                    "Content-Length: 0",
                    "Audit-ID: chosen",
                )
            )
            assert (await Answer.read(reader)).code == 101
            (request,) = setup.received
            assert request.line == (
                f"POST /api/v1/namespaces/tenant/pods/{HOST_NAME}/exec"
                "?stdin=true&tty=true&command=sh&command=&command=a%26b%20%2F&container=side%20car HTTP/1.1"
            )
            assert sorted(name.lower() for name, _ in request.headers) == [
                "authorization",
                "connection",
                "host",
                "upgrade",
                "user-agent",
                "x-stream-protocol-version",
                "x-stream-protocol-version",
            ]
            assert request.all("authorization") == ["Bearer own-token"]
            assert request.all("user-agent") == ["k3k-kubelet"]
            assert request.all("x-stream-protocol-version") == ["v4.channel.k8s.io", "v3.channel.k8s.io"]
            writer.close()

    run(test)


def test_a_websocket_keeps_its_headers_but_no_token(run: Run) -> None:
    async def host(_: Received, reader: Reader, writer: Writer) -> None:
        accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        await peers.write(writer, "HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade", accept)
        await reader.read()

    async def test(folder: Path) -> None:
        async with running(folder, host) as setup:
            token = "base64url.bearer.authorization.k8s.io.dG9rZW4"
            protocols = f"Sec-WebSocket-Protocol: {token}, v4.channel.k8s.io"
            line = "GET /attach/default/web/uid-1/main?output=1&error=1"
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            reader, writer = await setup.send(upgrade(line, protocols, key, protocol="websocket"))
            answer = await Answer.read(reader)
            assert answer.headers["sec-websocket-accept"] == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
            (request,) = setup.received
            assert request.line.startswith(
                f"GET /api/v1/namespaces/tenant/pods/{HOST_NAME}/attach?stdout=true"
            )
            assert request.all("sec-websocket-protocol") == ["v4.channel.k8s.io"]
            assert request.all("sec-websocket-key") == ["dGhlIHNhbXBsZSBub25jZQ=="]
            writer.close()

    run(test)


def test_bytes_that_follow_a_head_at_once_are_not_lost(run: Run) -> None:
    async def host(_: Received, reader: Reader, writer: Writer) -> None:
        await peers.switch(
            writer, "X-Stream-Protocol-Version: v4.channel.k8s.io", body=b"early from the host;"
        )
        writer.write(await reader.readexactly(len("early from the client")))
        await writer.drain()

    async def test(folder: Path) -> None:
        async with running(folder, host) as setup:
            reader, writer = await setup.send(upgrade(EXEC) + "early from the client")
            answer = await Answer.read(reader, whole=True)
            assert answer.code == 101
            assert answer.headers["x-stream-protocol-version"] == ["v4.channel.k8s.io"]
            assert answer.body == b"early from the host;early from the client"
            writer.close()

    run(test)


def test_megabytes_pass_unchanged_in_both_directions(run: Run) -> None:
    async def test(folder: Path) -> None:
        data = os.urandom(3 * 1024 * 1024 + 17)
        async with running(folder, peers.echo) as setup:
            reader, writer = await setup.send(upgrade(EXEC))
            assert (await Answer.read(reader)).code == 101
            sending = asyncio.create_task(_send(writer, data))
            back = await reader.readexactly(len(data))
            await sending
            assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
            writer.close()

    run(test)


async def _send(writer: Writer, data: bytes) -> None:
    for start in range(0, len(data), 50_000):
        writer.write(data[start : start + 50_000])
        await writer.drain()


def test_a_client_that_does_not_read_stops_the_host(run: Run) -> None:
    """The host can send no more than the buffers between them hold; all of it arrives in the end."""
    total = 64 * 1024 * 1024

    async def test(folder: Path) -> None:
        sent, blocked = 0, asyncio.Event()

        async def host(_: Received, __: Reader, writer: Writer) -> None:
            nonlocal sent
            await peers.switch(writer)
            while sent < total:
                writer.write(bytes(65536))
                sent += 65536
                try:
                    async with asyncio.timeout(None if blocked.is_set() else 0.5):
                        await writer.drain()
                except TimeoutError:
                    blocked.set()
                    await writer.drain()

        async with running(folder, host) as setup:
            client = await asyncio.to_thread(setup.blocking_client, upgrade(EXEC))
            await blocked.wait()
            assert sent < total // 2
            assert await asyncio.to_thread(peers.read_all, client) == total

    run(test)


def test_the_end_of_one_side_is_the_end_of_the_other(run: Run) -> None:
    ended: list[bytes] = []

    async def host(request: Received, reader: Reader, writer: Writer) -> None:
        await peers.switch(writer, body=b"last words")
        if "stdin" in request.line:
            ended.append(await reader.read())

    async def test(folder: Path) -> None:
        ended.clear()
        async with running(folder, host) as setup:
            reader, writer = await setup.send(upgrade(EXEC))
            assert (await Answer.read(reader, whole=True)).body == b"last words"
            writer.close()
            reader, writer = await setup.send(upgrade(EXEC.replace("output", "input")))
            await Answer.read(reader)
            writer.write(b"typed")
            writer.close()
            await eventually(lambda: ended == [b"typed"])

    run(test)


def test_a_stream_on_which_nothing_moves_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(tunnel, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def test(folder: Path) -> None:
        async with running(folder, peers.echo, idle_seconds=0.1) as setup:
            reader, writer = await setup.send(upgrade(EXEC))
            await Answer.read(reader)
            for _ in range(5):  # longer than the limit altogether, never so in between
                now[0] += 0.08
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):  # in which the limit is looked at
                        await reader.read()
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            end = asyncio.create_task(reader.read())
            while not end.done():
                now[0] += 0.1
                await asyncio.sleep(0.05)
            assert await end == b""
            writer.close()

    run(test)


def test_port_forward_takes_no_container(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            for line in ("POST /portForward/default/web", "GET /portForward/default/web/uid-1?port=80,8080"):
                reader, writer = await setup.send(upgrade(line))
                assert (await Answer.read(reader)).code == 101
                writer.close()
            path = f"/api/v1/namespaces/tenant/pods/{HOST_NAME}/portforward"
            assert [request.line for request in setup.received] == [
                f"POST {path} HTTP/1.1",
                f"GET {path}?ports=80&ports=8080 HTTP/1.1",
            ]

    run(test)


@pytest.mark.parametrize(
    ("upgrades", "code"),
    [("h2c", 400), ("tcp", 400), ("SPDY/3.1, websocket", 400), ("SPDY/3.1\r\nUpgrade: websocket", 101)],
)
def test_only_the_known_upgrades_pass_and_only_one(run: Run, upgrades: str, code: int) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            reader, writer = await setup.send(upgrade(EXEC, protocol=upgrades))
            assert (await Answer.read(reader)).code == code
            assert [request.all("upgrade") for request in setup.received] == [["SPDY/3.1"]] * (code == 101)
            writer.close()

    run(test)


def test_connection_options_of_the_client_are_not_ours(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            options = "Connection: keep-alive, Upgrade, Authorization, X-Forwarded-For"
            reader, writer = await setup.send(head(EXEC, options, "Upgrade: spdy/3.1"))
            answer = await Answer.read(reader)
            assert answer.headers["connection"] == ["Upgrade"]
            (request,) = setup.received
            assert request.all("connection") == ["Upgrade"]
            assert request.all("upgrade") == ["SPDY/3.1"]
            writer.close()

    run(test)


WAITING = f'container "main" in pod "{HOST_NAME}" is waiting to start: ContainerCreating'
FORBIDDEN = (
    'pods "x" is forbidden: User "system:serviceaccount:cp:c-kubelet" cannot create resource "pods/exec"'
)


@pytest.mark.parametrize(
    ("host_code", "message", "code", "seen"),
    [
        (400, WAITING, 400, WAITING.replace(HOST_NAME, "web")),
        (404, f'pods "{HOST_NAME}" not found', 404, 'pods "web" not found'),
        (403, FORBIDDEN, 500, "the host refused the request; the virtual kubelet's log says why"),
        (500, "error dialing backend", 500, "error dialing backend"),
    ],
)
def test_the_hosts_errors_have_virtual_names(
    run: Run, host_code: int, message: str, code: int, seen: str
) -> None:
    body = json.dumps({"kind": "Status", "status": "Failure", "code": host_code, "message": message}).encode()

    async def test(folder: Path) -> None:
        async with running(folder, peers.answering(host_code, body)) as setup:
            log = await setup.ask(LOGS)
            assert (log.code, log.body.decode()) == (code, seen)
            assert log.headers["content-type"] == ["text/plain"]
            reader, writer = await setup.send(upgrade(EXEC))
            refused = await Answer.read(reader, whole=True)
            assert (refused.code, refused.status["message"]) == (code, seen)
            assert HOST_NAME not in refused.body.decode()
            writer.close()

    run(test)


def test_an_error_that_is_no_status_is_passed_as_text(run: Run) -> None:
    async def test(folder: Path) -> None:
        script = peers.answering(502, b"<html>bad gateway\n", "text/html")
        async with running(folder, script) as setup:
            log = await setup.ask(LOGS)
            assert (log.code, log.body) == (502, b"<html>bad gateway")

    run(test)


def test_an_answer_that_should_be_none_is_an_error(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.answering(200, b"{}")) as setup:
            reader, writer = await setup.send(upgrade(EXEC))
            assert (await Answer.read(reader, whole=True)).code == 500
            writer.close()

    run(test)


def test_a_refused_token_is_read_again_once(run: Run) -> None:
    async def host(request: Received, reader: Reader, writer: Writer) -> None:
        if request.all("authorization") == ["Bearer fresh"]:
            await peers.echo(request, reader, writer)
        else:
            await peers.answering(401, b"{}")(request, reader, writer)

    async def test(folder: Path) -> None:
        token = folder / "credentials" / "token"
        async with running(folder, host) as setup:
            reader, writer = await setup.send(upgrade(EXEC))
            refused = await Answer.read(reader, whole=True)
            assert refused.code == 500
            assert len(setup.received) == 2
            writer.close()
            token.write_text("fresh")
            try:
                reader, writer = await setup.send(upgrade(EXEC))
                assert (await Answer.read(reader)).code == 101
                writer.close()
            finally:
                token.write_text("own-token\n")

    run(test)


def test_a_host_that_is_gone_or_silent_is_said(run: Run) -> None:
    async def hang_up(_: Received, __: Reader, writer: Writer) -> None:
        writer.close()

    async def test(folder: Path) -> None:
        async with running(folder, hang_up) as setup:
            log = await setup.ask(LOGS)
            assert (log.code, log.body) == (
                503,
                b"the host's API server did not answer: it closed the connection",
            )
        async with running(folder, hang_up) as setup:
            setup.host.port = 1
            log = await setup.ask(LOGS)
            assert log.code == 503
            assert log.body.startswith(b"the host's API server cannot be reached: ")

    run(test)


def test_a_host_with_a_foreign_certificate_is_not_talked_to(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            context = ssl.create_default_context(cafile=str(folder / "foreign-ca.crt"))
            setup.host.ssl_context = lambda: context  # type: ignore[method-assign]
            log = await setup.ask(LOGS)
            assert log.code == 503
            assert b"certificate verify failed" in log.body
            assert setup.received == []

    run(test)
