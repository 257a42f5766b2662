"""A mutating webhook of the host, as clouds have them for the identities of pods."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from k3k_kubelet import certificates
from k3k_kubelet.api import Resource

from kubelet.tests.controlplane import ADDRESS, ControlPlane

Object = dict[str, Any]
Mutate = Callable[[Object], list[Object]]
"""Gives the JSON patch of a pod that is being created."""

CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)


@contextmanager
def serving(plane: ControlPlane, name: str, condition: str, mutate: Mutate) -> Iterator[Object]:
    """Serves a webhook for pods that are being created; gives its configuration, for the test to create.

    Args:
        plane: Whose API server calls it.
        name: Its name.
        condition: The CEL expression of the pods it is called for.
        mutate: What it does to them.
    """
    folder = plane.directory / name
    folder.mkdir()
    leaf = certificates.Certificate(
        name=name,
        out=f"{folder}/serving",
        ca_certificate=f"{plane.pki}/server-ca.crt",
        ca_key=f"{plane.pki}/server-ca.key",
        common_name=name,
        ip_addresses=(ADDRESS,),
        usages=("server",),
    )
    certificates.apply(certificates.Spec(certificates=(leaf,)))
    server = ThreadingHTTPServer((ADDRESS, 0), _handler(mutate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "serving.crt", folder / "serving.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "apiVersion": CONFIGURATIONS.api_version,
            "kind": CONFIGURATIONS.kind,
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"{name}.example.com",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "matchConditions": [{"name": "mine", "expression": condition}],
                    "rules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["pods"],
                        }
                    ],
                    "clientConfig": {
                        "url": f"https://{ADDRESS}:{server.server_port}/",
                        "caBundle": base64.b64encode((plane.pki / "server-ca.crt").read_bytes()).decode(),
                    },
                }
            ],
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(mutate: Mutate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            patch = json.dumps(mutate(review["request"]["object"])).encode()
            response = {
                "uid": review["request"]["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(patch).decode(),
            }
            answer = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent: the API server's audit is not the test's output."""

    return Handler
