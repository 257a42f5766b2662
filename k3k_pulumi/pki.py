"""The keys of a virtual cluster: made once, in process, and kept by whoever calls this.

Everything is EC P-256, the service-account key too: an RSA key costs 29 ms for each cluster and each run.
Keys are PEM in the SEC1 form ("EC PRIVATE KEY"): kube-apiserver takes a signing key as a verification key in
no other.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Sequence

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

from k3k_pulumi.cluster_pki import ClusterPki, KeyPair, ProbeToken, probe_token
from k3k_pulumi.model.pki import AUTHORITIES

__all__ = [
    "ClusterPki",
    "KeyPair",
    "ProbeToken",
    "create_admin",
    "create_authority",
    "create_client",
    "create_key",
    "create_pki",
    "create_token",
    "expiry",
    "probe_token",
]

AUTHORITY_DAYS = 3650
CLIENT_DAYS = 365
BACK_DATED = datetime.timedelta(hours=1)
"""notBefore lies this far in the past, for peers whose clock is behind."""

ADMIN = "k3k-pulumi-admin"
"""User of the admin's client certificate; its group system:masters gives the rights."""


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
