"""Makes metrics.k8s.io known inside: an APIService, the Service it leads to, and the right to read metrics.

The API server reaches an aggregated API by the endpoints of a Service (--enable-aggregator-routing, because
virtual ClusterIPs mean nothing to its pod), and takes none of type ExternalName then (ResolveEndpoint in
k8s.io/apiserver/pkg/util/proxy). So the Service is headless and has Endpoints of ours: the ClusterIP that the
kubelet has on the host. They are Endpoints, which every API server from 1.21 on reads, or mirrors into an
EndpointSlice.
"""

from __future__ import annotations

import base64
import logging
from pathlib import Path

from k3k_kubelet.api import ApiClient, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.extension.documents import GROUP, VERSION
from k3k_kubelet.extension.wanted import Keeper, ensure, find, is_managed, made

log = logging.getLogger(__name__)

NAMESPACE, NAME = "kube-system", "k3k-pulumi-metrics"
HOST_NAME = f"{NAME}.{NAMESPACE}.svc"
"""Whom the API server expects: the name in our certificate."""
API_SERVICE_NAME = f"{VERSION}.{GROUP}"

_PORT = 443
_RBAC = "rbac.authorization.k8s.io"
_SERVICES = Resource("", "v1", "services", "Service")
_ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
_API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)


class Registration(Keeper):
    """Keeps the registration as it should be.

    Args:
        virtual: Virtual API server.
        address: ClusterIP of the kubelet's Service.
        port: Its port for the extension server.
        ca_file: The CA of the extension server's certificate.
    """

    def __init__(self, virtual: ApiClient, address: str, port: int, ca_file: Path) -> None:
        # Whatever befalls the Service or its Endpoints shows in the APIService's condition Available.
        super().__init__(virtual, "registration", (_API_SERVICES, API_SERVICE_NAME))
        self._wanted = _objects(address, port, ca_file.read_bytes())
        self._is_taken = False

    async def _reconcile(self, _: str) -> None:
        found = await find(self._virtual, _API_SERVICES, None, API_SERVICE_NAME)
        taken = found is not None and not is_ours(found)
        if taken and not self._is_taken:
            log.info("metrics.k8s.io is served by another Service inside, and left to it")
        self._is_taken = taken
        if not taken:
            for resource, wanted in self._wanted:
                await ensure(self._virtual, resource, wanted, _MAY_BE_HIS.get(resource))


def is_ours(api_service: Object) -> bool:
    """Whether an APIService for metrics.k8s.io is the kubelet's to keep.

    Without our label, or leading to another Service, it is the tenant's: he has a metrics server of his own.
    """
    service = api_service["spec"].get("service") or {}
    leads_here = (service.get("namespace"), service.get("name")) == (NAMESPACE, NAME)
    return leads_here and is_managed(api_service)


_MAY_BE_HIS = {_API_SERVICES: is_ours, _ROLES: is_managed}
"""What a metrics-server of the tenant's has, or had, and whether it is ours."""


def _objects(address: str, port: int, ca: bytes) -> tuple[tuple[Resource, Object], ...]:
    """What there has to be, in the order in which it can be made."""
    readers = made(_ROLES, "system:aggregated-metrics-reader", None)
    aggregated = {f"{_RBAC}/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")}
    readers["metadata"]["labels"] |= aggregated
    readers["rules"] = [
        {"apiGroups": [GROUP], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    ]
    service = made(_SERVICES, NAME, NAMESPACE)
    ports = [{"name": "https", "port": _PORT, "protocol": "TCP", "targetPort": port}]
    service["spec"] = {"type": "ClusterIP", "clusterIP": "None", "selector": None, "ports": ports}
    endpoints = made(_ENDPOINTS, NAME, NAMESPACE)
    endpoints["subsets"] = [
        {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    ]
    api_service = made(_API_SERVICES, API_SERVICE_NAME, None)
    api_service["spec"] = {
        "group": GROUP,
        "version": VERSION,
        "service": {"namespace": NAMESPACE, "name": NAME, "port": _PORT},
        "caBundle": base64.b64encode(ca).decode(),
        "insecureSkipTLSVerify": None,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    return (_ROLES, readers), (_SERVICES, service), (_ENDPOINTS, endpoints), (_API_SERVICES, api_service)
