"""A proxy in front of a real API server that does what networks and overloaded servers do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from kubelet.tests.controlplane import ADDRESS, ControlPlane, free_ports
from kubelet.tests.waiting import SECONDS, eventually

_HOP = frozenset(
    {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}
)


class Seen(NamedTuple):
    """A request that has been answered, or cut off with the code 0."""

    at: float
    method: str
    path: str
    code: int

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something: neither read nor question."""
        return self.method != "GET" and "reviews" not in self.path


@dataclass(eq=False)
class Watch:
    """A watch that is going on."""

    path: str
    transport: asyncio.Transport
    tear: bool = False
    """Half of the next chunk is passed on, then the connection is cut."""
    stalled: bool = False
    """Nothing is passed on any more, and nobody is told."""
    beats: bool = False
    """Then empty lines are, in place of what a server sends each minute to show that it is there."""


Answer = Callable[["Proxy", web.Request], Awaitable[web.StreamResponse]]


@dataclass(eq=False)
class Fault:
    """What happens to requests.

    Attributes:
        answer: Instead of passing them on.
        applies: To which of them, by their head and body.
        times: To how many of them, without end by default.
    """

    answer: Answer
    applies: Callable[[web.Request, bytes], bool] = field(default=lambda _, __: True)
    times: float = float("inf")
    hits: int = 0
    """How many it was so far."""


class Proxy:
    """Passes requests on to an API server, until told otherwise.

    Args:
        plane: The API server.
        as_admin: Passes them on as the administrator: for clients with certificates, which end here.
    """

    def __init__(self, plane: ControlPlane, *, as_admin: bool) -> None:
        self.port = free_ports(1)[0]
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.watches: set[Watch] = set()
        self._target = f"https://{ADDRESS}:{plane.port}"
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(plane.pki / "apiserver.crt", plane.pki / "apiserver.key")
        self._upstream = ssl.create_default_context(cafile=str(plane.pki / "server-ca.crt"))
        if as_admin:
            self._upstream.load_cert_chain(plane.pki / "admin.crt", plane.pki / "admin.key")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.listen()

    def close(self) -> None:
        """Ends it."""
        self.refuse()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self) -> None:
        """Accepts connections."""
        self._call(self._listen())

    def refuse(self) -> None:
        """Cuts all connections and refuses new ones."""
        self._call(self._refuse())

    def cut_watches(self, *, in_mid_line: bool = False) -> None:
        """Cuts the watches that are going on: at once, or in the middle of what they tell next."""
        for watch in list(self.watches):
            if in_mid_line:
                watch.tear = True
            else:
                self._loop.call_soon_threadsafe(watch.transport.abort)

    def stall_watches(self, plural: str, *, beats: bool = False) -> None:
        """Has the watches of a resource tell nothing any more; with `beats` they seem to live."""
        for watch in list(self.watches):
            if watch.path.endswith(f"/{plural}"):
                watch.stalled, watch.beats = True, beats

    @contextlib.contextmanager
    def broken(self, answer: Answer, **rest: Any) -> Iterator[Fault]:
        """Has a fault while the context lasts."""
        fault = Fault(answer, **rest)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def writes(self, after: float = 0.0) -> list[Seen]:
        """What was written (successfully or not) after a time of the monotonic clock."""
        return [each for each in list(self.seen) if each.is_write and each.at >= after]

    async def forward(self, request: web.Request) -> aiohttp.ClientResponse:
        """The API server's answer, its body not read yet."""
        assert self._session is not None
        return await self._session.request(
            request.method,
            self._target + request.raw_path,
            headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP},
            data=await request.read() or None,
            ssl=self._upstream,
            allow_redirects=False,
        )

    async def _listen(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
                timeout=aiohttp.ClientTimeout(),
                connector=aiohttp.TCPConnector(limit=0),
            )
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.01, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, self.port, ssl_context=self._context).start()

    async def _refuse(self) -> None:
        if self._runner is not None:
            for watch in list(self.watches):
                watch.transport.abort()
            await self._runner.cleanup()
            self._runner = None

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, work: Any) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(SECONDS)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        code, at = 0, time.monotonic()
        try:
            body = await request.read()
            faults = (each for each in self.faults if each.times > each.hits and each.applies(request, body))
            fault = next(faults, None)
            if fault is not None:
                fault.hits += 1
                response = await fault.answer(self, request)
            else:
                response = await self._pass_on(request)
            code = response.status
            return response
        finally:
            self.seen.append(Seen(at, request.method, request.path, code))

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = await self.forward(request)
        except aiohttp.ClientError:  # the API server is away: so are we
            abort(request)
            return web.Response(status=502)
        async with answer:
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):  # the client has gone
                await response.prepare(request)
                async for chunk in self._chunks(request, answer):
                    await response.write(chunk)
                await response.write_eof()
            return response

    async def _chunks(self, request: web.Request, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        if not is_watch(request):
            yield await answer.read()
            return
        assert request.transport is not None
        watch = Watch(request.path, request.transport)  # type: ignore[arg-type]
        self.watches.add(watch)
        try:
            async for chunk in answer.content.iter_any():
                if watch.stalled:
                    if watch.beats:
                        yield b"\n"
                    continue
                if watch.tear:
                    yield chunk[: len(chunk) // 2]
                    abort(request)
                    return
                yield chunk
        finally:
            self.watches.discard(watch)


async def stall(server: Proxy, *plurals: str, count: int = 1) -> None:
    """From now on nothing is told of these, by none of so many watches of each; each begins by itself."""

    def watched() -> bool:
        found = Counter(watch.path.rpartition("/")[2] for watch in list(server.watches))
        return all(found[plural] >= count for plural in plurals)

    await eventually(watched)
    for plural in plurals:
        server.stall_watches(plural)


def is_watch(request: web.Request, _: bytes = b"") -> bool:
    """Whether a request is a watch."""
    return request.query.get("watch") == "true"


def is_write(request: web.Request, _: bytes = b"") -> bool:
    """Whether a request may change something."""
    return request.method != "GET"


def abort(request: web.Request) -> None:
    """Cuts the connection."""
    if request.transport is not None:
        request.transport.abort()


def status(code: int, reason: str, **headers: str) -> Answer:
    """Answers with a Status and passes nothing on."""

    async def answer(_: Proxy, __: web.Request) -> web.StreamResponse:
        return web.json_response(_status(code, reason), status=code, headers=headers)

    return answer


def page(code: int) -> Answer:
    """Answers with a page of a load balancer, and not with anything of Kubernetes'."""

    async def answer(_: Proxy, __: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text="<html>upstream away</html>", content_type="text/html")

    return answer


def said(answer: Any) -> Answer:
    """Answers with 200 and this JSON, as a server that is none of Kubernetes' does."""

    async def answer_(_: Proxy, __: web.Request) -> web.StreamResponse:
        return _line(answer)

    return answer_


def error_event(code: int, reason: str) -> Answer:
    """Answers a watch with 200 and an ERROR event."""

    async def answer(_: Proxy, __: web.Request) -> web.StreamResponse:
        return _line({"type": "ERROR", "object": _status(code, reason)})

    return answer


def swallowed(code: int) -> Answer:
    """Passes requests on, and then says that they failed: writes have taken place."""

    async def answer(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        async with await proxy.forward(request) as real:
            await real.read()
        return web.json_response(_status(code, "Timeout"), status=code)

    return answer


def slow(seconds: float) -> Answer:
    """Passes requests on late."""

    async def answer(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await proxy._pass_on(request)

    return answer


def held(until: threading.Event) -> Answer:
    """Passes requests on when the event is set."""

    async def answer(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        while not until.is_set():  # noqa: ASYNC110 - by another thread
            await asyncio.sleep(0.05)
        return await proxy._pass_on(request)

    return answer


def truncated(*, announced: bool) -> Answer:
    """Passes requests on, and half of their answers back.

    Args:
        announced: Whether the answer's length is told before, so that its end can be missed.
    """

    async def answer(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        async with await proxy.forward(request) as real:
            body = await real.read()
        assert request.transport is not None
        length = f"Content-Length: {len(body)}" if announced else "Connection: close"
        head = f"HTTP/1.1 {real.status} OK\r\nContent-Type: application/json\r\n{length}\r\n\r\n".encode()
        request.transport.write(head + body[: len(body) // 2])  # type: ignore[attr-defined]
        request.transport.close()
        raise asyncio.CancelledError

    return answer


def _line(answer: Any) -> web.Response:
    """A line, as all events of a watch are: without its end it would be none."""
    return web.Response(text=f"{json.dumps(answer)}\n", content_type="application/json")


def _status(code: int, reason: str) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return {**status, "message": f"{reason}, says the proxy"}
