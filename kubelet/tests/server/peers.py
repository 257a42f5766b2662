"""The kubelet API between two scripted peers: a client that writes raw bytes, and a host API server."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k3k_kubelet import certificates
from k3k_kubelet.api import ApiClient, HostEndpoint
from k3k_kubelet.server import Access, KubeletServer, Limits, Pages, PodRef, TlsFiles

from kubelet.tests.usage.samples import usage_of, virtual_pod

ADDRESS = "127.0.0.1"
HOST_NAME = "web-default-abcdefghij234567"
POD = PodRef("default", "web", "uid-1", "node-a", frozenset({"main", "side car"}), "tenant", HOST_NAME)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Script = Callable[["Received", Reader, Writer], Awaitable[None]]


def make_files(folder: Path) -> None:
    """CAs `host-ca`, `serving-ca`, `client-ca`, leaves of them, and the host credentials' folder."""
    for name in ("host-ca", "serving-ca", "client-ca", "foreign-ca"):
        key = folder / f"{name}.key"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
        openssl(
            *("req", "-x509", "-new", "-key", str(key), "-subj", f"/CN={name}", "-days", "2"),
            *("-out", str(folder / f"{name}.crt"), "-addext", "keyUsage=critical,keyCertSign"),
        )
    leaves = [
        leaf(folder, "host", "host-ca", "kube-apiserver", "server"),
        leaf(folder, "serving", "serving-ca", "system:node:k3k-pulumi", "server"),
        leaf(folder, "api-server", "client-ca", "kube-apiserver-kubelet-client", "client", "system:masters"),
        leaf(folder, "somebody", "client-ca", "somebody", "client"),
        leaf(folder, "foreign", "foreign-ca", "kube-apiserver-kubelet-client", "client", "system:masters"),
    ]
    certificates.apply(certificates.Spec(certificates=tuple(leaves)))
    (folder / "credentials").mkdir()
    shutil.copy(folder / "host-ca.crt", folder / "credentials" / "ca.crt")
    (folder / "credentials" / "token").write_text("own-token\n")


def leaf(
    folder: Path, name: str, authority: str, common_name: str, usage: Any, *organizations: str
) -> certificates.Certificate:
    """A leaf certificate `<name>.crt` for 127.0.0.1."""
    return certificates.Certificate(
        name=name,
        out=f"{folder}/{name}",
        ca_certificate=f"{folder}/{authority}.crt",
        ca_key=f"{folder}/{authority}.key",
        common_name=common_name,
        organizations=organizations,
        ip_addresses=(ADDRESS,),
        usages=(usage,),
    )


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@dataclass
class Received:
    """A request head as it came."""

    line: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Setup:
    """A running kubelet server for `POD` on node-a (and one for node-b), and the host it talks to."""

    folder: Path
    server: KubeletServer
    host: HostEndpoint
    port: int
    other_port: int
    received: list[Received] = field(default_factory=list)

    def context(self, certificate: str | None = "api-server") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "serving-ca.crt"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if certificate:
            context.load_cert_chain(self.folder / f"{certificate}.crt", self.folder / f"{certificate}.key")
        return context

    async def connect(
        self, *, certificate: str | None = "api-server", port: int | None = None
    ) -> tuple[Reader, Writer]:
        context = self.context(certificate)
        return await asyncio.open_connection(ADDRESS, port or self.port, ssl=context, server_hostname=ADDRESS)

    def blocking_client(self, text: str) -> ssl.SSLSocket:
        """A client that reads only when told to; it has sent a request and read the head of the answer."""
        plain = socket.create_connection((ADDRESS, self.port))
        client = self.context().wrap_socket(plain, server_hostname=ADDRESS)
        client.sendall(text.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        return client

    async def send(self, text: str | bytes, **options: Any) -> tuple[Reader, Writer]:
        reader, writer = await self.connect(**options)
        writer.write(text.encode() if isinstance(text, str) else text)
        await writer.drain()
        return reader, writer

    async def ask(self, line: str, *headers: str, **options: Any) -> Answer:
        reader, writer = await self.send(head(line, *headers, "Connection: close"), **options)
        try:
            return await Answer.read(reader, whole=True)
        finally:
            writer.close()


@dataclass
class Answer:
    code: int
    headers: dict[str, list[str]]
    body: bytes

    @staticmethod
    async def read(reader: Reader, *, whole: bool = False) -> Answer:
        """A head; with `whole` also all that follows until the end."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        return Answer(int(first.split()[1]), headers, await reader.read(-1) if whole else b"")

    @property
    def status(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        assert decoded["kind"] == "Status"
        return decoded


def head(line: str, *headers: str) -> str:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: node:10250", *headers, "", ""])


def upgrade(line: str, *headers: str, protocol: str = "SPDY/3.1") -> str:
    return head(line, "Connection: Upgrade", f"Upgrade: {protocol}", *headers)


async def write(writer: Writer, *lines: str, body: bytes = b"") -> None:
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


async def switch(writer: Writer, *headers: str, body: bytes = b"") -> None:
    first = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
    await write(writer, *first, *headers, body=body)


def read_all(client: ssl.SSLSocket) -> int:
    """Reads to the end, closes and returns how many bytes came."""
    with client:
        count = 0
        while data := client.recv(1 << 20):
            count += len(data)
        return count


def answering(code: int, body: bytes, content_type: str = "application/json", *headers: str) -> Script:
    async def script(_: Received, __: Reader, writer: Writer) -> None:
        length = f"Content-Length: {len(body)}"
        await write(
            writer, f"HTTP/1.1 {code} X", f"Content-Type: {content_type}", length, *headers, body=body
        )

    return script


async def echo(_: Received, reader: Reader, writer: Writer) -> None:
    """Switches and sends back what comes."""
    await switch(writer)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def running(folder: Path, script: Script, **limits: Any) -> AsyncIterator[Setup]:
    """The server and a host that answers each request by `script`, then closes."""
    received: list[Received] = []

    async def connected(reader: Reader, writer: Writer) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            request = Received(first, [(line.split(": ", 1)[0], line.split(": ", 1)[1]) for line in lines])
            received.append(request)
            await script(request, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.crt", folder / "host.key")
    host = await asyncio.start_server(connected, ADDRESS, 0, ssl=context)
    endpoint = HostEndpoint(ADDRESS, host.sockets[0].getsockname()[1], folder / "credentials")
    metrics = ApiClient(endpoint)
    nowhere = ApiClient(HostEndpoint(ADDRESS, 1, folder / "credentials"))
    server = KubeletServer(
        endpoint,
        _lookup,
        Pages(usage_of(metrics, [virtual_pod(POD.name)])),
        Access(nowhere),
        TlsFiles(folder / "serving.crt", folder / "serving.key", folder / "client-ca.crt"),
        limits=Limits(**limits),
        address=ADDRESS,
    )
    try:
        port, other_port = await server.listen("node-a", 0), await server.listen("node-b", 0)
        yield Setup(folder, server, endpoint, port, other_port, received)
    finally:
        await server.close()
        await nowhere.close()
        await metrics.close()
        host.close()


def _lookup(namespace: str, name: str) -> PodRef | None:
    return POD if (namespace, name) == (POD.namespace, POD.name) else None
