"""Keys and certificates of an instance: a CA for the cluster, one for the front proxy, one for etcd."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devcluster.config import Instance

YEARS = 10  # a dev cluster does not renew certificates; it goes before they do
MARGIN = datetime.timedelta(hours=1)  # for clocks that are a little behind


@dataclass(frozen=True)
class Pair:
    """A certificate and its key on disk, as `<folder>/<name>.crt` and `.key`."""

    folder: Path
    name: str

    @property
    def crt(self) -> Path:
        """The certificate's file."""
        return self.folder / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        """The key's file."""
        return self.folder / f"{self.name}.key"

    @property
    def there(self) -> bool:
        """Whether both files exist."""
        return self.crt.exists() and self.key.exists()

    def read(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Both, as objects."""
        key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.crt.read_bytes()), key


class Pki:
    """The instance's keys below its folder `pki`; what exists is kept."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder = instance.folder / "pki"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.ca = self._authority("ca", "devcluster")
        self.front_proxy_ca = self._authority("front-proxy-ca", "front-proxy")
        self.etcd_ca = self._authority("etcd-ca", "etcd")
        self.service_account = self.folder / "service-account.key"
        if not self.service_account.exists():
            write_key(self.service_account, ec.generate_private_key(ec.SECP256R1()))

    def _authority(self, name: str, common_name: str) -> Pair:
        pair = Pair(self.folder, name)
        if not pair.there:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(f"{common_name}-{self.instance.name}", ())
            builder = _builder(subject, subject, key.public_key()).add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            )
            builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
            _write(pair, builder.sign(key, hashes.SHA256()), key)
        return pair

    def issue(
        self,
        name: str,
        common_name: str,
        *,
        organizations: Sequence[str] = (),
        names: Sequence[str] = (),
        authority: Pair | None = None,
        server: bool = False,
        client: bool = True,
    ) -> Pair:
        """A certificate, made once.

        Args:
            name: Its files' name.
            common_name: The user, for Kubernetes.
            organizations: The user's groups.
            names: DNS names and IP addresses of a server.
            authority: Who signs; the cluster's CA by default.
            server: Usable by a server.
            client: Usable by a client.
        """
        pair = Pair(self.folder, name)
        if pair.there:
            return pair
        ca_certificate, ca_key = (authority or self.ca).read()
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = _builder(_name(common_name, organizations), ca_certificate.subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(each) for each in names]), critical=False
            )
        _write(pair, builder.sign(ca_key, hashes.SHA256()), key)
        return pair

    def kubeconfig(self, pair: Pair) -> str:
        """A kubeconfig for the user of a client certificate, complete in itself. JSON is YAML."""
        cluster = {"server": self.instance.server, "certificate-authority-data": _base64(self.ca.crt)}
        user = {"client-certificate-data": _base64(pair.crt), "client-key-data": _base64(pair.key)}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": self.instance.name, "cluster": cluster}],
                "users": [{"name": pair.name, "user": user}],
                "contexts": [{
                    "name": self.instance.name,
                    "context": {"cluster": self.instance.name, "user": pair.name},
                }],
                "current-context": self.instance.name,
            },
            indent=2,
        )  # fmt: skip


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Writes a private key that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_key(pair.key, key)
    pair.crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - MARGIN)
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
