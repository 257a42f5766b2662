"""Services: their copies follow what a tenant changes, the load balancer's address comes up."""

from __future__ import annotations

from k3k_kubelet.api import SERVICES, NotFoundError, PatchType
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kinds.admitted import Admitted
from k3k_kubelet.sync.shared import EXPECTED, Shared
from k3k_kubelet.translate import HostObject, service
from k3k_kubelet.translate.service import CLEANUP

CONCURRENCY = 4


class Services(Admitted):
    """Copies of Services.

    A Service with a load balancer has the finalizer that Kubernetes' cloud controllers give it: so it stays
    inside until the host's controller has taken the load balancer away.
    """

    resource = SERVICES

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._releases: WorkQueue[Key] = WorkQueue(
            "service-releases", self._release, concurrency=CONCURRENCY, expected=EXPECTED
        )
        shared.stores.virtual_services.subscribe(self._changed)

    def setting(self, policy: Policy) -> ToHost:
        """`sync.toHost.services`."""
        return policy.sync.to_host.services

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The Service on the host; None for one without an address of its own."""
        return service.to_host(obj, self.shared.cluster, self.shared.policy.current)

    def ends(self, obj: Object) -> bool:
        """Whether one that is held by finalizers loses its copy.

        One with a load balancer does, as that is what its finalizer waits for. Others answer to the last.
        """
        return bool(obj["spec"].get("type") == "LoadBalancer")

    async def gone(self, obj: Object) -> None:
        """Nothing of the host's is left to wait for."""
        self._releases.add(_key(obj))

    async def up(self, obj: Object, host: Object) -> None:
        """Shows where the host's load balancer answers, and holds the Service as long as there is one."""
        await self._hold(obj, host)
        known = (obj.get("status") or {}).get("loadBalancer") or {}
        found = service.load_balancer(host) if obj["spec"].get("type") == "LoadBalancer" else {}
        if found != known:
            await self._patch(obj, {"status": {"loadBalancer": found or None}}, subresource="status")

    def add_all(self) -> None:
        """Looks at all Services that are held."""
        for entry in self.shared.stores.virtual_services:
            if _is_held(entry.object()):
                self._releases.add(entry.key)

    async def run(self) -> None:
        """Lets Services go that have no load balancer any more; also while there are no copies at all."""
        await self._releases.run()

    def _changed(self, change: Change) -> None:
        if change.new is not None and _is_held(change.new.object()):
            self._releases.add(change.new.key)

    async def _hold(self, obj: Object, host: Object) -> None:
        if service.awaits_cleanup(host):
            if not _is_held(obj) and not obj["metadata"].get("deletionTimestamp"):
                await self._patch(obj, {"metadata": {"finalizers": [CLEANUP]}})
        elif _is_held(obj):
            self._releases.add(_key(obj))

    async def _release(self, key: Key) -> None:
        """Takes the finalizer away when the host has no load balancer for the Service, or no such Service."""
        entry = self.shared.stores.virtual_services.get(*key)
        obj = entry.object() if entry else None
        if obj is None or not _is_held(obj):
            return
        name = self.shared.host_name(*key)
        try:
            host = await self.shared.host.get(SERVICES, self.shared.cluster.namespace, name)
        except NotFoundError:
            pass
        else:
            if service.awaits_cleanup(host):
                return
        try:
            await self._patch(obj, {"metadata": {"$deleteFromPrimitiveList/finalizers": [CLEANUP]}})
        except NotFoundError:
            return

    async def _patch(self, obj: Object, change: Object, subresource: str = "") -> None:
        metadata = obj["metadata"]
        body = {**change, "metadata": {**change.get("metadata", {}), "uid": metadata["uid"]}}
        written = await self.shared.virtual.patch(
            *(SERVICES, metadata["namespace"], metadata["name"], body),
            kind=PatchType.STRATEGIC,
            subresource=subresource,
        )
        self.shared.stores.virtual_services.observe(written)


def _key(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _is_held(obj: Object) -> bool:
    return CLEANUP in (obj["metadata"].get("finalizers") or ())
