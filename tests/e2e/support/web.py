"""Servers that say who they are, and how they are asked, from pods and from outside."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from tests.e2e.devcluster.network_probes import PYTHON
from tests.e2e.support.clusters import PREFIX, View
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import AGNHOST, KUBELET, Object, container, pod
from tests.e2e.support.polling import eventually

PORT = 8080
SECONDS = 2  # without an answer in this time there is none
_READY = {"httpGet": {"path": "/hostname", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 10}


def server(name: str, app: str = "", **spec: Any) -> Object:
    """A pod labelled app=APP, its name by default, that answers to /hostname and /clientip on port `http`."""
    answers = container(
        ("/agnhost", "netexec", f"--http-port={PORT}", "--udp-port=-1"),
        image=AGNHOST,
        ports=[{"name": "http", "containerPort": PORT}],
        readinessProbe=_READY,
    )
    return pod(name, answers, labels={"app": app or name}, **spec)


_WAIT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"

# Arguments: URL, how often. Prints a line for each answer.
_ASK = f"""
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    try:
        with urllib.request.urlopen(sys.argv[1], timeout={SECONDS}) as answer:
            print(answer.read().decode())
    except OSError:
        pass
"""


def client(name: str = "client", **spec: Any) -> Object:
    """A pod that asks. The shell of other images has no program for it that finds an address."""
    return pod(name, container([PYTHON, "-c", _WAIT], image=KUBELET), **spec)


def service(name: str, app: str = "", *, port: int = 80, **spec: Any) -> Object:
    """A Service for the port `http` of these pods."""
    ports = [{"name": "http", "port": port, "protocol": "TCP", "targetPort": "http"}]
    whole = {"selector": {"app": app or name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": whole}


def on_node(node: str) -> Object:
    """Affinity for one node; taints hold."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def copy_of(view: View, kubectl: Kubectl, kind: str, name: str) -> Any:
    """The host's copy of an object of kubectl's namespace inside; None if there is none."""
    selector = f"{PREFIX}cluster={view.name},{PREFIX}namespace={kubectl.namespace}"
    for each in view.workloads.get(kind, "-l", selector):
        if (each["metadata"].get("annotations") or {}).get(f"{PREFIX}name") == name:
            return each
    return None


def known(view: View, kubectl: Kubectl, name: str) -> str:
    """The address of a Service once the virtual kubelet has seen it.

    It writes on the copy then, which admission has made; and an address that is not the host's is changed.
    """

    def settled() -> str:
        found, copy = kubectl.get("service", name), copy_of(view, kubectl, "services", name)
        assert copy is not None, "no copy"
        assert f"{PREFIX}manifest" in copy["metadata"]["annotations"], copy
        address = found["spec"].get("clusterIP", "")
        assert address == copy["spec"]["clusterIP"], found
        return str(address)

    return eventually(settled)


def answers(
    kubectl: Kubectl, asking: str, address: str, *, path: str = "hostname", times: int = 1
) -> list[str]:
    """What a pod is answered by a server; nothing for each time without an answer."""
    url = f"http://{address}/{path}"
    asked = kubectl.exec(asking, [PYTHON, "-c", _ASK, url, str(times)])
    assert asked.returncode == 0, asked.stderr.decode()
    return asked.stdout.decode().split()


def answer_outside(address: str, path: str = "hostname") -> str:
    """The same for somebody outside the host cluster; `""` without an answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=SECONDS) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return f"{error.code}"
    except OSError:
        return ""


def addresses_of_nodes(host: Kubectl) -> dict[str, str]:
    """Name -> InternalIP of the host's nodes."""
    return {node["metadata"]["name"]: _internal(node) for node in host.get("nodes")}


def _internal(node: Mapping[str, Any]) -> str:
    found: Iterator[str] = (
        each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"
    )
    return next(found)
