"""The kubelet API of a virtual node beyond logs and exec: port-forward, attach, its own pages, its errors."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.stream import portforward

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.forwarding import forwarded
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, pod, shell
from tests.e2e.support.polling import eventually

SIZE = 5_000_000
SERVER = shell(
    f"mkdir /tmp/www && head -c {SIZE} /dev/urandom > /tmp/www/blob && exec httpd -f -p 8080 -h /tmp/www",
    readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
)


def fetch(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        content: bytes = answer.read()
    return content


@both
@pytest.mark.parametrize("protocol", ["websocket", "spdy"])
def test_port_forward(inside: Kubectl, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes, several connections over one tunnel, and a refused one in between that harms none."""
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "true" if protocol == "websocket" else "false")
    inside.apply(pod("web", SERVER))
    running(inside, "app=web", 1)
    digest = inside.exec("web", ["sha256sum", "/tmp/www/blob"]).stdout.split()[0].decode()
    with forwarded(inside, "web", 8080) as port:
        idle = socket.create_connection(("127.0.0.1", port))
        for _ in range(3):
            assert hashlib.sha256(fetch(port, "/blob")).hexdigest() == digest
        with pytest.raises(urllib.error.HTTPError):
            fetch(port, "/none")
        idle.close()


def test_attach_to_what_runs_already(inside: Kubectl) -> None:
    inside.apply(pod("echo", container(["cat"], stdin=True, stdinOnce=True), restartPolicy="Never"))
    running(inside, "app=echo", 1)
    attached = inside.run("attach", "-i", "echo", stdin=b"hello\n" * 1000)
    assert attached.returncode == 0, attached.stderr
    assert attached.stdout.count(b"hello\n") == 1000
    eventually(lambda: inside.get("pod", "echo")["status"]["phase"] == "Succeeded")


def test_log_parameters(inside: Kubectl) -> None:
    inside.apply(pod("counter", shell("for i in $(seq 100); do echo line $i; done; sleep 3600")))
    running(inside, "app=counter", 1)
    eventually(lambda: "line 100" in inside("logs", "counter"))
    assert inside("logs", "counter", "--limit-bytes=8") == "line 1\nl"
    assert inside("logs", "counter", "--tail=2") == "line 99\nline 100\n"
    assert inside("logs", "counter", "--since-time=2100-01-01T00:00:00Z") == ""
    assert inside("logs", "counter", "--since=1h").count("\n") == 100
    # All at once, as a program asks: the last three, of which forty bytes, each with its time.
    path = f"/api/v1/namespaces/{inside.namespace}/pods/counter/log"
    options = "container=main&previous=false&tailLines=3&timestamps=true&sinceSeconds=3600&limitBytes=40"
    whole = inside("get", "--raw", f"{path}?{options}")
    assert len(whole) == 40
    assert whole.split()[1:3] == ["line", "98"]
    since = whole.split()[0]
    assert inside("logs", "counter", f"--since-time={since}").endswith("line 99\nline 100\n")
    for wrong in ("tailLines=-1", "limitBytes=0", "sinceSeconds=1&sinceTime=2100-01-01T00:00:00Z"):
        assert inside.run("get", "--raw", f"{path}?{wrong}").returncode != 0, wrong


def test_logs_of_the_default_container(inside: Kubectl) -> None:
    """kubectl takes the first one, or the one that the annotation names; the API wants it said."""
    made = pod(
        "two", shell("echo first; sleep 3600", name="one"), shell("echo second; sleep 3600", name="two")
    )
    inside.apply(made)
    running(inside, "app=two", 1)
    assert eventually(lambda: inside("logs", "two")) == "first\n"
    inside("annotate", "pod", "two", "kubectl.kubernetes.io/default-container=two")
    assert eventually(lambda: inside("logs", "two")) == "second\n"
    assert inside("logs", "two", "--all-containers", "--prefix").count("\n") == 2
    unsaid = inside.run("get", "--raw", f"/api/v1/namespaces/{inside.namespace}/pods/two/log")
    assert b"a container name must be specified for pod two" in unsaid.stderr


@both
def test_errors_speak_of_the_virtual_pod(cluster: View, inside: Kubectl) -> None:
    inside.apply(pod("waits", container(image="registry.invalid/none:1", imagePullPolicy="Always")))

    def waits() -> bool:
        statuses = inside.get("pod", "waits")["status"].get("containerStatuses", [])
        return any("Pull" in entry["state"].get("waiting", {}).get("reason", "") for entry in statuses)

    eventually(waits)
    logs = inside.run("logs", "waits")
    assert logs.returncode == 1
    assert b'container "main" in pod "waits" is waiting to start' in logs.stderr, logs.stderr
    refused = inside.run("exec", "waits", "--", "true")
    assert refused.returncode != 0
    (host_pod,) = cluster.host_pods(namespace=inside.namespace).values()
    for said in (logs.stderr, refused.stderr):
        assert host_pod["metadata"]["name"].encode() not in said
        assert cluster.access.namespace.encode() not in said


def test_a_nodes_own_pages(inside: Kubectl) -> None:
    """What the API server's node proxy shows: this node's virtual pods; figures are another test's."""
    inside.apply(pod("here"))
    (here,) = running(inside, "app=here", 1)
    node = here["spec"]["nodeName"]

    def page(path: str) -> subprocess.CompletedProcess[bytes]:
        return inside.run("get", "--raw", f"/api/v1/nodes/{node}/proxy{path}")

    eventually(lambda: page("/healthz").stdout == b"ok")

    def shown() -> list[Any]:  # as the kubelet has seen them
        answer = page("/pods")
        assert answer.returncode == 0, answer
        pods: list[Any] = json.loads(answer.stdout)["items"]
        assert here["metadata"]["uid"] in [item["metadata"]["uid"] for item in pods]
        return pods

    assert {item["spec"]["nodeName"] for item in eventually(shown)} == {node}
    missing = page("/metrics/cadvisor")
    assert missing.returncode != 0
    assert b"the virtual kubelet does not serve /metrics/cadvisor" in missing.stderr


@both
def test_port_forward_by_the_python_client(cluster: View, inside: Kubectl) -> None:
    """Which knows v4.channel.k8s.io, and names its ports in the request, two of them here."""
    inside.apply(pod("web", SERVER))
    running(inside, "app=web", 1)
    digest = inside.exec("web", ["sha256sum", "/tmp/www/blob"]).stdout.split()[0].decode()
    api = config.new_client_from_config(str(cluster.access.kubeconfig), persist_config=False)
    forward = portforward(
        client.CoreV1Api(api).connect_get_namespaced_pod_portforward,
        "web",
        inside.namespace,
        ports="8080,8081",
    )
    connection = forward.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET /blob HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    assert hashlib.sha256(body).hexdigest() == digest
    api.close()
