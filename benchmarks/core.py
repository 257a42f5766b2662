"""What every benchmark does: reach both clusters, make pods, see when they are what, and say it in a table.

All of it in one process and one event loop, so that moments on the host and inside compare, and with the
kubelet's own small client, so that measuring takes little of the machine that is measured.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from k3k_kubelet.api import PODS, SERVICE_ACCOUNTS, ApiClient, ApiError, NotFoundError, Resource
from k3k_kubelet.api.endpoint import client_context
from k3k_kubelet.api.watch import watch

PAUSE = "registry.k8s.io/pause:3.10.1"
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
POD_TIMEOUT = 60.0
"""Seconds a single pod may take."""

Object = dict[str, Any]


class KubeconfigEndpoint:
    """The API server of a kubeconfig's current context, with its certificate or token.

    Args:
        kubeconfig: The file; certificates have to be in it, not beside it.
    """

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        context = _named(content, "contexts", "context", content["current-context"])
        cluster = _named(content, "clusters", "cluster", context["cluster"])
        self._user = _named(content, "users", "user", context["user"])
        self._authority = base64.b64decode(cluster["certificate-authority-data"])
        server = urlsplit(cluster["server"])
        self.name = "host"
        self.host = server.hostname or ""
        self.port = server.port or 443
        self._context: ssl.SSLContext | None = None

    def ssl_context(self) -> ssl.SSLContext:
        """Trusts the cluster's CA, shows the user's certificate."""
        if self._context is None:
            with tempfile.TemporaryDirectory() as folder:
                authority, certificate, key = (Path(folder) / name for name in ("ca", "crt", "key"))
                authority.write_bytes(self._authority)
                self._context = client_context(authority)
                if "client-certificate-data" in self._user:
                    certificate.write_bytes(base64.b64decode(self._user["client-certificate-data"]))
                    key.write_bytes(base64.b64decode(self._user["client-key-data"]))
                    self._context.load_cert_chain(certificate, key)
        return self._context

    def token(self) -> str | None:
        """The user's token, if it has one."""
        found = self._user.get("token")
        return None if found is None else str(found)

    def refresh(self) -> None:
        """Nothing to read again: a kubeconfig lasts longer than a benchmark."""


def _named(content: Object, plural: str, singular: str, name: str) -> Object:
    found: Object = next(entry[singular] for entry in content[plural] if entry["name"] == name)
    return found


def connect(kubeconfig: Path) -> ApiClient:
    """A client of that cluster."""
    return ApiClient(KubeconfigEndpoint(kubeconfig), connections=32, timeout=60.0)


def pause_pod(name: str) -> Object:
    """The smallest pod there is: one process that sleeps."""
    spec = {
        "containers": [{"name": "main", "image": PAUSE}],
        # The virtual cluster's default for pods that say nothing: it costs, and is to cost on both sides.
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Moments(NamedTuple):
    """When something was first true of a pod, by the event loop's clock; None while it is not.

    Attributes:
        seen: There is a pod of that name.
        bound: It has a node.
        ready: Its status says Running and Ready.
    """

    seen: float
    bound: float | None = None
    ready: float | None = None


@dataclass
class Timeline:
    """What a watch of one namespace's pods has seen.

    Attributes:
        client: The cluster.
        namespace: The namespace.
        key: Gives the name under which a pod is remembered; by default its own.
        moments: By that name.
        present: The names of the pods that are there.
    """

    client: ApiClient
    namespace: str
    key: Callable[[Object], str] = lambda pod: str(pod["metadata"]["name"])
    moments: dict[str, Moments] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Timeline]:
        """Watches for as long as the block runs."""
        page = await self.client.request("GET", PODS.path(self.namespace), query={"limit": "1"})
        task = asyncio.create_task(self._watch(page["metadata"]["resourceVersion"]))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, version: str) -> None:
        while True:  # an API server ends a watch after some minutes
            async for kind, pod in watch(self.client, PODS, self.namespace, version):
                version = pod["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    self._take(kind, pod, asyncio.get_running_loop().time())

    def _take(self, kind: str, pod: Object, now: float) -> None:
        name = self.key(pod)
        if kind == "DELETED":
            self.present.discard(name)
        else:
            self.present.add(name)
            moments = self.moments.get(name) or Moments(now)
            if moments.bound is None and pod["spec"].get("nodeName"):
                moments = moments._replace(bound=now)
            if moments.ready is None and is_ready(pod):
                moments = moments._replace(ready=now)
            self.moments[name] = moments
        self._changed.set()

    async def until(self, check: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits until `check`, which is asked after each event, is true.

        Raises:
            RuntimeError: It is not after `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not check():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise RuntimeError(
                f"{what}: not so after {seconds:g} s, {len(self.present)} pods there"
            ) from None

    async def until_ready(self, names: Iterable[str], seconds: float = POD_TIMEOUT) -> None:
        """Waits until all these pods are Ready."""
        wanted = set(names)

        def check() -> bool:
            wanted.difference_update([n for n in wanted if (m := self.moments.get(n)) and m.ready])
            return not wanted

        await self.until(check, seconds, f"pods of {self.namespace} Ready")

    async def until_gone(self, seconds: float = POD_TIMEOUT) -> None:
        """Waits until no pod is left."""
        await self.until(lambda: not self.present, seconds, f"pods of {self.namespace} gone")


def is_ready(pod: Object) -> bool:
    """Whether a pod runs and is Ready."""
    status = pod.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return status.get("phase") == "Running" and conditions.get("Ready") == "True"


async def make_namespace(client: ApiClient, name: str) -> None:
    """Makes a namespace in which pods may be made."""
    await client.create(NAMESPACES, None, {"metadata": {"name": name}})
    deadline = time.monotonic() + POD_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(NotFoundError):
            await client.get(SERVICE_ACCOUNTS, name, "default")
            return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"namespace {name} has no service account `default` after {POD_TIMEOUT:g} s")


async def delete_namespace(client: ApiClient, name: str) -> None:
    """Deletes a namespace and what is in it, without waiting."""
    with contextlib.suppress(ApiError):
        await client.delete(NAMESPACES, None, name)


async def delete_pods(timeline: Timeline, seconds: float = POD_TIMEOUT) -> None:
    """Deletes all pods of a watched namespace at once and waits until they are gone.

    Not by force: then they would be gone while their nodes are still busy with them.
    """
    await timeline.client.request("DELETE", PODS.path(timeline.namespace), body={})
    await timeline.until_gone(seconds)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


@dataclass(frozen=True)
class Table:
    """Rows of a Markdown table under a heading.

    Attributes:
        title: The heading.
        head: Titles of the columns.
        rows: Cells.
        notes: Lines below.
    """

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """As Markdown, with an empty line at its end."""
        lines = [f"## {self.title}", "", f"| {' | '.join(self.head)} |", "|" + "---|" * len(self.head)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        lines += [line for note in self.notes for line in ("", note)]
        return "\n".join([*lines, ""])


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.0f} ms"
