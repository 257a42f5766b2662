"""The kubelet API over TLS: who is let in, what is answered here, and what limits hold."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from k3k_kubelet import certificates

from kubelet.tests.controlplane import free_ports
from kubelet.tests.server import peers
from kubelet.tests.server.conftest import Run
from kubelet.tests.server.peers import Answer, head, running

EXEC = "POST /exec/default/web/main?output=1&command=ls"


def test_nobody_is_refused(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            for path in ("/healthz", "/pods", "/exec/default/web/main?command=ls&output=1", "/nothing"):
                answer = await setup.ask(f"GET {path}", certificate=None)
                assert answer.code == 401
                assert answer.status["reason"] == "Unauthorized"
            answer = await setup.ask("GET /healthz", "Authorization: Basic Zm9vOmJhcg==", certificate=None)
            assert answer.code == 401
            assert setup.received == []

    run(test)


def test_a_certificate_of_a_foreign_ca_ends_the_handshake(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await setup.ask("GET /healthz", certificate="foreign")

    run(test)


def test_without_the_virtual_api_server_nobody_else_is_let_in(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            by_certificate = await setup.ask("GET /pods", certificate="somebody")
            by_token = await setup.ask("GET /pods", "Authorization: Bearer abc", certificate=None)
            assert (by_certificate.code, by_token.code) == (503, 503)
            assert by_token.status["message"].startswith("the API server could not be asked (TokenReview)")

    run(test)


def test_health(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            assert (await setup.ask("GET /healthz")).body == b"ok"
            assert (await setup.ask("GET /healthz/ping")).body == b"ok"

    run(test)


def test_a_connection_serves_several_requests(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            reader, writer = await setup.send(head("GET /healthz") + head("GET /pods"))
            first = await Answer.read(reader)
            assert await reader.readexactly(int(first.headers["content-length"][0])) == b"ok"
            second = await Answer.read(reader)
            assert second.code == 200
            assert b"PodList" in await reader.readexactly(int(second.headers["content-length"][0]))
            writer.close()

    run(test)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("GET /stats", 404, "the virtual kubelet does not serve /stats"),
        ("GET /metrics/cadvisor", 404, "the virtual kubelet does not serve /metrics/cadvisor"),
        ("GET /", 404, "the virtual kubelet does not serve /"),
        ("POST /pods", 405, "POST /pods: allowed is GET"),
        ("DELETE /exec/default/web/main", 405, "allowed is GET and POST"),
        ("GET http://elsewhere/healthz", 400, "must begin with /"),
        (EXEC, 400, "needs Connection: Upgrade, Upgrade: SPDY/3.1 or websocket"),
        ("POST /exec/default/gone/main?output=1&command=ls", 404, 'pod "gone" does not exist on this node'),
        ("POST /exec/default/web/other-uid/main?output=1&command=ls", 404, 'pod "web" does not exist'),
        ("POST /exec/other/web/main?output=1&command=ls", 404, 'pod "web" does not exist'),
        ("POST /exec/default/web/none?output=1&command=ls", 404, 'container "none" not found in pod "web"'),
        ("POST /exec/default/web%2F..%2Fx/main?output=1&command=ls", 404, "does not exist on this node"),
        ("GET /run/default/web/main", 404, "does not serve"),
    ],
)
def test_refusals(run: Run, line: str, code: int, message: str) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            answer = await setup.ask(line)
            assert answer.code == code
            assert message in answer.status["message"]
            assert answer.status["code"] == code
            assert setup.received == []

    run(test)


def test_a_pod_is_served_by_its_own_node_alone(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            reader, writer = await setup.send(peers.upgrade(EXEC), port=setup.other_port)
            assert (await Answer.read(reader)).code == 404
            assert setup.received == []
            writer.close()

    run(test)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 600_000 + b"\r\n\r\n", 431),
        (b"POST /pods HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_of_this_api(run: Run, sent: bytes, code: int) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            reader, writer = await setup.connect()
            writer.write(sent)
            answer = await Answer.read(reader)
            assert answer.code == code
            assert answer.headers["connection"] == ["close"]
            writer.close()

    run(test)


def test_a_head_that_never_ends_is_not_waited_for(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo, head_seconds=0.2) as setup:
            with contextlib.suppress(ConnectionError):  # a reset, where the time was over before it was read
                reader, writer = await setup.send("GET /healthz HTTP/1.1\r\n")
                assert await reader.read() == b""
                writer.close()

    run(test)


def test_more_streams_than_allowed_are_refused_until_one_ends(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo, tunnels=1) as setup:
            reader, writer = await setup.send(peers.upgrade(EXEC))
            assert (await Answer.read(reader)).code == 101
            second, other = await setup.send(peers.upgrade(EXEC))
            refused = await Answer.read(second, whole=True)
            assert refused.code == 503
            assert "1 streams open, its limit" in refused.status["message"]
            other.close()
            writer.close()

            async def admitted() -> bool:
                third, last = await setup.send(peers.upgrade(EXEC))
                code = (await Answer.read(third)).code
                last.close()
                return code == 101

            while not await admitted():
                pass

    run(test)


def test_more_connections_than_allowed_are_closed(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo, connections=1) as setup:
            reader, writer = await setup.send(peers.upgrade(EXEC))
            assert (await Answer.read(reader)).code == 101
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await setup.ask("GET /healthz")
            writer.close()

    run(test)


def test_closing_a_node_ends_its_streams_and_leaves_the_others(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:
            await setup.server.close("node-a")
            (setup.port,) = free_ports(1)  # nobody else gets it while it is closed
            await setup.server.listen("node-a", setup.port)
            reader, writer = await setup.send(peers.upgrade(EXEC))
            assert (await Answer.read(reader)).code == 101
            await setup.server.close("node-a")
            assert await reader.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await setup.connect()
            assert (await setup.ask("GET /healthz", port=setup.other_port)).code == 200
            again = await setup.server.listen("node-a", setup.port)
            assert again == setup.port
            assert (await setup.ask("GET /healthz")).code == 200
            writer.close()

    run(test)


def test_a_renewed_certificate_is_served_at_once(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, peers.echo) as setup:

            async def serial() -> str:
                _, writer = await setup.connect()
                writer.close()
                return str(writer.get_extra_info("peercert")["serialNumber"])

            first = await serial()
            (folder / "serving.json").unlink()
            spec = peers.leaf(folder, "serving", "serving-ca", "system:node:k3k-pulumi", "server")
            certificates.apply(certificates.Spec(certificates=(spec,)))
            assert await serial() == first
            setup.server.reload_tls()
            assert await serial() != first

    run(test)
