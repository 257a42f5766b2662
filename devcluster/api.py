"""The little of the Kubernetes API that bringing a cluster up needs, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devcluster.errors import DevclusterError
from devcluster.pki import Pair

POLL = 0.1  # seconds between two looks at something that is to become true
TIMEOUT = 10.0  # seconds for one request
PATIENCE = 300.0  # seconds in which an API server that starts, or has no time, is asked again
BUSY = frozenset({409, 429, 500, 502, 503, 504})  # answers that another attempt may not get
FIELD_MANAGER = "devcluster"

Manifest = dict[str, Any]


class Api:
    """Client of one API server, with a client certificate."""

    def __init__(self, server: str, ca: Path, identity: Pair) -> None:
        self._host = urlsplit(server).netloc
        self._context = ssl.create_default_context(cafile=str(ca))
        self._context.load_cert_chain(str(identity.crt), str(identity.key))

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Any:
        """One request; the JSON of its answer, or its text.

        Made again for `PATIENCE` when the server cannot take it just now: all that is asked here may be asked
        twice.

        Raises:
            ApiError: The server refused it.
            OSError: The server cannot be reached.
            http.client.HTTPException: It gave no whole answer.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._once(method, path, body, content_type)
            except (OSError, http.client.HTTPException, ApiError) as error:
                refused = isinstance(error, ApiError) and error.status not in BUSY
                if refused or time.monotonic() > deadline:
                    raise
            time.sleep(POLL)

    def _once(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=TIMEOUT)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers={"Content-Type": content_type})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise ApiError(method, path, answer.status, content.decode(errors="replace"))
        return (
            json.loads(content)
            if answer.headers.get_content_type() == "application/json"
            else content.decode()
        )

    def get(self, path: str) -> Any:
        """The object or list at `path`, or None if there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def ready(self) -> bool:
        """Whether the API server serves."""
        try:
            return bool(self._once("GET", "/readyz") == "ok")
        except (OSError, http.client.HTTPException, ApiError):
            return False

    def apply(self, *manifests: Manifest) -> None:
        """Server-side apply, in order."""
        for manifest in manifests:
            query = f"?fieldManager={FIELD_MANAGER}&force=true"
            self.request("PATCH", path_of(manifest) + query, manifest, "application/apply-patch+yaml")


class ApiError(DevclusterError):
    """The API server refused a request."""

    def __init__(self, method: str, path: str, status: int, answer: str) -> None:
        super().__init__(f"the API server answered {method} {path} with {status}: {answer.strip()}")
        self.status = status


# Kinds devcluster itself applies: kind -> (plural, whether it lives in a namespace).
KINDS = {
    "Namespace": ("namespaces", False),
    "ServiceAccount": ("serviceaccounts", True),
    "ConfigMap": ("configmaps", True),
    "Service": ("services", True),
    "APIService": ("apiservices", False),
    "Deployment": ("deployments", True),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "StorageClass": ("storageclasses", False),
    "Node": ("nodes", False),
}


def path_of(manifest: Manifest) -> str:
    """The URL path of the object."""
    plural, namespaced = KINDS[manifest["kind"]]
    version = manifest["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    metadata = manifest["metadata"]
    inside = f"/namespaces/{metadata['namespace']}" if namespaced else ""
    return f"{base}{inside}/{plural}/{metadata['name']}"


def wait(what: str, until: Callable[[], bool], seconds: float, explain: Callable[[], Iterable[str]]) -> None:
    """Waits until something is true.

    Args:
        what: What is waited for, for the error.
        until: Tells whether it is true.
        seconds: How long at most.
        explain: Lines that say why it may not be, asked for at the end only.

    Raises:
        DevclusterError: It did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise DevclusterError("\n".join([f"{what}: not within {seconds:.0f} s", *explain()]))
        time.sleep(POLL)
