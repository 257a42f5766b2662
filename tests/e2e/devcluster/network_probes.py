"""Pods that answer on some ports and probe those of others: what the tests of NetworkPolicy are made of.

Every pod runs a server; a second process in it, kept open through `kubectl exec`, makes the probes. Exec
needs no packet of the pod's own, so no policy gets in the way of asking.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.support.kubectl import Kubectl

PYTHON = "/usr/bin/python3"
CONNECT_TIMEOUT = 1.0  # seconds; no answer in this time is "blocked"
ANSWER_TIMEOUT = 120.0  # seconds; all probes of a pod run at once, so this is far off

# Arguments: TCP ports, UDP ports. Echoes on every address of the pod. Each UDP socket has one of them,
# since an answer from another address of a node would be none.
SERVER = """
import asyncio, json, os, sys
async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, address): self.transport.sendto(data, address)
async def main():
    tcp, udp = map(json.loads, sys.argv[1:])
    for port in tcp:
        await asyncio.start_server(echo, None, port)
    for address in os.environ["POD_IPS"].split(","):
        for port in udp:
            await asyncio.get_running_loop().create_datagram_endpoint(Echo, (address, port))
    await asyncio.Event().wait()
asyncio.run(main())
"""

# A query for the address of kubernetes.default.svc.cluster.local; a DNS message begins with its number.
DNS_QUERY = bytes.fromhex("6b33010000010000000000000a6b756265726e65746573") + bytes.fromhex(
    "0764656661756c740373766307636c7573746572056c6f63616c0000010001"
)

# Arguments: addresses to send from, where not those that the routes say. A line in: a list of [protocol,
# address, port]. A line out: whether each answered, or its error's text.
PROBER = """
import json, os, socket, sys
from concurrent.futures import ThreadPoolExecutor
QUESTIONS = {"udp": b"probe", "dns": bytes.fromhex("QUERY")}
def prepare(s):
    s.settimeout(TIMEOUT)
    for source in sys.argv[1:]:
        if (":" in source) == (s.family == socket.AF_INET6):
            s.bind((source, 0))
def echoed(s, address):
    v6 = ":" in address
    request, reply = (128, 129) if v6 else (8, 0)
    mark = os.urandom(8)
    # With another number each time it is another connection to those who keep track of them.
    body = bytes([request, 0, 0, 0]) + os.urandom(2) + bytes([0, 1]) + mark
    words = [int.from_bytes(body[i:i + 2], "big") for i in range(0, len(body), 2)]
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    s.sendto(body[:2] + (~total & 0xFFFF).to_bytes(2, "big") + body[4:], (address, 0))
    while True:
        got = s.recv(200)
        if got.endswith(mark) and got[-16] == reply:
            return True
def pinged(address):
    # Who may not send raw packets may still ping, where the runtime lets him.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    try:
        s = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        s = socket.socket(family, socket.SOCK_RAW, protocol)
    with s:
        prepare(s)
        return echoed(s, address)
def answers(probe):
    protocol, address, port = probe
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if protocol == "icmp":
            return pinged(address)
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as s:
            prepare(s)
            s.connect((address, port))
            if protocol != "tcp":
                question = QUESTIONS[protocol]
                s.send(question)
                return s.recv(2000)[:2] == question[:2]
    except TimeoutError:
        return False
    except OSError as error:
        return str(error)
    return True
with ThreadPoolExecutor(100) as pool:
    for line in sys.stdin:
        print(json.dumps(list(pool.map(answers, json.loads(line)))), flush=True)
""".replace("TIMEOUT", str(CONNECT_TIMEOUT)).replace("QUERY", DNS_QUERY.hex())

# One connection: a line in is sent, the line that comes back goes out.
TALKER = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as s:
    stream = s.makefile("rw")
    for line in sys.stdin:
        stream.write(line)
        stream.flush()
        print(stream.readline(), end="", flush=True)
"""


# Connects again and again from its first moment on; prints which attempts succeeded. The last
# argument is how long each may take: less than the second after which TCP repeats what was dropped.
STARTER = """
import json, socket, sys
def connects():
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
    except TimeoutError:
        return False
    return True
print(json.dumps([connects() for _ in range(20)]))
"""


@dataclass(frozen=True, order=True)
class Probe:
    """One attempt of the pod `source` to reach a port."""

    source: str
    target: str
    port: str
    address: str
    protocol: str
    number: int

    def __str__(self) -> str:
        return f"{self.source} > {self.target} {self.port} ({self.protocol} {self.address}:{self.number})"


class Conversation:
    """A process in a pod that takes lines and answers each with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._reader = ThreadPoolExecutor(1)

    def __call__(self, line: str) -> str:
        """The answer to a line.

        Raises:
            AssertionError: the process ended.
            TimeoutError: no answer within ANSWER_TIMEOUT.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._reader.submit(self._process.stdout.readline).result(ANSWER_TIMEOUT)
        assert answer, f"{self._process.args!r} ended with {self._process.poll()}"
        return answer.rstrip("\n")


@contextmanager
def conversation(
    kubectl: Kubectl, pod: str, script: str, *arguments: str, container: str = ""
) -> Iterator[Conversation]:
    """Runs a Python script in a pod as long as the context lasts, in its first container or another one."""
    which = [f"--container={container}"] if container else []
    command = kubectl.command("exec", "-i", *which, pod, "--", PYTHON, "-c", script, *arguments)
    with talking(command, kubectl.environment()) as found:
        yield found


@contextmanager
def talking(command: list[str], environment: dict[str, str] | None = None) -> Iterator[Conversation]:
    """Runs a command as long as the context lasts."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Conversation(process)
        finally:
            process.kill()


class Probers:
    """The probing processes of several pods."""

    def __init__(self, conversations: Mapping[str, Conversation]) -> None:
        self._conversations = conversations

    def ask(self, probes: Iterable[Probe]) -> dict[Probe, bool | str]:
        """Makes all probes at once, from all their pods."""
        by_source: dict[str, list[Probe]] = {}
        for probe in probes:
            by_source.setdefault(probe.source, []).append(probe)

        def answers(source: str) -> dict[Probe, bool | str]:
            asked = by_source[source]
            line = json.dumps([(probe.protocol, probe.address, probe.number) for probe in asked])
            return dict(zip(asked, json.loads(self._conversations[source](line)), strict=True))

        found: dict[Probe, bool | str] = {}
        with ThreadPoolExecutor(len(by_source) or 1) as pool:
            for result in pool.map(answers, by_source):
                found |= result
        return found


@contextmanager
def probers(pods: Mapping[str, tuple[Kubectl, str]]) -> Iterator[Probers]:
    """Starts a prober in each pod: a name for it, and the pod's name in the namespace kubectl stands in."""
    with ExitStack() as stack:
        yield Probers(
            {
                name: stack.enter_context(conversation(kubectl, pod, PROBER))
                for name, (kubectl, pod) in pods.items()
            }
        )


def pod(
    name: str,
    image: str,
    node: str,
    command: Iterable[str],
    *,
    labels: Mapping[str, str] | None = None,
    ports: Iterable[Mapping[str, Any]] = (),
    host_network: bool = False,
) -> dict[str, Any]:
    """A pod on a node, as small as they come; POD_IPS in its environment is all its addresses."""
    addresses = {"fieldRef": {"fieldPath": "status.podIPs"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {
            "nodeName": node,
            "hostNetwork": host_network,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": list(command),
                    "ports": [dict(port) for port in ports],
                    "env": [{"name": "POD_IPS", "valueFrom": addresses}],
                }
            ],
        },
    }
