"""/livez and /readyz for the host's probes and /metrics for its Prometheus, over plain HTTP.

The cluster's NetworkPolicies let nobody in but the node's own probes; who scrapes opens the port with a
policy of his own (docs/architecture.md). Tenants cannot reach it: they have /metrics of each Node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from k3k_kubelet import metrics

_HEAD_SECONDS = 5.0
_TEXT = "text/plain; charset=utf-8"


class Health:
    """Answers GET /livez with 200 as long as the event loop turns, /readyz when ready, and /metrics.

    Args:
        port: Port, on all addresses.
        ready: Says what is missing, `""` for nothing.
    """

    def __init__(self, port: int, ready: Callable[[], str]) -> None:
        self._port = port
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._serve, None, self._port, limit=8192)

    async def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection; probes ask for no more."""
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            path = [*head.split(b" ", 2), b""][1].split(b"?", 1)[0]
            code, body, content_type = self._answer(path)
            lines = (
                f"HTTP/1.1 {code}",
                f"Content-Type: {content_type}",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write("\r\n".join((*lines, "", "")).encode() + body)
            await writer.drain()
        writer.close()

    def _answer(self, path: bytes) -> tuple[str, bytes, str]:
        """Status line, body and content type."""
        if path == b"/livez":
            return "200 OK", b"ok\n", _TEXT
        if path == b"/readyz":
            missing = self._ready()
            if missing:
                return "503 Service Unavailable", f"{missing}\n".encode(), _TEXT
            return "200 OK", b"ok\n", _TEXT
        if path == b"/metrics":
            return "200 OK", metrics.exposition(), metrics.CONTENT_TYPE
        return "404 Not Found", b"not found\n", _TEXT
