"""Answers a second of the cluster's CoreDNS, beside one that serves the bare host's names.

Both are one pod of the same image that reads Services and answers for them; who asks is a pod on either side,
with as many questions under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from k3k_kubelet.api import PODS, SERVICE_ACCOUNTS, SERVICES, Resource

from benchmarks.core import Object, Table, Timeline, delete_pods
from benchmarks.services import service
from devcluster.images import COREDNS

SECONDS = 3.0
"""Of one round."""
ROUNDS = 4
AT_ONCE = (1, 64)
"""Questions under way: one where their time counts, many where the number of answers does."""
ASKS, SERVES = "asks", "coredns"
NAME = "answers"
"""The Service whose address is asked for."""
DOMAIN = "cluster.local"

ASK = """
import json, socket, struct, sys, time
server, seconds, window = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
if not server:  # its own name server
    server = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
def question(name, number):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", number, 0x100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, 1, 1)
asked = [question(name, 0)[2:] for name in sys.argv[4:]]
out = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
out.connect((server, 53))
out.settimeout(0.5)
number, sent, took, wrong, lost = 0, {}, [], 0, 0
def ask():
    global number
    number = (number + 1) % 65536
    sent[number] = time.perf_counter()
    out.send(struct.pack(">H", number) + asked[number % len(asked)])
began = time.perf_counter()
for _ in range(window):
    ask()
while time.perf_counter() - began < seconds:
    try:
        answer = out.recv(4096)
    except TimeoutError:
        lost += len(sent)
        sent.clear()
        for _ in range(window):
            ask()
        continue
    at = sent.pop(answer[0] << 8 | answer[1], None)
    if at is None:
        continue
    took.append(time.perf_counter() - at)
    wrong += answer[3] & 15 != 0 or answer[6:8] == b"\\0\\0"
    ask()
whole = time.perf_counter() - began
took.sort()
print(json.dumps({"rate": len(took) / whole, "median": took[len(took) // 2], "wrong": wrong, "lost": lost}))
"""
"""Asks for A records without pause; who gets one answered asks another: no answer waits for the slowest."""

_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
_CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
_COREFILE = f"""
.:5353 {{
    errors
    ready :8181
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
    }}
}}
"""


@dataclass
class Answers:
    """Of each round, by questions under way: answers a second, and the median of their seconds.

    Attributes:
        wrong: Answers without an address, and questions without an answer.
    """

    rates: dict[int, list[float]] = field(default_factory=dict)
    medians: dict[int, list[float]] = field(default_factory=dict)
    wrong: int = 0


@dataclass(frozen=True)
class Side:
    """Where questions are asked.

    Attributes:
        kubeconfig: The cluster.
        namespace: Where `ASKS` runs and `NAME` is.
        server: Address of the name server; `""` for the pod's own.
    """

    kubeconfig: Path
    namespace: str
    server: str


async def measure(
    kubectl: Path, image: str, bare: tuple[Timeline, Path], inside: tuple[Timeline, Path]
) -> tuple[Answers, Answers]:
    """Asks on both sides, in turns: first the bare host's answers, then those inside.

    Args:
        kubectl: The program.
        image: One with Python in it.
        bare: The host's namespace for this, and its kubeconfig.
        inside: The same of the virtual cluster.
    """
    async with _bare_server(bare[0]) as server:
        sides = [Side(bare[1], bare[0].namespace, server), Side(inside[1], inside[0].namespace, "")]
        for timeline, _ in (bare, inside):
            await timeline.client.create(SERVICES, timeline.namespace, service(NAME))
            await timeline.client.create(PODS, timeline.namespace, _pod(ASKS, image))
            await timeline.until_ready([ASKS])
        found = [Answers(), Answers()]
        for _ in range(ROUNDS):
            for side, answers in zip(sides, found, strict=True):
                for window in AT_ONCE:
                    await asyncio.to_thread(_round, kubectl, side, window, answers)
        for timeline, _ in (bare, inside):
            await timeline.client.delete(SERVICES, timeline.namespace, NAME)
            await delete_pods(timeline)
    return found[0], found[1]


def _round(kubectl: Path, side: Side, window: int, answers: Answers) -> None:
    name = f"{NAME}.{side.namespace}.svc.{DOMAIN}"
    command = [f"--kubeconfig={side.kubeconfig}", f"--namespace={side.namespace}", "exec", ASKS, "--"]
    command += ["python3", "-I", "-c", ASK, side.server, str(SECONDS), str(window), name]
    done = subprocess.run([kubectl, *command], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"asking in namespace {side.namespace}: {done.stderr}")
    said = json.loads(done.stdout)
    answers.rates.setdefault(window, []).append(said["rate"])
    answers.medians.setdefault(window, []).append(said["median"])
    answers.wrong += said["wrong"] + said["lost"]


@contextlib.asynccontextmanager
async def _bare_server(side: Timeline) -> AsyncIterator[str]:
    """A CoreDNS that serves the host's names for as long as the block runs; its address."""
    client, namespace = side.client, side.namespace
    name = {"metadata": {"name": f"{namespace}-{SERVES}"}}
    read = {"apiGroups": ["", "discovery.k8s.io"], "verbs": ["list", "watch"]}
    role = {**name, "rules": [{**read, "resources": ["services", "endpointslices", "namespaces"]}]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **name["metadata"]}
    subject = {"kind": "ServiceAccount", "name": SERVES, "namespace": namespace}
    await client.create(_ROLES, None, role)
    try:
        await client.create(_BINDINGS, None, {**name, "roleRef": reference, "subjects": [subject]})
        await client.create(SERVICE_ACCOUNTS, namespace, {"metadata": {"name": SERVES}})
        config = {"metadata": {"name": SERVES}, "data": {"Corefile": _COREFILE}}
        await client.create(_CONFIG_MAPS, namespace, config)
        await client.create(PODS, namespace, _server())
        spec = {"selector": {"app": SERVES}, "ports": [{"port": 53, "targetPort": 5353, "protocol": "UDP"}]}
        made = await client.create(SERVICES, namespace, {"metadata": {"name": SERVES}, "spec": spec})
        await side.until_ready([SERVES])
        yield str(made["spec"]["clusterIP"])
    finally:
        await client.delete(_ROLES, None, name["metadata"]["name"])
        await client.delete(_BINDINGS, None, name["metadata"]["name"])
        await client.delete(SERVICES, namespace, SERVES)


def _server() -> Object:
    pod = _pod(SERVES, COREDNS)
    container = {
        "name": "main",
        "image": COREDNS,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    volumes = [{"name": "config", "configMap": {"name": SERVES}}]
    pod["spec"] |= {"serviceAccountName": SERVES, "containers": [container], "volumes": volumes}
    return pod


def _pod(name: str, image: str) -> Object:
    sleep = ["python3", "-I", "-c", "import time; time.sleep(3600)"]
    container = {"name": "main", "image": image, "command": sleep, "imagePullPolicy": "IfNotPresent"}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


def table(bare: Answers, inside: Answers) -> Table:
    """The figures."""
    one, many = AT_ONCE

    def rate(answers: Answers) -> float:
        return statistics.median(answers.rates[many])

    def median(answers: Answers) -> float:
        return statistics.median(answers.medians[one])

    def unanswered(answers: Answers) -> str:
        return str(answers.wrong)

    return Table(
        "Answers of the cluster's CoreDNS",
        ("", "bare", "inside", "inside / bare"),
        [
            (
                f"answers a second, {many} questions under way",
                *(f"{rate(each):,.0f}" for each in (bare, inside)),
                f"{rate(inside) / rate(bare):.2f}",
            ),
            (
                "median time of one question alone",
                *(f"{median(each) * 1000:.2f} ms" for each in (bare, inside)),
                f"{median(inside) / median(bare):.2f}",
            ),
            ("without an answer, or with a wrong one", unanswered(bare), unanswered(inside), ""),
        ],
        (
            f"Medians of {ROUNDS} rounds of {SECONDS:g} s each, on both sides in turns: A records of a "
            "Service, by UDP. Who asks shares the machine with who answers.",
        ),
    )
