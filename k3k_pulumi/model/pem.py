"""What is wrong with keys in PEM, field by field; no text of it has a value in it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from k3k_pulumi.model.later import Later
from k3k_pulumi.model.pki import AUTHORITIES, OF_K3S

_CERTIFICATE = re.compile(r"\s*-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\s*")
_PRIVATE_KEY = re.compile(
    r"\s*-----BEGIN ([A-Z]+ )?PRIVATE KEY-----[^-]+-----END (?(1)\1)PRIVATE KEY-----\s*"
)
_SEC1 = re.compile(r"\s*-----BEGIN EC PRIVATE KEY-----[^-]+-----END EC PRIVATE KEY-----\s*")
_TOKEN = re.compile(r"[A-Za-z0-9._-]{16,256}")


def problems(given: Mapping[str, str | Later]) -> list[str]:
    """What is wrong with the keys, a line for each problem. Those of a Later are not looked at."""
    found = [line for name in AUTHORITIES for line in _authority(name, given)]
    found += _shared(given)
    key = given.get("service_account_key")
    if isinstance(key, str):
        if problem := _key_problem(key):
            found.append(f"pki.service_account_key: {problem}")
        elif not _SEC1.fullmatch(key):
            # kube-apiserver's reader of verification keys: k8s.io/client-go/util/keyutil.
            found.append(
                "pki.service_account_key: must be in the SEC1 form (BEGIN EC PRIVATE KEY), as kube-apiserver "
                "takes no other: openssl ec -in KEY"
            )
    for field in OF_K3S:
        token = given.get(field)
        if isinstance(token, str) and not _TOKEN.fullmatch(token):
            found.append(f"pki.{field}: must be 16 to 256 letters, digits, '.', '_' and '-'")
    return found


def _authority(name: str, given: Mapping[str, str | Later]) -> Iterator[str]:
    """Problems of one CA."""
    fields = (f"{name}_certificate", f"{name}_key")
    found = [given.get(field) for field in fields]
    if found == [None, None]:
        return
    for field, value, other in zip(fields, found, reversed(fields), strict=True):
        if value is None:
            yield f"pki.{field}: missing; pki.{other} has no use without it"
    certificate, key = found
    certificate_problem = _certificate_problem(certificate) if isinstance(certificate, str) else None
    key_problem = _key_problem(key) if isinstance(key, str) else None
    for field, problem in zip(fields, (certificate_problem, key_problem), strict=True):
        if problem:
            yield f"pki.{field}: {problem}"
    if not isinstance(certificate, str) or not isinstance(key, str) or certificate_problem or key_problem:
        return
    if _load(certificate).public_key() != load_pem_private_key(key.encode(), None).public_key():
        yield f"pki.{fields[1]}: does not belong to pki.{fields[0]}"


def _certificate_problem(pem: str) -> str | None:
    """What is wrong with a CA's certificate."""
    # The library has errors of many kinds for what others made up, some of no common base: any means no.
    try:
        found = _load(pem) if _CERTIFICATE.fullmatch(pem) else None
    except Exception:
        found = None
    if found is None:
        return "must be one certificate in PEM (BEGIN CERTIFICATE)"
    try:
        is_authority = found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        is_authority &= found.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except Exception:
        is_authority = False
    if not is_authority:
        return (
            "must be the certificate of a CA: with the basic constraint CA, the key usage keyCertSign and a "
            "subject key identifier (RFC 5280, 4.2.1)"
        )
    try:
        found.verify_directly_issued_by(found)
    except Exception:
        return "must be self-signed: whom else its issuer vouches for would be let in as well"
    now = datetime.datetime.now(datetime.UTC)
    if found.not_valid_after_utc <= now:
        return f"expired at {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if found.not_valid_before_utc > now:
        return f"is not valid before {found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _key_problem(pem: str) -> str | None:
    """What is wrong with a private key."""
    try:
        key = load_pem_private_key(pem.encode(), None) if _PRIVATE_KEY.fullmatch(pem) else None
    except Exception:
        key = None
    if key is None:
        return "must be one private key in PEM, without a password and with nothing beside it"
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
        key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
    ):
        return "must be an EC key of the curve P-256, P-384 or P-521"
    return None


def _shared(given: Mapping[str, str | Later]) -> Iterator[str]:
    """A line for each key that two have: who has a certificate of the one would pass for the other's."""
    seen: dict[bytes, str] = {}
    for field in (*(f"{name}_key" for name in AUTHORITIES), "service_account_key"):
        value = given.get(field)
        if not isinstance(value, str) or _key_problem(value):
            continue
        public = load_pem_private_key(value.encode(), None).public_key()
        form = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if (other := seen.setdefault(form, field)) != field:
            yield f"pki.{field}: is the same key as pki.{other}: each needs one of its own"


def _load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())
