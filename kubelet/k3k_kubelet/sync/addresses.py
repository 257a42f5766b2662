"""Services inside that have to get another address: without being made anew, so that their uid stays.

An address cannot be changed, but a Service of the type ExternalName has none: on its way back from there it
gets a new one, by its admission (see `sync.admission`). What it was stands in an annotation meanwhile, so
that a kubelet that ends in between leaves nothing that the next one does not bring to its end.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson

from k3k_kubelet.api import SERVICES, ApiClient, ConflictError, NotFoundError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Entry, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.cidrs import ServiceCidrs
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import allocation
from k3k_kubelet.translate.names import DOMAIN
from k3k_kubelet.translate.special import SPECIAL, special_address

log = logging.getLogger(__name__)

CHANGING = f"{DOMAIN}/changes-address"
"""Annotation of a Service whose address is being changed: what it was, as JSON."""
PLACEHOLDER = "address-changes.invalid"
_KEPT = (
    "type",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "allocateLoadBalancerNodePorts",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "ipFamilyPolicy",
)
"""What a Service loses on its way, as an ExternalName has none of it."""
_ADDRESSED = ("clusterIP", "clusterIPs", "ipFamilies", "healthCheckNodePort")


class Addresses:
    """Gives the cluster's own Services their addresses, and ends what `give_another` has begun.

    Args:
        shared: The two clusters.
        cidrs: The ranges of the virtual API server.
        wanted: Addresses that it must have ranges for, whatever Services there are.
    """

    def __init__(self, shared: Shared, cidrs: ServiceCidrs, wanted: tuple[str, ...]) -> None:
        self._shared = shared
        self._cidrs = cidrs
        self._wanted = wanted
        self._queue: WorkQueue[Key] = WorkQueue("addresses", self._reconcile, concurrency=4)
        shared.stores.virtual_services.subscribe(self._changed)

    def add_all(self) -> None:
        """Looks at all Services."""
        for entry in self._shared.stores.virtual_services:
            self._look(entry)

    async def run(self) -> None:
        """Works until cancelled."""
        await self._queue.run()

    def _changed(self, change: Change) -> None:
        if change.new is not None:
            self._look(change.new)

    def _look(self, entry: Entry) -> None:
        if entry.key in SPECIAL or CHANGING in (entry.object()["metadata"].get("annotations") or {}):
            self._queue.add(entry.key)

    async def _reconcile(self, key: Key) -> None:
        await self._cidrs.ensure(self._wanted)
        entry = self._shared.stores.virtual_services.get(*key)
        if entry is None:
            return
        service = entry.object()
        address = special_address(self._shared.cluster, *key)
        given = {"clusterIP": address, "clusterIPs": [address]} if address else {}
        try:
            if CHANGING in (service["metadata"].get("annotations") or {}):
                await _end(self._shared.virtual, service, given)
            elif address and allocation.addresses(service) != [address]:
                await give_another(self._shared.virtual, service, given)
        except (ConflictError, NotFoundError):
            return  # it is another one by now: the watch tells


async def give_another(virtual: ApiClient, service: Object, given: Object) -> None:
    """Gives a Service another address, and other node ports; it is the same Service afterwards.

    Args:
        virtual: The virtual API server.
        service: The Service.
        given: Addresses and ports, fields of its spec.

    Raises:
        ApiError: It has changed, or the API server does not want it; `Addresses` tries again.
    """
    metadata, spec = service["metadata"], service["spec"]
    before = {key: spec[key] for key in _KEPT if key in spec}
    log.info("a Service gets another address", extra={"object": _name(service)})
    change: Object = {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "annotations": {CHANGING: orjson.dumps(before).decode()},
        },
        "spec": {
            **dict.fromkeys((*_KEPT, *_ADDRESSED)),
            "type": "ExternalName",
            "externalName": PLACEHOLDER,
            "ports": [_without_node_port(port) for port in spec.get("ports") or ()],
        },
    }
    changed = await virtual.patch(SERVICES, metadata["namespace"], metadata["name"], change)
    await _end(virtual, changed, given)


async def _end(virtual: ApiClient, service: Object, given: Object) -> None:
    """The way back. Where the tenant has taken another one meanwhile, the annotation alone goes."""
    metadata, spec = service["metadata"], service["spec"]
    change: Object = {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "annotations": {CHANGING: None},
        }
    }
    if spec.get("type") == "ExternalName" and spec.get("externalName") == PLACEHOLDER:
        before = _before(metadata["annotations"][CHANGING])
        change["spec"] = {"type": "ClusterIP", **before, **given, "externalName": None}
    await virtual.patch(SERVICES, metadata["namespace"], metadata["name"], change)


def _before(text: str) -> dict[str, Any]:
    """What the annotation says; a tenant may have written it."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    before = {key: found[key] for key in _KEPT if key in found} if isinstance(found, dict) else {}
    if before.get("type") == "ExternalName":  # what a tenant has made of one of the cluster's own
        del before["type"]
    return before


def _without_node_port(port: Object) -> Object:
    return {key: value for key, value in port.items() if key != "nodePort"}


def _name(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"
