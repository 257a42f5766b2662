"""Has the virtual API server ask the kubelet before it creates or changes a Service.

The API server calls a URL: the ClusterIP that the kubelet's Service has on the host. It fails closed. A
Service that went past the kubelet would have an address that leads nowhere on the host, or to somebody else.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path

from k3k_kubelet.api import ApiClient, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.extension.wanted import Keeper, ensure, find, made
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


class Webhook(Keeper):
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
        super().__init__(virtual, "webhook", (CONFIGURATIONS, NAME))
        self._configuration = configuration(address, port, ca_file.read_bytes())
        self._is_wanted = wanted

    async def _reconcile(self, _: str) -> None:
        if self._is_wanted():
            await ensure(self._virtual, CONFIGURATIONS, self._configuration)
        elif found := await find(self._virtual, CONFIGURATIONS, None, NAME):
            await self._virtual.delete(CONFIGURATIONS, None, NAME, uid=found["metadata"]["uid"])
            log.info("admission of Services ended")


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
    return made(CONFIGURATIONS, NAME, None, webhooks=[webhook])
