"""A cluster with keys of its user's own, of other curves and forms than the library makes."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from k3k_pulumi.model.pki import AUTHORITIES, OF_KUBERNETES
from tests.e2e.conftest import MakeCluster
from tests.e2e.support.clusters import both, running
from tests.e2e.support.objects import pod

CURVES = (ec.SECP384R1(), ec.SECP521R1())


def private(key: ec.EllipticCurvePrivateKey, form: PrivateFormat) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def authority(name: str, curve: ec.EllipticCurve) -> dict[str, str]:
    """A CA as other tools make it: other extensions than ours, its key in the PKCS #8 form."""
    key = ec.generate_private_key(curve)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        (
            *("content_commitment", "data_encipherment", "key_agreement", "key_encipherment"),
            *("encipher_only", "decipher_only", "digital_signature"),
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    return {
        f"{name}_certificate": certificate.public_bytes(Encoding.PEM).decode(),
        f"{name}_key": private(key, PrivateFormat.PKCS8),
    }


@both
def test_every_key_may_be_the_users(make_cluster: MakeCluster, distribution: str) -> None:
    """Each works where it is used: clients, tokens, the way to the kubelet, the aggregator."""
    pki: dict[str, Any] = {}
    for index, name in enumerate(AUTHORITIES):
        pki |= authority(name, CURVES[index % 2])
    if distribution == "k3s":
        pki = {field: value for field, value in pki.items() if field not in OF_KUBERNETES}
        pki |= {"join_token": "a-token-of-the-user", "probe_token": "another.one_of-his"}
    service_account = ec.generate_private_key(ec.SECP384R1())
    pki["service_account_key"] = private(service_account, PrivateFormat.TraditionalOpenSSL)
    view = make_cluster(pki=pki)
    inside = view.inside

    cluster = json.loads(view.access.kubeconfig.read_text())["clusters"][0]["cluster"]
    trusted = base64.b64decode(cluster["certificate-authority-data"]).decode()
    assert trusted == pki["server_ca_certificate"]
    inside.apply(pod("own"))
    running(inside, "app=own", 1)
    assert inside.exec("own", ["echo", "here"]).stdout == b"here\n"
    token = inside("create", "token", "default").strip()
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["alg"] == "ES384"
