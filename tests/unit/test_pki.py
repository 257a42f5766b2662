import datetime
import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from k3k_pulumi import pki
from k3k_pulumi.kubeconfig import kubeconfig
from tests.unit.support import spec

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """Runs a TLS handshake in memory; returns the server's side. Raises what either side raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="any")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [one, other]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return other
    raise AssertionError("the handshake does not end")


def written(folder: Path, pair: pki.KeyPair[str]) -> tuple[str, str]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    return str(certificate), str(key)


def client_context(folder: Path, pair: pki.KeyPair[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*written(folder, pair))
    return context


def server_context(folder: Path, own: pki.KeyPair[str], trusted: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*written(folder, own))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_a_strict_server_accepts_the_admins_certificate(tmp_path: Path) -> None:
    made = pki.create_pki("c")
    server = server_context(tmp_path, made.server_ca, made.client_ca.certificate)
    accepted = handshake(client_context(tmp_path, made.admin), server).getpeercert()
    assert accepted
    subject = ((("organizationName", "system:masters"),), (("commonName", "k3k-pulumi-admin"),))
    assert accepted["subject"] == subject


def test_a_server_of_another_cluster_refuses_it(tmp_path: Path) -> None:
    made, other = pki.create_pki("c"), pki.create_pki("c")
    server = server_context(tmp_path, other.server_ca, other.client_ca.certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(tmp_path, made.admin), server)


def test_authorities_are_valid_ten_years_from_an_hour_ago_and_may_only_sign() -> None:
    pair = pki.create_authority("c-server-ca", NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    assert certificate.not_valid_before_utc == NOW - datetime.timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=3650)
    assert certificate.subject == certificate.issuer
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_encipherment) == (
        True,
        True,
        False,
    )
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, True)


def test_client_certificates_are_for_clients_alone_and_name_their_issuers_key() -> None:
    ca = pki.create_authority("ca", NOW)
    issuer = x509.load_pem_x509_certificate(ca.certificate.encode())
    pair = pki.create_client(ca, "user", ["a", "b"], NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    certificate.verify_directly_issued_by(issuer)
    assert certificate.subject.rfc4514_string() == "CN=user,O=b,O=a"
    assert pki.expiry(pair.certificate) == NOW + datetime.timedelta(days=365)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    own_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == own_id.digest


def test_a_client_certificate_ends_with_its_authority() -> None:
    ca = pki.create_authority("ca", NOW - datetime.timedelta(days=3640))
    assert pki.expiry(pki.create_admin(ca, NOW).certificate) == NOW + datetime.timedelta(days=10)


def test_every_key_is_p256_in_the_form_that_kube_apiserver_verifies_tokens_with() -> None:
    made = pki.create_pki("c")
    keys = [getattr(made, field).key for field in pki.AUTHORITIES]
    for text in (*keys, made.service_account_key, made.admin.key):
        assert text.startswith("-----BEGIN EC PRIVATE KEY-----")
        key = load_pem_private_key(text.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)
    assert len({*keys, made.service_account_key, made.admin.key}) == len(pki.AUTHORITIES) + 2


def test_the_longest_cluster_name_fits_into_every_subject() -> None:
    pki.create_pki("c" * 45)


def test_probe_token_forms() -> None:
    assert pki.probe_token("abc") == pki.ProbeToken("Bearer abc", "abc,k3k-pulumi-probe,k3k-pulumi-probe\n")
    assert pki.create_token() != pki.create_token()


@pytest.mark.parametrize(
    ("args", "endpoint", "server_name"),
    [
        ({}, "https://10.96.3.4:443", None),
        (
            {"expose": {"type": "NodePort", "host": "node.example", "source_cidrs": ["::/0"]}},
            "https://node.example:30443",
            None,
        ),
        (
            {"expose": {"type": "LoadBalancer", "source_cidrs": ["0.0.0.0/0"]}},
            "https://203.0.113.9",
            "kubernetes.default.svc",
        ),
    ],
)
def test_kubeconfig(args: dict[str, object], endpoint: str, server_name: str | None) -> None:
    config = yaml.safe_load(kubeconfig(spec("c", **args), endpoint, "CA", "CERTIFICATE", "KEY"))
    cluster = {"server": endpoint, "certificate-authority-data": "Q0E="}
    if server_name:
        cluster["tls-server-name"] = server_name
    assert config["clusters"] == [{"name": "c", "cluster": cluster}]
    assert config["users"][0]["user"] == {
        "client-certificate-data": "Q0VSVElGSUNBVEU=",
        "client-key-data": "S0VZ",
    }
    assert config["current-context"] == config["contexts"][0]["name"] == "c"
