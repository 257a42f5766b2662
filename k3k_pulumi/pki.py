"""The keys of a virtual cluster: made once, in process, and kept by whoever calls this.

Everything is EC P-256, the service-account key too: an RSA key costs 29 ms for each cluster and each run.
Keys are PEM in the SEC1 form ("EC PRIVATE KEY"): kube-apiserver takes a signing key as a verification key in
no other.

Values may be opaque: `ClusterPki` is generic in their type, so that it can hold Pulumi Outputs, and the
manifests only place them. Whatever must be derived from a secret (`ProbeToken`) is derived here.
"""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.pki import AUTHORITIES

Value = TypeVar("Value")

AUTHORITY_DAYS = 3650
CLIENT_DAYS = 365
BACK_DATED = datetime.timedelta(hours=1)
"""notBefore lies this far in the past, for peers whose clock is behind."""

ADMIN = "k3k-pulumi-admin"
"""User of the admin's client certificate; its group system:masters gives the rights."""
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


def create_pki(cluster: str) -> ClusterPki[str]:
    """Makes all secrets of a new cluster. They differ from call to call."""
    authorities = {field: create_authority(f"{cluster}-{field.replace('_', '-')}") for field in AUTHORITIES}
    return ClusterPki(
        **authorities,
        service_account_key=create_key(),
        probe_token=probe_token(create_token()),
        join_token=create_token(),
        admin=create_admin(authorities["client_ca"]),
    )


def create_key() -> str:
    """A new EC P-256 private key, PEM (SEC1)."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def create_token() -> str:
    """A new random token: 256 bits, hexadecimal."""
    return secrets.token_hex(32)


def probe_token(token: str) -> ProbeToken[str]:
    """The two forms of a probe's token."""
    return ProbeToken(f"Bearer {token}", f"{token},{PROBE},{PROBE}\n")


def create_authority(common_name: str, now: datetime.datetime | None = None) -> KeyPair[str]:
    """A new self-signed CA, valid for ten years from `now`.

    Args:
        common_name: Its subject, and the issuer in what it signs. At most 64 characters (X.520).
        now: Aware time; the current one by default.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key, AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(Encoding.PEM).decode(), _pem(key))


def create_admin(client_ca: KeyPair[str], now: datetime.datetime | None = None) -> KeyPair[str]:
    """A new client certificate for the cluster's administrator, valid for a year."""
    return create_client(client_ca, ADMIN, ["system:masters"], now)


def create_client(
    client_ca: KeyPair[str],
    common_name: str,
    organizations: Sequence[str],
    now: datetime.datetime | None = None,
) -> KeyPair[str]:
    """A new client certificate, valid for a year from `now`, or as long as its CA if that ends earlier.

    Args:
        client_ca: The CA that signs it; its key must be an EC key.
        common_name: The user, as RBAC names it.
        organizations: The user's groups.
        now: Aware time; the current one by default.
    """
    issuer = x509.load_pem_x509_certificate(client_ca.certificate.encode())
    issuer_key = load_pem_private_key(client_ca.key.encode(), None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"the key of the CA {issuer.subject.rfc4514_string()} must be an EC key")
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(x509.Name(attributes), issuer.subject, key, CLIENT_DAYS, now, issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(Encoding.PEM).decode(), _pem(key))


def expiry(certificate: str) -> datetime.datetime:
    """End of a certificate's life (PEM), as aware time in UTC."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc


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


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    now: datetime.datetime | None,
    latest: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    now = now or datetime.datetime.now(datetime.UTC)
    end = now + datetime.timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK_DATED)
        .not_valid_after(min(end, latest) if latest else end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
