"""Keys that a user brings along: what is refused, and that no error shows a value."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import VirtualClusterSpec
from k3k_pulumi.model.later import LATER
from k3k_pulumi.model.pki import AUTHORITIES, KEYS, OF_K3S, OF_KUBERNETES
from k3k_pulumi.pki import ClusterPki, create_authority, create_key, create_token

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
OWN = create_authority("own")
OTHER = create_authority("other")


def pem(key: Key, form: PrivateFormat = PrivateFormat.TraditionalOpenSSL, password: bytes = b"") -> str:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, how).decode()


def certificate(
    key: Key,
    *,
    ca: bool = True,
    signs: bool = True,
    identifier: bool = True,
    days: tuple[int, int] = (-1, 1),
    issuer: str = "ca",
    by: Key | None = None,
) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=signs), critical=True)
    )
    if identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    return builder.sign(by or key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
NOT_A_CA = (
    "must be the certificate of a CA: with the basic constraint CA, the key usage keyCertSign and a subject "
    "key identifier (RFC 5280, 4.2.1)"
)
NOT_SELF_SIGNED = "must be self-signed: whom else its issuer vouches for would be let in as well"
NOT_A_CERTIFICATE = "must be one certificate in PEM (BEGIN CERTIFICATE)"
NOT_A_KEY = "must be one private key in PEM, without a password and with nothing beside it"
NOT_EC = "must be an EC key of the curve P-256, P-384 or P-521"
TOKEN = "must be 16 to 256 letters, digits, '.', '_' and '-'"


def patched(old: bytes, new: bytes) -> str:
    """A CA's certificate that is no more what it was: the bytes stand elsewhere than the library expects."""
    der = load_pem_x509_certificate(OWN.certificate.encode()).public_bytes(Encoding.DER)
    assert old in der
    body = base64.encodebytes(der.replace(old, new)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


VERSION_3, VERSION_5 = bytes.fromhex("a003020102"), bytes.fromhex("a003020104")
KEY_USAGE, KEY_IDENTIFIER = bytes.fromhex("551d0f"), bytes.fromhex("551d0e")
P_256, NO_CURVE = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f")


def pair(certificate: Any, key: Any, name: str = "server_ca") -> dict[str, Any]:
    return {f"{name}_certificate": certificate, f"{name}_key": key}


def problems(pki: Any, distribution: str = "kubernetes") -> tuple[str, ...]:
    with pytest.raises(InputError) as error:
        VirtualClusterSpec.parse("c", {"namespace": "team", "distribution": distribution, "pki": pki})
    return error.value.problems


def accepted(pki: Any, distribution: str = "kubernetes") -> VirtualClusterSpec:
    return VirtualClusterSpec.parse("c", {"namespace": "team", "distribution": distribution, "pki": pki})


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_a_ca_of_each_curve_and_form(curve: type[ec.EllipticCurve], form: PrivateFormat) -> None:
    key = ec.generate_private_key(curve())
    given = pair(certificate(key), pem(key, form))
    assert accepted(given).pki.given == given


def test_the_librarys_own_keys_are_accepted() -> None:
    for distribution, foreign in (("k3s", OF_KUBERNETES), ("kubernetes", OF_K3S)):
        given: dict[str, str] = {}
        for name in AUTHORITIES:
            made = create_authority(name)
            given |= pair(made.certificate, made.key, name)
        given |= {"service_account_key": create_key()}
        given |= {"join_token": create_token(), "probe_token": create_token()}
        assert given.keys() == set(KEYS)
        taken = {field: value for field, value in given.items() if field not in foreign}
        assert accepted(taken, distribution).pki.given == taken


def test_the_fields_are_those_of_all_keys_of_a_cluster() -> None:
    pairs = {f"{name}{half}" for name in AUTHORITIES for half in ("_certificate", "_key")}
    single = set(ClusterPki.__dataclass_fields__) - set(AUTHORITIES) - {"admin"}
    assert set(KEYS) == pairs | single


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"server_ca_certificate": OWN.certificate},
        "server_ca_key: missing; pki.server_ca_certificate has no use without it",
    ),
    (
        {"client_ca_key": OWN.key},
        "client_ca_certificate: missing; pki.client_ca_key has no use without it",
    ),
    (pair("nonsense", OWN.key), f"server_ca_certificate: {NOT_A_CERTIFICATE}"),
    (pair(OWN.certificate * 2, OWN.key), f"server_ca_certificate: {NOT_A_CERTIFICATE}"),
    (pair(OWN.certificate.replace("M", "N"), OWN.key), f"server_ca_certificate: {NOT_A_CERTIFICATE}"),
    (
        pair(patched(VERSION_3, VERSION_5), OWN.key),
        f"server_ca_certificate: {NOT_A_CERTIFICATE}",
    ),
    (
        pair(patched(KEY_USAGE, KEY_IDENTIFIER), OWN.key),
        f"server_ca_certificate: {NOT_A_CA}",
    ),
    (
        pair(patched(P_256, NO_CURVE), OWN.key),
        f"server_ca_certificate: {NOT_SELF_SIGNED}",
    ),
    (pair(OWN.certificate, OWN.key + OTHER.key), f"server_ca_key: {NOT_A_KEY}"),
    (pair(OWN.certificate, OWN.key + OWN.certificate), f"server_ca_key: {NOT_A_KEY}"),
    (pair(OWN.certificate, f"of the vault\n{OWN.key}"), f"server_ca_key: {NOT_A_KEY}"),
    (pair(OWN.certificate + OWN.key, OWN.key), f"server_ca_certificate: {NOT_A_CERTIFICATE}"),
    (pair(OWN.key, OWN.key), f"server_ca_certificate: {NOT_A_CERTIFICATE}"),
    (pair(certificate(EC, ca=False), pem(EC)), f"server_ca_certificate: {NOT_A_CA}"),
    (pair(certificate(EC, signs=False), pem(EC)), f"server_ca_certificate: {NOT_A_CA}"),
    (pair(certificate(EC, identifier=False), pem(EC)), f"server_ca_certificate: {NOT_A_CA}"),
    (pair(certificate(EC, issuer="root"), pem(EC)), f"server_ca_certificate: {NOT_SELF_SIGNED}"),
    (
        pair(certificate(EC, by=ec.generate_private_key(ec.SECP256R1())), pem(EC)),
        f"server_ca_certificate: {NOT_SELF_SIGNED}",
    ),
    (
        pair(certificate(EC, days=(-9, -8)), pem(EC)),
        f"server_ca_certificate: expired at {NOW - 8 * DAY:%Y-%m-%d %H:%M} UTC",
    ),
    (
        pair(certificate(EC, days=(1, 2)), pem(EC)),
        f"server_ca_certificate: is not valid before {NOW + DAY:%Y-%m-%d %H:%M} UTC",
    ),
    (pair(OWN.certificate, OTHER.key), "server_ca_key: does not belong to pki.server_ca_certificate"),
    (pair(OWN.certificate, "nonsense"), f"server_ca_key: {NOT_A_KEY}"),
    (pair(OWN.certificate, pem(EC, PrivateFormat.PKCS8, b"secret")), f"server_ca_key: {NOT_A_KEY}"),
    (pair(certificate(RSA), pem(RSA)), f"server_ca_key: {NOT_EC}"),
    (pair(OWN.certificate, pem(ec.generate_private_key(ec.SECP256K1()))), f"server_ca_key: {NOT_EC}"),
    ({"service_account_key": pem(RSA)}, f"service_account_key: {NOT_EC}"),
    (
        {"service_account_key": pem(EC, PrivateFormat.PKCS8)},
        "service_account_key: must be in the SEC1 form (BEGIN EC PRIVATE KEY), as kube-apiserver takes "
        "no other: openssl ec -in KEY",
    ),
    (
        {**pair(OWN.certificate, OWN.key), **pair(OWN.certificate, OWN.key, "client_ca")},
        "client_ca_key: is the same key as pki.server_ca_key: each needs one of its own",
    ),
    (
        {**pair(OWN.certificate, OWN.key), "service_account_key": OWN.key},
        "service_account_key: is the same key as pki.server_ca_key: each needs one of its own",
    ),
    (
        {"join_token": create_token()},
        "join_token: has no use with the distribution 'kubernetes': leave it out",
    ),
    ({"service_account_key": 5}, "service_account_key: must be a string"),
    ({"server_key": OWN.key}, "server_key: unknown argument; did you mean 'server_ca_key'?"),
    (
        {"from_cluster": True, **pair(OWN.certificate, OWN.key)},
        "from_cluster: takes all keys from the cluster: leave it or the other keys out",
    ),
]


@pytest.mark.parametrize(("given", "line"), REFUSED, ids=[line.partition(":")[0] for _, line in REFUSED])
def test_what_is_refused(given: dict[str, Any], line: str) -> None:
    assert problems(given) == (f"pki.{line}",)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            pair(OWN.certificate, OWN.key, "etcd_ca"),
            "etcd_ca_certificate: has no use with the distribution 'k3s'",
        ),
        ({"join_token": "short"}, f"join_token: {TOKEN}"),
        ({"probe_token": "a,b" * 10}, f"probe_token: {TOKEN}"),
        ({"probe_token": create_token() + "\n"}, f"probe_token: {TOKEN}"),
    ],
)
def test_what_is_refused_of_k3s(given: dict[str, Any], line: str) -> None:
    assert problems(given, "k3s")[0].startswith(f"pki.{line}")


@pytest.mark.parametrize(
    "pki",
    [OWN.key, [OWN.key], {"service_account_key": [OWN.key]}, pair(OWN.key, OWN.key)],
    ids=["text", "list", "list below", "certificate"],
)
def test_no_error_shows_a_key(pki: Any) -> None:
    assert not [line for line in problems(pki) if OWN.key.splitlines()[1][:8] in line]


def test_the_specification_does_not_show_keys() -> None:
    assert "BEGIN" not in repr(accepted(pair(OWN.certificate, OWN.key)))


def test_what_is_known_later_is_not_looked_at_but_has_to_be_whole() -> None:
    accepted(pair(LATER, LATER))
    accepted(pair(OWN.certificate, LATER))
    assert problems({"server_ca_key": LATER}) == (
        "pki.server_ca_certificate: missing; pki.server_ca_key has no use without it",
    )


def test_none_is_absent() -> None:
    assert accepted({"from_cluster": None, **dict.fromkeys(KEYS)}).pki.given == {}
    assert accepted(None).pki.given == {}
