"""When a node's pods have their network, as kube-proxy tells it."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import datapath
from devcluster.config import Instance

HERE = "127.0.0.1"
ONE, BOTH = (Instance("it", 1, 1, ipv6=ipv6).families for ipv6 in (False, True))


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers as its server has it."""

    def do_GET(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with http.server.ThreadingHTTPServer((HERE, 0), Proxy) as server:
        monkeypatch.setattr(datapath, "HEALTH_PORT", server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "families", "one", "both"),
    [
        (200, [], False, False),
        (200, ["IPv4"], True, False),
        (200, ["IPv4", "IPv6"], True, True),
        (503, ["IPv4", "IPv6"], False, False),
    ],
    ids=["none was written yet", "of one family", "of both", "unhealthy"],
)
def test_the_rules_of_each_family_are_written(
    proxy: Any, status: int, families: list[str], one: bool, both: bool
) -> None:
    written = {"status": dict.fromkeys(families, True)} if families else {}
    proxy.answer = status, {"healthy": status == 200, **written}
    assert datapath._has_rules(HERE, ONE) is one
    assert datapath._has_rules(HERE, BOTH) is both


def test_a_proxy_that_does_not_run_yet_has_written_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:  # nobody listens, and nobody else gets the port
        bound.bind((HERE, 0))
        monkeypatch.setattr(datapath, "HEALTH_PORT", bound.getsockname()[1])
        assert not datapath._has_rules(HERE, ONE)
