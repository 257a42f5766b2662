"""Logs: an answer that goes one way."""

from __future__ import annotations

from pathlib import Path

import pytest
from k3k_kubelet.server import PodRef

from kubelet.tests.server import peers
from kubelet.tests.server.conftest import Run
from kubelet.tests.server.peers import HOST_NAME, Answer, Reader, Received, Writer, head, running
from kubelet.tests.waiting import eventually

LOGS = "GET /containerLogs/default/web/main"


def test_a_log_is_passed_on_as_it_comes(run: Run) -> None:
    body = b"6\r\nline 1\r\n7\r\n\nline 2\r\n0\r\n\r\n"

    async def host(_: Received, __: Reader, writer: Writer) -> None:
        await peers.write(
            writer,
            "HTTP/1.1 200 OK",
            "Content-Type: text/plain",
            "Transfer-Encoding: chunked",
            "Audit-Id: 1",
            body=body,
        )

    async def test(folder: Path) -> None:
        async with running(folder, host) as setup:
            answer = await setup.ask(LOGS + "?follow=true&tailLines=10&bad=1", "Authorization: Bearer x")
            assert answer.code == 200
            assert answer.body == body
            assert answer.headers == {
                "content-type": ["text/plain"],
                "transfer-encoding": ["chunked"],
                "connection": ["close"],
            }
            (request,) = setup.received
            assert request.line == (
                f"GET /api/v1/namespaces/tenant/pods/{HOST_NAME}/log"
                "?follow=true&tailLines=10&container=main HTTP/1.1"
            )
            assert request.all("connection") == ["close"]
            assert request.all("authorization") == ["Bearer own-token"]

    run(test)


def test_nothing_after_a_request_for_a_log_reaches_the_host(run: Run) -> None:
    """Else it would be a request of the kubelet's own, with its rights, to whatever reads that connection."""
    smuggled = head("GET /api/v1/namespaces/tenant/secrets")
    heard: list[bytes] = []

    async def host(_: Received, reader: Reader, writer: Writer) -> None:
        await peers.write(writer, "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n")
        heard.append(await reader.read())

    async def test(folder: Path) -> None:
        heard.clear()
        async with running(folder, host) as setup:
            reader, writer = await setup.send(head(LOGS + "?follow=true") + smuggled)
            await Answer.read(reader)
            assert await reader.readexactly(6) == b"1\r\nx\r\n"
            writer.write(smuggled.encode())
            await writer.drain()
            writer.close()
            await eventually(lambda: heard == [b""])
            assert len(setup.received) == 1

    run(test)


def test_a_followed_log_ends_when_the_client_leaves(run: Run) -> None:
    left: list[bytes] = []

    async def host(_: Received, reader: Reader, writer: Writer) -> None:
        await peers.write(writer, "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n")
        left.append(await reader.read())

    async def test(folder: Path) -> None:
        left.clear()
        async with running(folder, host) as setup:
            reader, writer = await setup.send(head(LOGS + "?follow=true"))
            await Answer.read(reader)
            assert await reader.readexactly(6) == b"1\r\nx\r\n"
            writer.close()
            await eventually(lambda: left == [b""])

    run(test)


def test_a_pod_that_is_known_a_moment_later_is_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another replica has bound it, and the watch of this one has not told yet."""
    known, asked = peers._lookup, []

    def late(namespace: str, name: str) -> PodRef | None:
        asked.append(name)
        return known(namespace, name) if len(asked) > 3 else None

    async def host(_: Received, __: Reader, writer: Writer) -> None:
        await peers.write(writer, "HTTP/1.1 200 OK", "Content-Length: 2", body=b"ok")

    async def test(folder: Path) -> None:
        async with running(folder, host) as setup:
            assert (await setup.ask(LOGS)).body == b"ok"
            assert len(asked) == 4
            assert (await setup.ask(LOGS.replace("web", "nobody"))).code == 404

    monkeypatch.setattr(peers, "_lookup", late)
    run(test)
