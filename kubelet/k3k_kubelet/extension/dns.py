"""What the cluster's DNS needs inside: the right to read what it answers from, and the Service kube-dns.

CoreDNS runs on the host, beside the API server; see k3k_pulumi/manifests/dns.py.
"""

from __future__ import annotations

from k3k_kubelet.api import ENDPOINT_SLICES, SERVICES, ApiClient, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Store
from k3k_kubelet.extension.wanted import Keeper, ensure, find, made
from k3k_kubelet.translate.names import DOMAIN
from k3k_kubelet.translate.special import DNS as SERVICE

NAME = "k3k-pulumi:dns"
USER = "k3k-pulumi-dns"
"""Common name of CoreDNS' client certificate."""

_RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
_PORTS = [
    {"name": name, "port": 53, "protocol": protocol}
    for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
]


class Dns(Keeper):
    """Keeps all of it as it should be. CoreDNS waits for its rights: nothing is waited for here.

    Args:
        virtual: Virtual API server.
        address: ClusterIP that CoreDNS has on the host.
        services: The Services inside.
    """

    def __init__(self, virtual: ApiClient, address: str, services: Store) -> None:
        super().__init__(virtual, "dns", (ROLES, NAME), (BINDINGS, NAME))
        self._address = address
        services.subscribe(self._service_changed)

    def _service_changed(self, change: Change) -> None:
        if change.entry.key == SERVICE:
            self.add_all()

    async def _reconcile(self, _: str) -> None:
        for resource, wanted in rights():
            await ensure(self._virtual, resource, wanted)
        wanted = service()
        if await find(self._virtual, SERVICES, *SERVICE) is None:
            # The address of one that is there is put right with those of all other Services.
            wanted["spec"]["clusterIP"] = self._address
        await ensure(self._virtual, SERVICES, wanted)
        await ensure(self._virtual, ENDPOINT_SLICES, endpoints(self._address))


def rights() -> tuple[tuple[Resource, Object], ...]:
    """The ClusterRole of CoreDNS, and its binding."""
    read = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    role = {"apiGroup": _RBAC, "kind": ROLES.kind, "name": NAME}
    user = {"apiGroup": _RBAC, "kind": "User", "name": USER}
    return (
        (ROLES, made(ROLES, NAME, None, rules=rules)),
        (BINDINGS, made(BINDINGS, NAME, None, roleRef=role, subjects=[user])),
    )


def service() -> Object:
    """The Service, without its address: it has no selector, as CoreDNS' pods are not inside."""
    namespace, name = SERVICE
    spec = {"type": "ClusterIP", "externalName": None, "selector": None, "ports": _PORTS}
    wanted = made(SERVICES, name, namespace, spec=spec)
    wanted["metadata"]["labels"]["k8s-app"] = name
    return wanted


def endpoints(address: str) -> Object:
    """What the Service leads to, as it is shown: the address on the host."""
    namespace, name = SERVICE
    wanted = made(
        ENDPOINT_SLICES,
        name,
        namespace,
        addressType="IPv6" if ":" in address else "IPv4",
        endpoints=[{"addresses": [address], "conditions": {"ready": True}}],
        ports=_PORTS,
    )
    wanted["metadata"]["labels"] |= {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": DOMAIN,
    }
    return wanted
