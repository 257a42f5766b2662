"""HTTPRoutes of the Gateway API: attached to Gateways of the host, what these say about them shown inside."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable, Mapping

from k3k_kubelet.api import HTTP_ROUTES, REFERENCE_GRANTS, ApiClient, ApiError, NotFoundError, Resource
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import NAMESPACE, Change, Informer, Store, by_namespace
from k3k_kubelet.cache.store import IndexFunction
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.kinds.backends import BACKEND, hints
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import HostObject, http_route
from k3k_kubelet.translate.routing import Backend

log = logging.getLogger(__name__)

PROBE_SECONDS = 10.0
"""How often it is looked whether both API servers have the Gateway API: its types come and go with CRDs."""
_FOREIGN = "foreign"


def _backends(obj: Object) -> Iterable[str]:
    return {each.service for each in http_route.backends(obj)}


def _foreign(obj: Object) -> Iterable[str]:
    """Other namespaces that a route forwards to."""
    return {each.namespace for each in http_route.backends(obj)} - {obj["metadata"]["namespace"]}


class HttpRoutes(Kind):
    """HTTPRoutes, as long as host and virtual cluster have the type.

    Args:
        shared: The two clusters.
    """

    resource = HTTP_ROUTES
    indexes: Mapping[str, IndexFunction] = {BACKEND: _backends, _FOREIGN: _foreign}

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._grants = Store({NAMESPACE: by_namespace})
        self._grants.subscribe(self._grant_changed)
        self._available: bool | None = None
        """None before it is known."""
        self._wake = asyncio.Event()

    def setting(self, policy: Policy) -> ToHost:
        """The part of the policy about them."""
        return policy.sync.to_host.http_routes

    def available(self) -> bool:
        """Whether both API servers have the type; also whether the ReferenceGrants are known."""
        return self._available is True

    def undecided(self) -> bool:
        """Whether nobody has answered yet."""
        return self._available is None and self.setting(self.shared.policy.current).enabled

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The copy as it should be."""
        namespace = obj["metadata"]["namespace"]

        def granted(backend: Backend) -> bool:
            found = self._grants.by_index(NAMESPACE, backend.namespace)
            return http_route.is_granted((each.object() for each in found), namespace, backend)

        settings = self.shared.policy.current.sync.to_host.http_routes
        made = http_route.to_host(obj, self.shared.cluster, settings, granted)
        dropped = hints(http_route.backends(obj), self.shared.stores.virtual_services)
        return dataclasses.replace(made, dropped=(*made.dropped, *dropped))

    async def up(self, obj: Object, host: Object) -> None:
        """Shows what the host's controllers say about each parent."""
        settings = self.shared.policy.current.sync.to_host.http_routes
        await self._show(obj, http_route.status(obj, host, settings))

    async def down(self, obj: Object) -> None:
        """No Gateway knows the route any more."""
        await self._show(obj, {"parents": []})

    async def _show(self, obj: Object, status: Object) -> None:
        if status["parents"] == ((obj.get("status") or {}).get("parents") or []):
            return
        metadata = obj["metadata"]
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        written = await self.shared.virtual.patch(
            *(HTTP_ROUTES, metadata["namespace"], metadata["name"], body), subresource="status"
        )
        self.copies.virtual.observe(written)

    def add_all(self) -> None:
        """The policy may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Looks for the type on both sides, again and again while the kind is turned on."""
        try:
            while True:
                found = await self._is_there()
                if found:
                    await self._follow()
                elif found is False:
                    self._set(available=False)
                await self._pause()
        finally:
            self._available = None

    async def _follow(self) -> None:
        """Knows the ReferenceGrants, for as long as there are routes."""
        log.info("the Gateway API is there")
        informer = Informer(self.shared.virtual, REFERENCE_GRANTS, self._grants)
        async with asyncio.TaskGroup() as group:
            task = None
            if await _has(self.shared.virtual, REFERENCE_GRANTS, None):
                task = group.create_task(informer.run())
                await informer.synced.wait()
            self._set(available=True)
            while await self._is_there() is not False:
                # Who applies all types at once makes this one after that of routes.
                if task is None and await _has(self.shared.virtual, REFERENCE_GRANTS, None):
                    task = group.create_task(informer.run())
                await self._pause()
            self._set(available=False)
            if task is not None:
                task.cancel()
        self._grants.clear()

    def _set(self, *, available: bool) -> None:
        if self._available is not available:
            self._available = available
            self.copies.check()

    async def _pause(self) -> None:
        """Until it is time to look again; without end while the kind is turned off."""
        enabled = self.setting(self.shared.policy.current).enabled
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), PROBE_SECONDS if enabled else None)
        except TimeoutError:
            return

    async def _is_there(self) -> bool | None:
        """Whether the kind is turned on and both sides have the type; None if nobody says.

        Nobody is asked where it is turned off: that ends when the copies have gone in their own way, which
        takes back what the routes inside say of Gateways.
        """
        if not self.setting(self.shared.policy.current).enabled:
            return None if self.copies.informers else False
        inside = await _has(self.shared.virtual, HTTP_ROUTES, None)
        return inside and await _has(self.shared.host, HTTP_ROUTES, self.shared.cluster.namespace)

    def _grant_changed(self, change: Change) -> None:
        for entry in self.copies.virtual.by_index(_FOREIGN, change.entry.namespace):
            self.copies.look(*entry.key)


async def _has(client: ApiClient, resource: Resource, namespace: str | None) -> bool | None:
    """Whether an API server has the type; None if it does not answer.

    Asked by a list: who may list a type need not have the right to discover it.
    """
    try:
        await client.request("GET", resource.path(namespace), query={"limit": "1"})
    except NotFoundError:
        return False
    except ApiError as error:
        fields = {"api": client.endpoint.name, "resource": resource.plural, "error": str(error)}
        log.info("not known whether the type is there", extra=fields)
        return None
    return True
