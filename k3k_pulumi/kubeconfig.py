"""The kubeconfig of a cluster's administrator."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec


def kubeconfig(
    spec: VirtualClusterSpec, endpoint: str, ca_certificate: str, certificate: str, key: str
) -> str:
    """A kubeconfig with everything inline. JSON, which is YAML as well.

    Args:
        spec: The cluster.
        endpoint: URL of its API, like https://10.96.3.4:443.
        ca_certificate: PEM of the server CA.
        certificate: PEM of a client certificate.
        key: PEM of its key.
    """
    cluster = {"server": endpoint, "certificate-authority-data": _base64(ca_certificate)}
    if not _is_certified(spec, endpoint):
        cluster["tls-server-name"] = "kubernetes.default.svc"
    user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    name, admin = spec.name, f"{spec.name}-admin"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": admin, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": admin}}],
        "current-context": name,
    }
    return json.dumps(document, indent=2) + "\n"


def _is_certified(spec: VirtualClusterSpec, endpoint: str) -> bool:
    """Whether the serving certificate names the endpoint's host. A load balancer's is known too late."""
    return spec.expose.type == "ClusterIP" or urllib.parse.urlsplit(endpoint).hostname == spec.expose.host


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
