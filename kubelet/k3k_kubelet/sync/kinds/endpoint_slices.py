"""EndpointSlices of a tenant's own, for Services without a selector: where their copies lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from k3k_kubelet.api import ENDPOINT_SLICES
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change
from k3k_kubelet.cache.store import IndexFunction
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import HostObject, endpoint_slice, service

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _services(obj: Object) -> Iterable[str]:
    name = endpoint_slice.service_of(obj)
    return (f"{obj['metadata']['namespace']}/{name}",) if name else ()


class EndpointSlices(Kind):
    """Copies of EndpointSlices that no controller of selectors has made.

    They are looked at again whenever a pod gets or loses an address that they name: an address whose pod has
    ended may be another's at any time.
    """

    resource = ENDPOINT_SLICES
    indexes: Mapping[str, IndexFunction] = MappingProxyType(
        {"service": _services, "address": endpoint_slice.addresses_of}
    )
    source_selector = f"{endpoint_slice.MANAGED_BY}!={endpoint_slice.CONTROLLER}"
    host_selector = f"{endpoint_slice.MANAGED_BY}={endpoint_slice.OURS}"

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        shared.stores.host_pods.subscribe(self._host_pod_changed)
        shared.stores.virtual_services.subscribe(self._service_changed)

    def setting(self, policy: Policy) -> ToHost:
        """`sync.toHost.endpointSlices`."""
        return policy.sync.to_host.endpoint_slices

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The slice on the host; None for one whose Service has no copy there."""
        found = self.shared.stores.virtual_services.get(
            obj["metadata"]["namespace"], endpoint_slice.service_of(obj)
        )
        if found is None or not self._has_copy(found.object()):
            return None
        nodes = {
            address: node for address in endpoint_slice.addresses_of(obj) if (node := self._node(address))
        }
        return endpoint_slice.to_host(obj, self.shared.cluster, nodes, self.shared.config.denied_cidrs)

    def reduce(self, obj: Object) -> None:
        """Without what kubectl keeps of it once more."""
        (obj["metadata"].get("annotations") or {}).pop(_LAST_APPLIED, None)

    def _has_copy(self, obj: Object) -> bool:
        setting = self.shared.policy.current.sync.to_host.services
        chosen = setting.enabled and setting.selector.matches(obj["metadata"].get("labels"))
        return chosen and service.has_copy(obj)

    def _node(self, address: str) -> str:
        """The node of the cluster's pod that has an address now, `""` if none has."""
        for entry in self.shared.stores.host_pods.by_index("address", address):
            node = entry.object()["spec"].get("nodeName")
            if node:
                return str(node)
        return ""

    def _host_pod_changed(self, change: Change) -> None:
        store = self.shared.stores.host_pods
        before = set(store.values_of("address", change.old)) if change.old else set()
        now = set(store.values_of("address", change.new)) if change.new else set()
        for address in before ^ now:
            self._look("address", address)

    def _service_changed(self, change: Change) -> None:
        self._look("service", "/".join(change.entry.key))

    def _look(self, index: str, value: str) -> None:
        for entry in self.copies.virtual.by_index(index, value):
            self.copies.look(*entry.key)
