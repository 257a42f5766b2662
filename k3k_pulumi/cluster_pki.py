"""The secrets of a virtual cluster, without what makes them.

Values may be opaque: `ClusterPki` is generic in their type, so that it can hold Pulumi Outputs, and the
manifests only place them. Whatever must be derived from a secret (`ProbeToken`) is derived here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")

PROBE = "k3k-pulumi-probe"
"""User that readiness probes are on K3s: without any right beyond those of every authenticated user."""


@dataclass(frozen=True)
class KeyPair(Generic[Value]):
    """A certificate and its private key, PEM."""

    certificate: Value
    key: Value


@dataclass(frozen=True)
class ProbeToken(Generic[Value]):
    """The static token of K3s' readiness probes, in the two forms the manifests need.

    Attributes:
        authorization: Value of the HTTP header Authorization.
        token_file: A line of kube-apiserver's --token-auth-file.
    """

    authorization: Value
    token_file: Value


@dataclass(frozen=True)
class ClusterPki(Generic[Value]):
    """Every secret of one virtual cluster.

    Attributes:
        server_ca: Signs the API server's serving certificate; clients trust it.
        client_ca: Signs client certificates of the API.
        request_header_ca: Signs the aggregator's client certificate towards extension API servers.
        kubelet_serving_ca: Signs the kubelets' serving certificates; the API server trusts it.
        etcd_ca: Signs both sides of the connection to etcd; unused by the distribution `k3s` with SQLite.
        service_account_key: Signs service-account tokens.
        probe_token: See `ProbeToken`; unused by the distribution `kubernetes`.
        join_token: Joins servers and agents to K3s, and encrypts what it keeps in its datastore.
        admin: Client certificate of the cluster's administrator, for `kubeconfig`. In no manifest.
    """

    server_ca: KeyPair[Value]
    client_ca: KeyPair[Value]
    request_header_ca: KeyPair[Value]
    kubelet_serving_ca: KeyPair[Value]
    etcd_ca: KeyPair[Value]
    service_account_key: Value
    probe_token: ProbeToken[Value]
    join_token: Value
    admin: KeyPair[Value]


def probe_token(token: str) -> ProbeToken[str]:
    """The two forms of a probe's token."""
    return ProbeToken(f"Bearer {token}", f"{token},{PROBE},{PROBE}\n")
