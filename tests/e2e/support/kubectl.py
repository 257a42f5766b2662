"""kubectl, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devcluster.config import cache
from tests.e2e.support.polling import SECONDS, tries

_TIMEOUT = re.compile(r"--timeout=(\d+)s")
_PASSING = re.compile(
    rb"etcdserver: |Error from server \((Server)?Timeout\)"
    rb"|TLS handshake timeout|http2: client connection lost"
    rb"|Error from server[^\n]* dial tcp [^\n]*: connection refused"
    rb'|failed calling webhook "services\.k3k-pulumi\.io"[^\n]*(deadline exceeded|EOF|reset by peer)'
)
"""Of a request for which a server had no time, or which it could not pass on to the virtual kubelet: nodes of
the host learn of a new port, and of a kubelet that is ready, by watches of their own."""
_TRIES, _PAUSE = 10, 1.0
_FAULT = re.compile(
    rb"Error from server \((InternalError|ServiceUnavailable)\)|connection reset by peer|\bEOF\b"
)
"""What may be a fault of the moment, or the answer: asked for a second time where that does no harm."""
_REPEATABLE = ("annotate", "apply", "create", "delete", "get", "label", "patch", "scale", "uncordon")
_LANDED = {"create": b"(AlreadyExists)", "delete": b"(NotFound)"}
"""What a second request is told where the first one was carried out, though its answer said no."""


class KubectlError(AssertionError):
    """kubectl ended with an error; an AssertionError, so that `eventually` retries what only settles late."""


def program() -> str:
    """The dev cluster's own kubectl, else the one on PATH."""
    built = cache() / "bin" / "kubectl"
    found = str(built) if built.exists() else shutil.which("kubectl")
    assert found, f"no kubectl: neither {built} nor on PATH"
    return found


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster, and for one namespace unless a call names another."""

    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> Kubectl:
        """The same cluster, another namespace."""
        return replace(self, namespace=namespace)

    def command(self, *args: str) -> list[str]:
        """The command line: for a caller that starts the process itself."""
        return [program(), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *args]

    def environment(self) -> dict[str, str]:
        """The caller's environment without what would point kubectl elsewhere or slow it with caches."""
        return {
            name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "POD_NAMESPACE")
        }

    def run(
        self, *args: str, stdin: bytes | None = None, timeout: float = SECONDS
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs kubectl and returns whatever came of it, its exit code too.

        It is run again where a failure that passes kept it from what it was to do. It is ended after
        `timeout` seconds, but not before what it is told itself by `--timeout=60s`.
        """
        asked = [float(found[1]) for each in args if (found := _TIMEOUT.fullmatch(each))]
        for attempt in tries(_TRIES, _PAUSE):
            done = subprocess.run(
                self.command(*args),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                timeout=max([timeout, *(seconds + 30.0 for seconds in asked)]),
                check=False,
                env=self.environment(),
            )
            if attempt > 1 and _has_landed(args[0], done):
                done.returncode = 0
            if not done.returncode or not _may_pass(args, done.stderr, attempt):
                break
        return done

    def __call__(self, *args: str, stdin: bytes | None = None, timeout: float = SECONDS) -> str:
        """Runs kubectl, which has to succeed; its standard output.

        Raises:
            KubectlError: with the command and its standard error.
        """
        result = self.run(*args, stdin=stdin, timeout=timeout)
        if result.returncode:
            raise KubectlError(
                f"kubectl {shlex.join(args)} (namespace {self.namespace}) ended with {result.returncode}: "
                f"{result.stderr.decode(errors='replace').strip()}"
            )
        return result.stdout.decode(errors="replace")

    def get(self, *args: str) -> Any:
        """`kubectl get ... -o json`, decoded: an object when one is named, else a list of objects."""
        found = json.loads(self("get", *args, "-o", "json"))
        return found["items"] if found.get("kind", "").endswith("List") and "items" in found else found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Server-side apply of the objects, in this order."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "-f", "-", stdin=json.dumps(listed).encode())

    def create(self, *objects: Mapping[str, Any]) -> None:
        """Creates the objects; refuses those that exist."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("create", "-f", "-", stdin=json.dumps(listed).encode())

    def dry_run(self, manifest: Mapping[str, Any]) -> subprocess.CompletedProcess[bytes]:
        """What the API server says to the creation of an object, which is not made."""
        return self.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest).encode())

    def exec(
        self,
        pod: str,
        command: Sequence[str],
        *,
        stdin: bytes | None = None,
        container: str | None = None,
        timeout: float = SECONDS,
    ) -> subprocess.CompletedProcess[bytes]:
        """`kubectl exec`, with -i when there is something for standard input."""
        flags = (["-i"] if stdin is not None else []) + ([f"--container={container}"] if container else [])
        return self.run("exec", *flags, pod, "--", *command, stdin=stdin, timeout=timeout)


def _may_pass(args: Sequence[str], errors: bytes, attempt: int) -> bool:
    """Whether a request that failed is made again."""
    repeatable = attempt == 1 and args[0] in _REPEATABLE and "--raw" not in args
    return bool(_PASSING.search(errors) or (repeatable and _FAULT.search(errors)))


def _has_landed(verb: str, done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether all that kubectl complains of is that an earlier one has done it."""
    errors = [line for line in done.stderr.splitlines() if line.startswith(b"Error")]
    return verb in _LANDED and bool(errors) and all(_LANDED[verb] in line for line in errors)
