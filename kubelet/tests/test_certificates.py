"""`k3k-kubelet certificates`: what it writes is judged by the cryptography package and by openssl itself."""

import asyncio
import datetime
import ipaddress
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from k3k_kubelet import certificates

from kubelet.tests.waiting import eventually

CA_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def make_ca(folder: Path, name: str = "ca", days: float = 3650) -> ec.EllipticCurvePrivateKey:
    """Writes `<name>.crt` and `<name>.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(CA_KEY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return key


def entry(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "apiserver",
        "out": str(folder / "run" / "tls" / "apiserver"),
        "ca_certificate": str(folder / "ca.crt"),
        "ca_key": str(folder / "ca.key"),
        "common_name": "kube-apiserver",
        "dns_names": ["kubernetes.default.svc", "localhost"],
        "ip_addresses": ["127.0.0.1", "$API_SERVICE_HOST"],
        "usages": ["server", "client"],
        "days": 365,
    } | changes


def load(folder: Path, document: dict[str, Any]) -> certificates.Spec:
    path = folder / "spec.json"
    path.write_text(json.dumps(document))
    return certificates.load_spec(path)


def issue(
    folder: Path, environment: dict[str, str] | None = None, **changes: Any
) -> tuple[x509.Certificate, certificates.Outcome]:
    spec = load(folder, {"certificates": [entry(folder, **changes)]})
    outcome = certificates.apply(spec, environment or {"API_SERVICE_HOST": "10.96.4.2"})
    return read(folder), outcome


def read(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "run/tls/apiserver.crt").read_bytes())


def test_a_serving_certificate_says_what_the_spec_says(tmp_path: Path) -> None:
    make_ca(tmp_path)
    certificate, outcome = issue(tmp_path)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default.svc", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("10.96.4.2"),
    ]
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    key = serialization.load_pem_private_key((tmp_path / "run/tls/apiserver.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificate.public_key()
    assert certificate.serial_number.bit_length() > 64
    assert outcome.issued == ("apiserver",)


def test_times(tmp_path: Path) -> None:
    make_ca(tmp_path)
    before = time.time()
    certificate, outcome = issue(tmp_path)
    start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    assert before - 301 <= start <= time.time() - 300
    assert end - start == 365 * 86400
    assert outcome.renew_at == pytest.approx(start + 365 * 86400 * 2 / 3)


def test_a_certificate_does_not_outlive_its_ca(tmp_path: Path) -> None:
    make_ca(tmp_path, days=10)
    certificate, _ = issue(tmp_path)
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    assert certificate.not_valid_after_utc == ca.not_valid_after_utc


def test_openssl_and_the_ca_agree(tmp_path: Path) -> None:
    make_ca(tmp_path)
    certificate, _ = issue(tmp_path, common_name="a/b+c=d, \\e ü", organizations=["system:masters", "second"])
    values = [(item.oid, item.value) for item in certificate.subject]
    assert values == [
        (NameOID.ORGANIZATION_NAME, "system:masters"),
        (NameOID.ORGANIZATION_NAME, "second"),
        (NameOID.COMMON_NAME, "a/b+c=d, \\e ü"),
    ]
    for purpose in ("sslserver", "sslclient"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", tmp_path / "ca.crt"]
        verified = subprocess.run(
            [*command, "-verify_ip", "10.96.4.2", tmp_path / "run/tls/apiserver.crt"],
            capture_output=True,
            text=True,
        )
        assert verified.returncode == 0, verified.stderr


def test_modes_and_nothing_left_behind(tmp_path: Path) -> None:
    make_ca(tmp_path)
    issue(tmp_path, key_mode="0640")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run/tls").iterdir()}
    assert modes == {"apiserver.crt": 0o644, "apiserver.key": 0o640, "apiserver.json": 0o644}
    issue(tmp_path, days=100)
    assert stat.S_IMODE((tmp_path / "run/tls/apiserver.key").stat().st_mode) == 0o600


def test_a_good_certificate_is_kept_and_others_are_replaced(tmp_path: Path) -> None:
    make_ca(tmp_path)
    first, _ = issue(tmp_path)
    kept, outcome = issue(tmp_path)
    assert kept == first
    assert outcome.issued == ()
    moved, _ = issue(tmp_path, {"API_SERVICE_HOST": "10.96.9.9"})
    assert moved.serial_number != first.serial_number
    (tmp_path / "run/tls/apiserver.key").write_text("damaged")
    repaired, _ = issue(tmp_path, {"API_SERVICE_HOST": "10.96.9.9"})
    assert repaired.serial_number != moved.serial_number
    make_ca(tmp_path)
    assert issue(tmp_path, {"API_SERVICE_HOST": "10.96.9.9"})[1].issued == ("apiserver",)


def test_a_certificate_is_renewed_at_two_thirds_of_its_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ca(tmp_path)
    first, outcome = issue(tmp_path)
    monkeypatch.setattr(time, "time", lambda: outcome.renew_at - 1)
    assert issue(tmp_path)[0] == first
    monkeypatch.setattr(time, "time", lambda: outcome.renew_at)
    renewed, again = issue(tmp_path)
    assert renewed.serial_number != first.serial_number
    assert renewed.not_valid_before_utc.timestamp() == pytest.approx(outcome.renew_at - 300, abs=1)
    assert again.renew_at > outcome.renew_at


def test_maintain_reports_renewed_certificates(tmp_path: Path) -> None:
    make_ca(tmp_path)
    spec = load(tmp_path, {"certificates": [entry(tmp_path, ip_addresses=[])]})

    async def first_report() -> tuple[str, ...]:
        reports: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
        task = asyncio.create_task(certificates.maintain(spec, reports.put_nowait))
        try:
            return await asyncio.wait_for(reports.get(), 30)
        finally:
            task.cancel()

    assert asyncio.run(first_report()) == ("apiserver",)
    assert read(tmp_path).subject.rfc4514_string() == "CN=kube-apiserver"


@pytest.mark.parametrize(
    ("address", "within", "is_refused"),
    [
        ("10.43.7.7", "10.43.0.0/16", False),
        ("10.44.0.1", "10.43.0.0/16", True),
        ("fd00::1", "0.0.0.0/0", True),
        ("fd00::1", "::/0", False),
    ],
)
def test_an_address_out_of_its_range_ends_it_before_anything_is_made(
    tmp_path: Path, address: str, within: str, is_refused: bool
) -> None:
    target = tmp_path / "copy"
    (tmp_path / "file").write_text("x")
    check = {"address": "$ADDRESS", "within": within, "otherwise": "service_cidr: {address} is elsewhere"}
    document = {"addresses": [check], "copy": [{"from": str(tmp_path / "file"), "to": str(target)}]}
    spec = load(tmp_path, document)
    if is_refused:
        with pytest.raises(certificates.CertificateError, match=f"^service_cidr: {address} is elsewhere$"):
            certificates.apply(spec, {"ADDRESS": address})
    else:
        certificates.apply(spec, {"ADDRESS": address})
    assert target.exists() is not is_refused


def test_copies(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"\x00bytes\n")
    spec = load(
        tmp_path,
        {"copy": [{"from": str(tmp_path / "from"), "to": str(tmp_path / "a/b/to"), "mode": "0640"}]},
    )
    certificates.apply(spec, {})
    copied = tmp_path / "a/b/to"
    assert copied.read_bytes() == b"\x00bytes\n"
    assert stat.S_IMODE(copied.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.4.2", "https://10.96.4.2:443"), ("fd00::2", "https://[fd00::2]:443")]
)
def test_kubeconfigs(tmp_path: Path, host: str, server: str) -> None:
    config = {
        "out": str(tmp_path / "kubeconfig"),
        "server": "https://$API_SERVICE_HOST:443",
        "ca_certificate": "/tls/ca.crt",
        "certificate": "/tls/me.crt",
        "key": "/tls/me.key",
    }
    certificates.apply(load(tmp_path, {"kubeconfigs": [config]}), {"API_SERVICE_HOST": host})
    written = json.loads((tmp_path / "kubeconfig").read_text())
    assert written["clusters"][0]["cluster"] == {"server": server, "certificate-authority": "/tls/ca.crt"}
    assert written["users"][0]["user"] == {
        "client-certificate": "/tls/me.crt",
        "client-key": "/tls/me.key",
    }
    assert written["current-context"] == written["contexts"][0]["name"]
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ip_addresses": ["$NOT_SET"]}, "environment variable NOT_SET is not set"),
        ({"ip_addresses": ["10.0.0.256"]}, "ip_addresses: '10.0.0.256' is not an IP address"),
        ({"dns_names": ["a,DNS:evil"]}, "dns_names: 'a,DNS:evil' is not a DNS name"),
        ({"common_name": "a\nb"}, "common_name: 'a\\nb' must be 1 to 64 printable characters"),
        ({"common_name": "x" * 65}, "common_name: "),
        ({"organizations": [""]}, "organizations: '' must be 1 to 64"),
        ({"usages": []}, "usages: [] must be server, client or both"),
        ({"days": 0}, "days: 0 must be at least 1"),
        ({"key_mode": "rw"}, "mode is 'rw', must be octal like 0600"),
        ({"ca_key": "/nowhere/ca.key"}, "ca_key: /nowhere/ca.key: No such file"),
    ],
)
def test_errors_name_the_entry_and_the_value(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make_ca(tmp_path)
    with pytest.raises(certificates.CertificateError) as caught:
        issue(tmp_path, **changes)
    assert str(caught.value).startswith("certificates[0] (apiserver): ")
    assert message in str(caught.value)
    assert not (tmp_path / "run/tls/apiserver.crt").exists()


def test_a_foreign_key_and_an_expired_ca_are_refused(tmp_path: Path) -> None:
    make_ca(tmp_path)
    make_ca(tmp_path, "other")
    with pytest.raises(certificates.CertificateError, match="CA certificate and CA private key do not match"):
        issue(tmp_path, ca_key=str(tmp_path / "other.key"))
    make_ca(tmp_path, "old", days=-0.5)
    with pytest.raises(certificates.CertificateError, match=r"old\.crt expired at .*: replace the CA"):
        issue(tmp_path, ca_certificate=str(tmp_path / "old.crt"), ca_key=str(tmp_path / "old.key"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"certificate": []}, "unknown field `certificate`"),
        ({"certificates": [{"name": "x"}]}, r"missing required field `out` - at `$.certificates[0]`"),
        ({"copy": [{"from": "a", "to": "b", "owner": 1}]}, "unknown field `owner` - at `$.copy[0]`"),
    ],
)
def test_a_spec_with_unknown_or_missing_fields_is_refused(
    tmp_path: Path, document: dict[str, Any], message: str
) -> None:
    with pytest.raises(certificates.CertificateError) as caught:
        load(tmp_path, document)
    assert message in str(caught.value)


def test_the_program_watches_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """Its life is cut by the end of the CA, so that two thirds of it are over within seconds."""
    make_ca(tmp_path, days=162 / 86400)  # 300 s back-dated and 162 s to come: due in 8 s
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"certificates": [entry(tmp_path, ip_addresses=["$HOST_IP"])]}))
    program = "import sys; from k3k_kubelet.certificates import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--spec", str(spec), "--watch"],
        env=os.environ | {"HOST_IP": "192.0.2.7"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        assert "issued certificate apiserver" in process.stderr.readline()
        first = read(tmp_path)
        assert "issued certificate apiserver" in process.stderr.readline()
        # What was read first may have been the second already; a third one follows.
        asyncio.run(eventually(lambda: read(tmp_path).serial_number != first.serial_number))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_the_program_reports_an_error_in_one_line(tmp_path: Path) -> None:
    program = "import sys; from k3k_kubelet.certificates import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "--spec", str(tmp_path / "none.json")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "none.json: No such file or directory" in done.stderr
