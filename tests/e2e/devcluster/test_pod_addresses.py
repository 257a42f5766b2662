"""A pod gets no further with another pod's address than with its own: policies go by addresses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.devcluster.network_probes import PYTHON, conversation, pod
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.xdist_group("network-policy")

PORT = 5000
WAIT = [PYTHON, "-c", "import signal; signal.pause()"]

# A line in is ignored; the line out is all datagrams that came so far.
LISTENER = f"""
import json, os, socket, sys, threading
came = []
def listen():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", {PORT}))
    while True:
        data, source = s.recvfrom(100)
        came.append([data.decode(), source[0]])
threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    print(json.dumps(came), flush=True)
"""

# A line in is sent from the first argument's address to the second's; the line out says that it was.
# IP_TRANSPARENT (19) lets a process that may open raw sockets send from any address.
SENDER = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_IP, 19, 1)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.sendto(line.strip().encode(), (sys.argv[2], {PORT}))
    print("sent", flush=True)
"""


def test_a_pod_cannot_send_from_another_pods_address(namespace: Kubectl, kubelet_image: str) -> None:
    nodes = sorted(node["metadata"]["name"] for node in namespace.get("nodes"))
    places = {"listener": nodes[0], "friend": nodes[0], "here": nodes[0], "there": nodes[-1]}
    namespace.create(_only_from("friend"), *(_sender(name, kubelet_image, at) for name, at in places.items()))
    namespace("wait", "--for=condition=Ready", "pods", "--all", "--timeout=120s")
    address = {name: namespace.get("pod", name)["status"]["podIP"] for name in places}

    with (
        conversation(namespace, "listener", LISTENER) as listener,
        conversation(namespace, "friend", SENDER, address["friend"], address["listener"]) as friend,
        conversation(namespace, "here", SENDER, address["friend"], address["listener"]) as here,
        conversation(namespace, "there", SENDER, address["friend"], address["listener"]) as there,
    ):

        def came() -> list[list[str]]:
            found: list[list[str]] = json.loads(listener("?"))
            return found

        eventually(lambda: friend("before") and came())
        for _ in range(5):
            assert [here("forged"), there("forged")] == ["sent", "sent"]
        eventually(lambda: friend("after") and ["after", address["friend"]] in came())
        assert {tuple(datagram) for datagram in came()} == {
            (text, address["friend"]) for text in ("before", "after")
        }


def _sender(name: str, image: str, node: str) -> dict[str, Any]:
    made = pod(name, image, node, WAIT, labels={"app": name})
    made["spec"]["securityContext"] = {
        "runAsUser": 0
    }  # whom the runtime gives CAP_NET_RAW, as to any image's root
    return made


def _only_from(app: str) -> dict[str, Any]:
    peers = [{"podSelector": {"matchLabels": {"app": app}}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"only-from-{app}"},
        "spec": {"podSelector": {"matchLabels": {"app": "listener"}}, "ingress": [{"from": peers}]},
    }
