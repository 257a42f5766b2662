"""Certificates issued inside the cluster, from a CA whose key is mounted: `k3k-kubelet certificates`.

The serving address of an API server (its Service's ClusterIP) is known only in its pod, and leaf certificates
must renew without `pulumi up`. So an init container issues them, a sidecar (`--watch`) renews them at two
thirds of their life, and `k3k-kubelet run` does both in process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import ipaddress
import json
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from k3k_kubelet import openssl

log = logging.getLogger(__name__)

CHECK_SECONDS = 3600.0
"""How often the files are compared with the spec at the latest: a mounted CA may have been replaced."""
RETRY_SECONDS = 60.0
"""After a failed renewal. A third of the certificate's life is left then."""

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


class CertificateError(ValueError):
    """A spec that cannot be carried out; the text names the entry of the spec."""


class Copy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from", "target": "to"}
):
    """One file to copy (`from`, `to`). `mode` is octal text; missing folders of the target are made."""

    source: str
    target: str
    mode: str = "0600"


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One leaf certificate with a new key: `<out>.crt` (0644), `<out>.key` (`key_mode`), `<out>.json` (ours).

    Attributes:
        name: What errors and log lines call it.
        ip_addresses: Literal addresses or `$NAME`, which stands for an environment variable.
        days: Length of life; cut at the end of the CA's.
    """

    name: str
    out: str
    ca_certificate: str
    ca_key: str
    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    usages: tuple[Literal["server", "client"], ...]
    days: int = 365
    key_mode: str = "0600"


class Kubeconfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A kubeconfig that refers to its files by path, so that a renewed certificate is picked up by client-go.

    `server` may contain `$NAME`; an IPv6 address that stands there gets its brackets.
    """

    out: str
    server: str
    ca_certificate: str
    certificate: str
    key: str
    mode: str = "0600"


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must be so of the place before anything is made: an address, or `$NAME`, lies in a range.

    `otherwise` is the error; `{address}` in it stands for the address.
    """

    address: str
    within: str
    otherwise: str


class Admitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Until when an init container waits: an API server answers with 200, or `seconds` are over.

    Attributes:
        kubeconfig: File with server and identity: the `out` of a Kubeconfig.
        path: What is asked for, such as `/api/v1/namespaces?limit=1`.
        seconds: How long to wait at most.
    """

    kubeconfig: str
    path: str
    seconds: float


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `k3k-kubelet certificates` checks, makes and (without `--watch`) waits for, in this order."""

    addresses: tuple[Address, ...] = ()
    copy: tuple[Copy, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    kubeconfigs: tuple[Kubeconfig, ...] = ()
    admitted: Admitted | None = None


class _Issued(msgspec.Struct, frozen=True):
    """`<out>.json`: digests of what a certificate was made from and of its files: a restart keeps it."""

    inputs: str
    certificate: str
    key: str
    not_before: int
    not_after: int

    @property
    def renew_at(self) -> float:
        return self.not_before + (self.not_after - self.not_before) * 2 / 3


class Outcome(msgspec.Struct, frozen=True):
    """What `apply` did: the names of new certificates, and when the next one is due (epoch seconds)."""

    issued: tuple[str, ...]
    renew_at: float


def load_spec(path: Path) -> Spec:
    """Reads a spec file.

    Raises:
        CertificateError: The file is missing, no JSON, or has an unknown, missing or wrong field (and where).
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Spec)
    except OSError as error:
        raise CertificateError(f"certificate spec {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise CertificateError(f"certificate spec {path}: {error}") from error


def apply(spec: Spec, environment: Mapping[str, str] | None = None) -> Outcome:
    """Carries out a spec. A certificate that was made from the same inputs and is not due is kept.

    Args:
        spec: What to make.
        environment: What `$NAME` stands for; the process's environment by default.

    Raises:
        CertificateError: An entry that cannot be carried out; earlier entries are done by then.
    """
    environment = os.environ if environment is None else environment
    issued: list[str] = []
    renew_at = float("inf")
    for index, address in enumerate(spec.addresses):
        _check(f"addresses[{index}]", address, environment)
    for index, copy in enumerate(spec.copy):
        where = f"copy[{index}] ({copy.target})"
        _write(where, Path(copy.target), _read(where, "from", copy.source), _mode(where, copy.mode))
    for index, entry in enumerate(spec.certificates):
        record, is_new = _ensure(f"certificates[{index}] ({entry.name})", entry, environment)
        renew_at = min(renew_at, record.renew_at)
        if is_new:
            issued.append(entry.name)
    for index, kubeconfig in enumerate(spec.kubeconfigs):
        where = f"kubeconfigs[{index}] ({kubeconfig.out})"
        content = _kubeconfig(where, kubeconfig, environment)
        _write(where, Path(kubeconfig.out), content, _mode(where, kubeconfig.mode))
    return Outcome(tuple(issued), renew_at)


def watch(spec: Spec, stop: threading.Event) -> None:
    """Keeps certificates current until `stop` is set; a failed renewal is logged and tried again."""
    while not stop.wait(_pause(_apply_and_log(spec).renew_at)):
        pass


async def maintain(spec: Spec, renewed: Callable[[tuple[str, ...]], None]) -> None:
    """As `watch`, within an event loop, until cancelled: `renewed` gets the names of new certificates.

    The first comparison is immediate, so `apply` may or may not have run before.
    """
    while True:
        outcome = await asyncio.to_thread(_apply_and_log, spec)
        if outcome.issued:
            renewed(outcome.issued)
        await asyncio.sleep(_pause(outcome.renew_at))


def main(arguments: Sequence[str]) -> int:
    """The `certificates` subcommand; returns the exit code (1 and one line on stderr for a spec in error)."""
    parser = argparse.ArgumentParser(
        prog="k3k-kubelet certificates",
        description="Make the copies, certificates and kubeconfigs of a spec.",
    )
    parser.add_argument("--spec", type=Path, required=True, metavar="FILE", help="what to make, as JSON")
    parser.add_argument("--watch", action="store_true", help="stay, and renew each at two thirds of its life")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # PID 1 has no default action for them
        signal.signal(number, lambda *_: stop.set())
    try:
        spec = load_spec(options.spec)
        _log_outcome(apply(spec))
    except CertificateError as error:
        log.error("%s", error)
        return 1
    if options.watch:
        watch(spec, stop)
    elif spec.admitted is not None:
        from k3k_kubelet import admitted  # for those who wait alone: a TLS client takes memory

        admitted.wait(spec.admitted, stop)
    return 0


def _apply_and_log(spec: Spec) -> Outcome:
    try:
        outcome = apply(spec)
    except CertificateError as error:
        log.error("renewal failed, next try in %.0f s: %s", RETRY_SECONDS, error)
        return Outcome((), time.time() + RETRY_SECONDS)
    _log_outcome(outcome)
    return outcome


def _log_outcome(outcome: Outcome) -> None:
    for name in outcome.issued:
        log.info("issued certificate %s", name)


def _pause(renew_at: float) -> float:
    return min(max(renew_at - time.time(), 1.0), CHECK_SECONDS)


def _check(where: str, entry: Address, environment: Mapping[str, str]) -> None:
    text = _expand(where, "address", entry.address, environment)
    try:
        is_within = ipaddress.ip_address(text) in ipaddress.ip_network(entry.within)
    except ValueError as error:
        raise CertificateError(f"{where}: {error}") from error
    if not is_within:
        raise CertificateError(entry.otherwise.replace("{address}", text))


def _ensure(where: str, entry: Certificate, environment: Mapping[str, str]) -> tuple[_Issued, bool]:
    """Returns the record of the certificate in place, and whether this call issued it."""
    addresses = [_expand(where, "ip_addresses", text, environment) for text in entry.ip_addresses]
    request = openssl.Request(
        common_name=entry.common_name,
        organizations=entry.organizations,
        dns_names=entry.dns_names,
        ip_addresses=addresses,
        usages=entry.usages,
        days=entry.days,
    )
    inputs = _digest(
        repr(request).encode(),
        _read(where, "ca_certificate", entry.ca_certificate),
        _read(where, "ca_key", entry.ca_key),
    )
    record = _current(entry, inputs)
    if record is not None:
        return record, False
    key_mode = _mode(where, entry.key_mode)
    out = Path(entry.out)
    _make_parent(where, out)
    try:
        # In the target's folder: the key never leaves that (memory-backed) volume, and the root is read-only.
        leaf = openssl.issue(request, Path(entry.ca_certificate), Path(entry.ca_key), out.parent)
    except openssl.OpensslError as error:
        raise CertificateError(f"{where}: {error}") from error
    record = _Issued(inputs, _digest(leaf.certificate), _digest(leaf.key), leaf.not_before, leaf.not_after)
    _write(where, Path(f"{out}.key"), leaf.key, key_mode)
    _write(where, Path(f"{out}.crt"), leaf.certificate, 0o644)
    _write(where, Path(f"{out}.json"), msgspec.json.encode(record), 0o644)
    return record, True


def _current(entry: Certificate, inputs: str) -> _Issued | None:
    """The record of what lies at `out`, unless that is missing, due, damaged or made from something else."""
    try:
        record = msgspec.json.decode(Path(f"{entry.out}.json").read_bytes(), type=_Issued)
        certificate, key = Path(f"{entry.out}.crt").read_bytes(), Path(f"{entry.out}.key").read_bytes()
    except (OSError, msgspec.DecodeError):
        return None
    same = (record.inputs, record.certificate, record.key) == (inputs, _digest(certificate), _digest(key))
    return record if same and time.time() < record.renew_at else None


def _kubeconfig(where: str, entry: Kubeconfig, environment: Mapping[str, str]) -> bytes:
    """The file's content; JSON, which is YAML as well."""
    server = _expand(where, "server", entry.server, environment, brackets=True)
    if not server.startswith("https://"):
        raise CertificateError(f"{where}: server is {server!r}, must begin with https://")
    name = "default"
    cluster = {"server": server, "certificate-authority": entry.ca_certificate}
    user = {"client-certificate": entry.certificate, "client-key": entry.key}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(document, indent=1).encode()


def _expand(
    where: str, field: str, text: str, environment: Mapping[str, str], *, brackets: bool = False
) -> str:
    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1])
        if not found:
            raise CertificateError(f"{where}: {field}: {text}: environment variable {match[1]} is not set")
        return f"[{found}]" if brackets and ":" in found else found

    return _VARIABLE.sub(value, text)


def _read(where: str, field: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{where}: {field}: {path}: {error.strerror}") from error


def _mode(where: str, text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise CertificateError(f"{where}: mode is {text!r}, must be octal like 0600")
    return int(text, 8)


def _make_parent(where: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CertificateError(f"{where}: {path.parent}: {error.strerror}") from error


def _write(where: str, path: Path, content: bytes, mode: int) -> None:
    """Replaces a file in one step, so that no reader sees a half of it; an equal one is left alone."""
    _make_parent(where, path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CertificateError(f"{where}: {path}: {error.strerror}") from error


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
