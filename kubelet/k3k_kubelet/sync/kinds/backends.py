"""What leads the packets of the host's ingress controllers to the pods behind Ingresses and HTTPRoutes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from k3k_kubelet.api import SERVICES
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Entry, Store
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.policy import sync as settings
from k3k_kubelet.sync.copies import Copies
from k3k_kubelet.sync.kinds.openings import Opening
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import HostObject, exposure, http_route, ingress, service
from k3k_kubelet.translate.objects import Dropped
from k3k_kubelet.translate.routing import Backend

BACKEND = "backend"
"""Index of objects inside by the Services that they forward to, `namespace/name`."""

_UNKNOWN_SECONDS = 0.5


def hints(backends: Iterable[Backend], services: Store) -> list[Dropped]:
    """What the tenant should know of the Services that his Ingress or route forwards to."""
    found = []
    for name in sorted({(each.namespace, each.name) for each in backends}):
        entry = services.get(*name)
        if entry is not None and not service.has_copy(entry.object()):
            why = "has no address of its own (headless or ExternalName), so there is none on the host"
            found.append(Dropped(f"Service {'/'.join(name)}", f"{why}; requests for it are not answered"))
    return found


class _Use(NamedTuple):
    backends: frozenset[Backend]
    peers: tuple[str, ...]


class Backends(Opening):
    """NetworkPolicies that let the host's controllers connect to the pods behind Ingresses and HTTPRoutes.

    One for each Service that an Ingress or route with a copy forwards to, for the ports that are meant.

    Args:
        shared: The two clusters.
        ingresses: The copies of Ingresses.
        routes: The copies of HTTPRoutes.
    """

    source = SERVICES
    purpose = "routes"

    def __init__(self, shared: Shared, ingresses: Copies, routes: Copies) -> None:
        super().__init__(shared)
        self._ingresses, self._routes = ingresses, routes
        for copies in (ingresses, routes):
            copies.virtual.subscribe(lambda change, copies=copies: self._changed(copies, change))  # type: ignore[misc]
            copies.host.subscribe(lambda change, copies=copies: self._copy_changed(copies, change))  # type: ignore[misc]

    def setting(self, policy: Policy) -> ToHost:
        """They are wanted while Ingresses or routes are."""
        kinds = policy.sync.to_host
        return ToHost(enabled=kinds.ingresses.enabled or kinds.http_routes.enabled)

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The policy of a Service; None for one that nothing forwards to."""
        key = obj["metadata"]["namespace"], obj["metadata"]["name"]
        uses = list(self._uses(*key))
        wanted = {each.port for use in uses for each in use.backends if (each.namespace, each.name) == key}
        ports = [
            port
            for port in (obj.get("spec") or {}).get("ports") or ()
            if port["port"] in wanted or (port.get("name") and port["name"] in wanted)
        ]
        if not ports:
            return None
        everybody = any(not use.peers for use in uses)
        namespaces = [] if everybody else sorted({name for use in uses for name in use.peers})
        peers = [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
            for name in namespaces
        ]
        made = exposure.network_policy(obj, self.shared.cluster, self.purpose, ports=ports, peers=peers)
        return None if made is None else HostObject(made)

    async def waits(self, obj: Object | None, host: Object) -> float | None:  # noqa: ARG002
        """Before all Ingresses and routes are known nobody knows what is not used."""
        return None if self._ingresses.is_known and self._routes.is_known else _UNKNOWN_SECONDS

    def _uses(self, namespace: str, name: str) -> Iterable[_Use]:
        kinds: settings.SyncToHost = self.shared.policy.current.sync.to_host
        for entry in self._with_copies(self._ingresses, namespace, name):
            yield _Use(ingress.backends(entry.object()), kinds.ingresses.controller_namespaces)
        for entry in self._with_copies(self._routes, namespace, name):
            yield _Use(http_route.backends(entry.object()), kinds.http_routes.controller_namespaces)

    def _with_copies(self, copies: Copies, namespace: str, name: str) -> Sequence[Entry]:
        found = copies.virtual.by_index(BACKEND, f"{namespace}/{name}")
        return [entry for entry in found if copies.copy(*entry.key) is not None]

    def _changed(self, copies: Copies, change: Change) -> None:
        for entry in (change.old, change.new):
            for text in copies.virtual.values_of(BACKEND, entry) if entry else ():
                self.copies.look(*text.split("/"))

    def _copy_changed(self, copies: Copies, change: Change) -> None:
        """A copy has come or gone; what it says makes no difference."""
        owner = self.shared.stores.owner(change.entry)
        entry = copies.virtual.get(*owner) if owner and None in (change.old, change.new) else None
        if entry is not None:
            self._changed(copies, Change(None, entry))
