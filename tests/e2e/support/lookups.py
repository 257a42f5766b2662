"""Lookups from a pod: every kind of record, by packets that are sent and read here, and by the C library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import KUBELET, Object, container, pod

NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3

# Argument: a list of [name, type, "udp" or "tcp"]. Asks the pod's first name server, as its libc would.
_CLIENT = """
import json, re, socket, struct, sys
TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
NAMES = {number: name for name, number in TYPES.items()}
server = re.search(r"^nameserver (\\S+)", open("/etc/resolv.conf").read(), re.M)[1]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
def packet(name, kind):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    return struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack(">2H", TYPES[kind], 1)
def name_at(data, at):
    parts, end = [], None
    while length := data[at]:
        if length >= 192:
            end = end or at + 2
            at = struct.unpack_from(">H", data, at)[0] & 0x3FFF
            continue
        parts.append(data[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(parts), end or at + 1
def value(data, at, size, kind):
    if kind in (1, 28):
        return socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data[at : at + size])
    if kind in (5, 12):
        return name_at(data, at)[0]
    if kind == 16:
        return data[at + 1 : at + 1 + data[at]].decode()
    if kind == 33:
        return "%d %s" % (struct.unpack_from(">3H", data, at)[2], name_at(data, at + 6)[0])
    return ""
def over_tcp(query):
    with socket.create_connection((server, 53), 15) as s:
        s.sendall(struct.pack(">H", len(query)) + query)
        stream = s.makefile("rb")
        return stream.read(struct.unpack(">H", stream.read(2))[0])
def over_udp(query):
    for last in (False, False, True):  # a datagram may get lost
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.sendto(query, (server, 53))
            try:
                return s.recv(65535)
            except TimeoutError:
                if last:
                    raise
def ask(name, kind, protocol):
    query = packet(name, kind)
    data = over_tcp(query) if protocol == "tcp" else over_udp(query)
    flags, questions, answers = struct.unpack_from(">3H", data, 2)
    at = 12
    for _ in range(questions):
        at = name_at(data, at)[1] + 4
    found = []
    for _ in range(answers):
        owner, at = name_at(data, at)
        number, _, _, size = struct.unpack_from(">2HIH", data, at)
        found.append([owner, NAMES.get(number, str(number)), value(data, at + 10, size, number)])
        at += 10 + size
    return {"code": flags & 15, "records": sorted(found)}
print(json.dumps([ask(*each) for each in json.loads(sys.argv[1])]))
"""

# Argument: names. For each the addresses that getaddrinfo finds, with the search domains of the pod.
_LIBC = """
import json, socket, sys
def find(name):
    try:
        return sorted({each[4][0] for each in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    except socket.gaierror as error:
        return error.strerror
print(json.dumps([find(name) for name in sys.argv[1:]]))
"""

# Arguments: a name, a file. Asks for it again and again until the file is there; prints what was not found.
# An empty line says that it has begun.
_STEADY = """
import json, os, socket, sys, time
name, end = sys.argv[1:]
failures, count = [], 0
print(flush=True)
while not os.path.exists(end):
    count += 1
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror as error:
        failures.append(error.strerror)
    time.sleep(0.02)
print(json.dumps([count, failures]))
"""


_IDLE = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"


@dataclass(frozen=True)
class Answer:
    """A name server's answer.

    Attributes:
        code: RCODE.
        records: (name, type, data) of the answer section, sorted.
    """

    code: int
    records: list[tuple[str, str, str]]

    @property
    def data(self) -> list[str]:
        """The records' data."""
        return [each[2] for each in self.records]


def client(name: str, **spec: Any) -> Object:
    """A pod from which names are looked up."""
    return pod(name, container(["python3", "-c", _IDLE], image=KUBELET), **spec)


def ask(kubectl: Kubectl, pod: str, *queries: tuple[str, str], protocol: str = "udp") -> list[Answer]:
    """Asks the pod's name server for names as they are, each with a type.

    Args:
        kubectl: where the pod is.
        pod: one of `client`.
        queries: (name, type).
        protocol: udp or tcp.
    """
    asked = json.dumps([[*query, protocol] for query in queries])
    found = _run(kubectl, pod, _CLIENT, asked)
    return [Answer(each["code"], [tuple(record) for record in each["records"]]) for each in found]


def addresses(kubectl: Kubectl, pod: str, *names: str) -> list[list[str] | str]:
    """The addresses that programs in the pod find for names, or the C library's words for none."""
    found: list[list[str] | str] = _run(kubectl, pod, _LIBC, *names)
    return found


def steady(kubectl: Kubectl, pod: str, name: str, end: str) -> list[str]:
    """The command line that asks for a name until a file appears.

    It prints an empty line when it begins, and at the end (number of times, failures).
    """
    return kubectl.command("exec", pod, "--", "python3", "-c", _STEADY, name, end)


def resolver(kubectl: Kubectl, pod: str) -> dict[str, list[str]]:
    """/etc/resolv.conf of a pod: keyword -> its words."""
    lines = kubectl.exec(pod, ["cat", "/etc/resolv.conf"]).stdout.decode().splitlines()
    found: dict[str, list[str]] = {}
    for keyword, *words in (line.split() for line in lines if line.strip()):
        found.setdefault(keyword, []).extend(words)
    return found


def _run(kubectl: Kubectl, pod: str, script: str, *arguments: Iterable[str]) -> Any:
    result = kubectl.exec(pod, ["python3", "-c", script, *map(str, arguments)])
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    return json.loads(result.stdout)
