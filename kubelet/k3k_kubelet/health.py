"""/livez and /readyz for the host's probes, over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

_HEAD_SECONDS = 5.0


class Health:
    """A server that answers GET /livez with 200 as long as the event loop turns, and /readyz when ready.

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
            code, text = self._answer(path)
            body = text.encode()
            lines = (
                f"HTTP/1.1 {code}",
                "Content-Type: text/plain; charset=utf-8",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write("\r\n".join((*lines, "", "")).encode() + body)
            await writer.drain()
        writer.close()

    def _answer(self, path: bytes) -> tuple[str, str]:
        if path == b"/livez":
            return "200 OK", "ok\n"
        if path == b"/readyz":
            missing = self._ready()
            return ("503 Service Unavailable", f"{missing}\n") if missing else ("200 OK", "ok\n")
        return "404 Not Found", "not found\n"
