"""Leaf certificates by the openssl program.

A Python X.509 library would cost the kubelet 15 MB of memory for a few runs a year. `openssl ca` is used
because `openssl x509 -req` cannot set notBefore before OpenSSL 3.4.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BACK_DATED_SECONDS = 300
"""notBefore lies this far in the past, for peers whose clock is behind."""
TIMEOUT_SECONDS = 60
"""For one run of the program, which takes 10 ms."""

_DNS_NAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9_]*[a-z0-9])?)*")
_EXTENDED_USAGE = {"server": "serverAuth", "client": "clientAuth"}

_CONFIG = """\
[req]
distinguished_name = empty
string_mask = utf8only
[empty]
[ca]
default_ca = authority
[authority]
database = {work}/index
new_certs_dir = {work}
default_md = sha256
policy = anything
unique_subject = no
rand_serial = yes
[anything]
organizationName = optional
commonName = supplied
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usages}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{alternative_names}
"""


class OpensslError(ValueError):
    """A certificate that cannot be made: a bad value, or what the program said."""


@dataclass(frozen=True)
class Request:
    """What a leaf certificate says.

    Attributes:
        ip_addresses: Literal IPv4 or IPv6 addresses.
        usages: `server`, `client` or both.
        days: Length of life from notBefore; cut at the end of the CA's.
    """

    common_name: str
    organizations: Sequence[str]
    dns_names: Sequence[str]
    ip_addresses: Sequence[str]
    usages: Sequence[str]
    days: int


@dataclass(frozen=True)
class Leaf:
    """A certificate and its new EC P-256 key, PEM, valid from `not_before` to `not_after` (epoch seconds)."""

    certificate: bytes
    key: bytes
    not_before: int
    not_after: int


def check(request: Request) -> None:
    """Refuses what openssl would misread; afterwards every value is safe in its configuration.

    Raises:
        OpensslError: Names the field, the value and what is allowed.
    """
    for field, values in (("organizations", request.organizations), ("common_name", [request.common_name])):
        for value in values:
            if not 1 <= len(value) <= 64 or not value.isprintable():  # upper bounds of X.520
                raise OpensslError(f"{field}: {value!r} must be 1 to 64 printable characters")
    for name in request.dns_names:
        if not _DNS_NAME.fullmatch(name):
            raise OpensslError(f"dns_names: {name!r} is not a DNS name")
    for address in request.ip_addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise OpensslError(f"ip_addresses: {address!r} is not an IP address") from error
    unknown = [usage for usage in request.usages if usage not in _EXTENDED_USAGE]
    if unknown or not request.usages:
        raise OpensslError(f"usages: {list(request.usages)} must be server, client or both")
    if request.days < 1:
        raise OpensslError(f"days: {request.days} must be at least 1")


def issue(request: Request, ca_certificate: Path, ca_key: Path, folder: Path) -> Leaf:
    """Makes a key and a certificate for it.

    Args:
        request: What it says; checked here.
        ca_certificate: PEM file of the issuer.
        ca_key: PEM file of the issuer's key.
        folder: Where a temporary folder may be made; the private key is never written outside of it.

    Raises:
        OpensslError: A bad value, an expired CA, a CA that does not fit its key, no openssl program.
    """
    check(request)
    not_before = int(time.time()) - BACK_DATED_SECONDS
    not_after = min(not_before + request.days * 86400, _expiry(ca_certificate))
    with tempfile.TemporaryDirectory(prefix=".issue-", dir=folder) as name:
        work = Path(name)
        (work / "index").touch()
        (work / "config").write_text(_config(request, work))
        _run(
            *("req", "-new", "-batch", "-config", work / "config", "-utf8", "-subj", _subject(request)),
            *("-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", work / "key"),
            *("-out", work / "request"),
        )
        _run(
            *("ca", "-batch", "-notext", "-utf8", "-preserveDN", "-config", work / "config"),
            *("-extensions", "leaf", "-cert", ca_certificate, "-keyfile", ca_key),
            *("-startdate", _time(not_before), "-enddate", _time(not_after)),
            *("-in", work / "request", "-out", work / "certificate"),
        )
        return Leaf((work / "certificate").read_bytes(), (work / "key").read_bytes(), not_before, not_after)


def _config(request: Request, work: Path) -> str:
    names = [f"DNS:{name}" for name in request.dns_names]
    names += [f"IP:{address}" for address in request.ip_addresses]
    return _CONFIG.format(
        work=work,
        usages=", ".join(_EXTENDED_USAGE[usage] for usage in request.usages),
        alternative_names=f"subjectAltName = {', '.join(names)}" if names else "",
    )


def _subject(request: Request) -> str:
    """The subject in openssl's notation: /O=(repeated)/CN=, special characters behind a backslash."""
    parts = [("O", value) for value in request.organizations] + [("CN", request.common_name)]
    return "".join(f"/{kind}=" + re.sub(r"([\\/+])", r"\\\1", value) for kind, value in parts)


def _expiry(ca_certificate: Path) -> int:
    """End of the CA's life in epoch seconds."""
    text = _run("x509", "-noout", "-enddate", "-in", ca_certificate).strip()
    end = datetime.datetime.strptime(text, "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=datetime.UTC)
    if end.timestamp() <= time.time():
        raise OpensslError(f"ca_certificate: {ca_certificate} expired at {end.isoformat()}: replace the CA")
    return int(end.timestamp())


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y%m%d%H%M%SZ")


def _run(*arguments: str | Path) -> str:
    try:
        done = subprocess.run(
            ["openssl", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OpensslError(f"openssl {arguments[0]}: {error}") from error
    if done.returncode:
        detail = " / ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise OpensslError(f"openssl {arguments[0]} failed: {detail}")
    return done.stdout
