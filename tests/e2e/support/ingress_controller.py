"""A real ingress controller and gateway on the host (devcluster/tools/ingress), and requests to it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.images import INGRESS
from tests.e2e.support.clusters import running
from tests.e2e.support.forwarding import forwarded
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually
from tests.run import locked

NAMESPACE = "k3k-tests-ingress"
CLASS = "k3k-tests"
"""Its IngressClass and GatewayClass."""
GATEWAY = "public"
"""Its Gateway, with a listener for HTTP that takes routes of every namespace."""
PUBLISHED = "192.0.2.80"
"""The address that it writes into statuses: one for documentation, nobody asks there."""
HTTP, HTTPS = 8080, 8443
DEFINED = tuple(
    f"{plural}.gateway.networking.k8s.io" for plural in ("gatewayclasses", "gateways", "httproutes")
)

Object = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        status: of HTTP.
        text: the body.
        headers: those of the answer, names in lower case.
        certificate: what the server presented, DER; empty without TLS.
    """

    status: int
    text: str
    headers: dict[str, str]
    certificate: bytes


@dataclass(frozen=True)
class Entry:
    """The ports of the controller on this machine."""

    http: int
    https: int

    def get(self, host: str, path: str, *, authority: str = "") -> Answer:
        """GET from the host of that name; with `authority` (PEM) by TLS, with a certificate of that."""
        if authority:
            connection: http.client.HTTPConnection = _Secure(host, self.https, authority)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            certificate = b""
            if isinstance(connection.sock, ssl.SSLSocket):
                certificate = connection.sock.getpeercert(binary_form=True) or b""
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, answer.read().decode(errors="replace"), headers, certificate)
        except (OSError, http.client.HTTPException) as error:  # for `eventually`: it may settle late
            raise AssertionError(f"{host}{path}: {error!r}") from error
        finally:
            connection.close()


class _Secure(http.client.HTTPSConnection):
    """TLS to a local port, with the name of somebody else."""

    def __init__(self, host: str, port: int, authority: str) -> None:
        self._host, self._port = host, port
        self._settings = ssl.create_default_context(cadata=authority)
        super().__init__(host, timeout=10)

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        self.sock = self._settings.wrap_socket(plain, server_hostname=self._host)


@dataclass(frozen=True)
class IngressController:
    """The controller.

    Attributes:
        kubectl: its namespace.
        definitions: the folder of the CRDs of the Gateway API.
    """

    kubectl: Kubectl
    definitions: Path

    @contextmanager
    def entry(self) -> Iterator[Entry]:
        """Its ports, here."""
        (pod,) = running(self.kubectl, "app=ingress", 1)
        name = pod["metadata"]["name"]
        with forwarded(self.kubectl, name, HTTP) as http_port, forwarded(self.kubectl, name, HTTPS) as https:
            yield Entry(http_port, https)


def shared_controller(folder: Path, host: Path, definitions: Path) -> IngressController:
    """The run's controller; whoever comes first makes it.

    Args:
        folder: the run's.
        host: kubeconfig of the host cluster.
        definitions: folder of the CRDs of the Gateway API.
    """
    kubectl = Kubectl(host, NAMESPACE)
    with locked(folder, "ingress-controller"):
        made = folder / "ingress-controller"
        if not made.exists():
            made.write_text(json.dumps({"host": str(host), "definitions": str(definitions)}))
            kubectl("apply", "--server-side", "-f", str(definitions))
            # kubectl does not wait for a definition that has no conditions at all yet, but fails.
            eventually(
                lambda: kubectl("wait", "crd", "--for=condition=Established", "--timeout=60s", *DEFINED)
            )
            # Kinds are known a moment after their definitions are established.
            eventually(lambda: (kubectl.apply(*_manifests()), True))
    running(kubectl, "app=ingress", 1)
    return IngressController(kubectl, definitions)


def remove(folder: Path) -> None:
    """Removes what `shared_controller` made."""
    made = folder / "ingress-controller"
    if made.exists():
        known = json.loads(made.read_text())
        kubectl = Kubectl(Path(known["host"]), NAMESPACE)
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=120)
        for kind in ("ingressclass", "clusterrole", "clusterrolebinding"):
            kubectl("delete", kind, CLASS, "--ignore-not-found")
        kubectl("delete", "--ignore-not-found", "-f", known["definitions"], timeout=120)


def _manifests() -> list[Object]:
    group = "rbac.authorization.k8s.io"
    labels = {"app": "ingress"}
    image = {"name": "ingress", "image": INGRESS, "imagePullPolicy": "IfNotPresent"}
    container = {
        **image,
        "args": [f"-http=:{HTTP}", f"-https=:{HTTPS}", f"-published={PUBLISHED}"],
        "readinessProbe": {"tcpSocket": {"port": HTTP}, "periodSeconds": 1},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": CLASS, "namespace": NAMESPACE}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": CLASS},
            "rules": [
                {"apiGroups": groups, "resources": ["*"], "verbs": verbs}
                for groups, verbs in (
                    (["", "discovery.k8s.io"], ["get", "list", "watch"]),
                    (["networking.k8s.io", "gateway.networking.k8s.io"], ["get", "list", "watch", "update"]),
                )
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": CLASS},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": CLASS},
            "subjects": [{"kind": "ServiceAccount", "name": CLASS, "namespace": NAMESPACE}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": CLASS},
            "spec": {"controller": "traefik.io/ingress-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
            "spec": {
                "gatewayClassName": CLASS,
                "listeners": [
                    {
                        "name": "http",
                        "protocol": "HTTP",
                        "port": HTTP,
                        "allowedRoutes": {"namespaces": {"from": "All"}},
                    }
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "ingress", "namespace": NAMESPACE},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": CLASS,
                        "terminationGracePeriodSeconds": 1,
                        "containers": [container],
                    },
                },
            },
        },
    ]
