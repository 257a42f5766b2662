"""What the cluster's DNS needs inside: the right to read what it answers from.

CoreDNS runs on the host, beside the API server; see k3k_pulumi/manifests/dns.py.
"""

from __future__ import annotations

import asyncio

from k3k_kubelet.api import ApiClient, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Informer, Store, WorkQueue
from k3k_kubelet.extension.wanted import ensure, made

NAME = "k3k-pulumi:dns"
USER = "k3k-pulumi-dns"
"""Common name of CoreDNS' client certificate."""

_RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)


class DnsRights:
    """Keeps CoreDNS' rights as they should be.

    Args:
        virtual: Virtual API server.
    """

    def __init__(self, virtual: ApiClient) -> None:
        self._virtual = virtual
        self._queue: WorkQueue[str] = WorkQueue("dns", self._reconcile, concurrency=1)
        self._informers = []
        for resource in (ROLES, BINDINGS):
            known = Store()
            self._informers.append(Informer(virtual, resource, known, field_selector=f"metadata.name={NAME}"))
            known.subscribe(self._changed)

    def add_all(self) -> None:
        """Looks at all of it."""
        self._queue.add(NAME)

    async def run(self) -> None:
        """Works until cancelled. CoreDNS waits for it: nothing is waited for here."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())
            group.create_task(self._queue.run())

    def _changed(self, _: Change) -> None:
        self.add_all()

    async def _reconcile(self, _: str) -> None:
        for resource, wanted in _wanted():
            await ensure(self._virtual, resource, wanted)


def _wanted() -> tuple[tuple[Resource, Object], ...]:
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
