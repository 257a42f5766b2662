"""Has the virtual API server ask the kubelet before it creates or changes a Service.

The API server calls a URL: the ClusterIP that the kubelet's Service has on the host. It fails closed. A
Service that went past the kubelet would have an address that leads nowhere on the host, or to somebody else.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from pathlib import Path

from k3k_kubelet.api import AlreadyExistsError, ApiClient, NotFoundError, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Informer, Store, WorkQueue
from k3k_kubelet.extension.wanted import MANAGED, agrees, without_none
from k3k_kubelet.translate.names import DOMAIN

log = logging.getLogger(__name__)

NAME = DOMAIN
CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
TIMEOUT_SECONDS = 10


class Webhook:
    """Keeps the configuration as it should be: there while Services get copies, whatever a tenant does to it.

    Args:
        virtual: Virtual API server.
        address: Where the kubelet's Service is.
        port: Its port for the extension server.
        ca_file: The CA of the extension server's certificate.
        wanted: Whether Services get copies.
    """

    def __init__(
        self, virtual: ApiClient, address: str, port: int, ca_file: Path, wanted: Callable[[], bool]
    ) -> None:
        self._virtual = virtual
        self._configuration = configuration(address, port, ca_file.read_bytes())
        self._is_wanted = wanted
        known = Store()
        self._informer = Informer(virtual, CONFIGURATIONS, known, field_selector=f"metadata.name={NAME}")
        self._queue: WorkQueue[str] = WorkQueue("webhook", self._reconcile, concurrency=1)
        known.subscribe(self._changed)

    def add_all(self) -> None:
        """Looks at it."""
        self._queue.add(NAME)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            await self._informer.synced.wait()
            group.create_task(self._queue.run())

    def _changed(self, _: Change) -> None:
        self.add_all()

    async def _reconcile(self, _: str) -> None:
        found = await self._find()
        if not self._is_wanted():
            if found is not None:
                await self._virtual.delete(CONFIGURATIONS, None, NAME, uid=found["metadata"]["uid"])
                log.info("admission of Services ended")
        elif found is None:
            await self._create()
        elif not agrees(self._configuration, found):
            log.info("admission of Services put right")
            await self._virtual.patch(CONFIGURATIONS, None, NAME, self._configuration)

    async def _find(self) -> Object | None:
        try:
            return await self._virtual.get(CONFIGURATIONS, None, NAME)
        except NotFoundError:
            return None

    async def _create(self) -> None:
        try:
            await self._virtual.create(CONFIGURATIONS, None, without_none(self._configuration))
        except AlreadyExistsError:
            self.add_all()
        else:
            log.info("admission of Services begins")


def configuration(address: str, port: int, ca: bytes) -> Object:
    """The configuration; None stands for what must not be in it."""
    host = f"[{address}]" if ":" in address else address
    everything = {"matchLabels": None, "matchExpressions": None}
    webhook = {
        "name": f"services.{DOMAIN}",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "url": f"https://{host}:{port}/admission/services",
            "caBundle": base64.b64encode(ca).decode(),
            "service": None,
        },
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["services"],
                "scope": "Namespaced",
            }
        ],
        "namespaceSelector": everything,
        "objectSelector": everything,
        "matchConditions": None,
        "matchPolicy": "Equivalent",
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": TIMEOUT_SECONDS,
    }
    return {
        "apiVersion": CONFIGURATIONS.api_version,
        "kind": CONFIGURATIONS.kind,
        "metadata": {"name": NAME, "labels": {MANAGED: "kubelet"}},
        "webhooks": [webhook],
    }
