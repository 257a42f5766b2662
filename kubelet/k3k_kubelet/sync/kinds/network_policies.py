"""NetworkPolicies: copies take from what pods may; `sync.isolation` gives pods the labels for it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from k3k_kubelet.api import NAMESPACES, NETWORK_POLICIES
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import NAMESPACE, Change, Informer, Store, by_namespace
from k3k_kubelet.cache.store import IndexFunction
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import HostObject, Refused, identity, network_policy
from k3k_kubelet.translate.network_policy import Reach

if TYPE_CHECKING:
    from k3k_kubelet.sync.isolation import Isolation

LABELS_SECONDS = 10.0
"""How long a copy waits for pods' labels to go. Pods that keep one without it are closed, no more."""
_LOOK_SECONDS = 0.1
_BY_LABEL, _YES = "by-label", "yes"


def _by_label(obj: Object) -> Iterable[str]:
    """Marks policies that choose namespaces by their labels."""
    return (_YES,) if network_policy.chooses_namespaces(obj) else ()


class NetworkPolicies(Kind):
    """Copies of NetworkPolicies.

    Labels of pods that a copy no longer selects go before the copy does: between, the pods would be closed.

    Args:
        shared: The two clusters.

    Attributes:
        isolation: What gives pods their labels; set by it.
    """

    resource = NETWORK_POLICIES
    indexes: Mapping[str, IndexFunction] = MappingProxyType({NAMESPACE: by_namespace, _BY_LABEL: _by_label})
    host_selector = identity.NAMESPACE
    """Those of the library are of no virtual namespace."""
    isolation: Isolation

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._namespaces = Store(reduce=_reduce_namespace)
        self._namespaces.subscribe(self._namespace_changed)
        self._labels: dict[str, Mapping[str, str]] = {}
        """Labels of the namespaces inside."""
        self._waiting: dict[tuple[str, str], float] = {}
        """Uid and version of a copy that waits for labels to go -> since when."""
        config = shared.config
        self._reach = Reach(
            config.control_plane_namespace,
            config.denied_cidrs,
            config.name_servers,
            frozenset((4, 6)) if config.dual_stack else _family(shared.cluster.api_host),
        )

    def setting(self, policy: Policy) -> ToHost:
        """`sync.toHost.networkPolicies`."""
        return policy.sync.to_host.network_policies

    def named(self, alias: str) -> str | None:
        """The policy of a copy; None for one that exposes a Service."""
        return None if ":" in alias else alias

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The copy as it should be."""
        return network_policy.to_host(obj, self.shared.cluster, self._reach, self._labels)

    def is_chosen(self, obj: Object) -> bool:
        """Whether a policy is to have a copy."""
        setting = self.setting(self.shared.policy.current)
        return setting.enabled and setting.selector.matches(obj["metadata"].get("labels"))

    async def waits(self, obj: Object | None, host: Object) -> float | None:
        """Before a copy goes, or selects fewer pods, those that it leaves lose their labels."""
        if obj is not None and self._selects_the_same(obj, host):
            return None
        owner = identity.owner_of(host)
        waiting = host["metadata"]["uid"], host["metadata"]["resourceVersion"]
        now = time.monotonic()
        if owner is None or self.isolation.settled(owner.namespace):
            self._waiting.pop(waiting, None)
            return None
        if now - self._waiting.setdefault(waiting, now) < LABELS_SECONDS:
            return _LOOK_SECONDS
        del self._waiting[waiting]
        return None

    def known(self) -> None:
        """Pods that came before had to wait, or kept the labels that they had."""
        self.isolation.known()

    def new_informers(self) -> Sequence[Informer]:
        """Of the namespaces inside, whose labels selectors are about."""
        return [Informer(self.shared.virtual, NAMESPACES, self._namespaces, metadata_only=True)]

    def ended(self) -> None:
        """The namespaces' labels are no longer known."""
        self._namespaces.clear()
        self._labels.clear()
        self._waiting.clear()

    def is_refused(self, obj: Object) -> bool:
        """Whether the host must not have a policy, whatever the labels of namespaces are."""
        try:
            network_policy.to_host(obj, self.shared.cluster, self._reach, {})
        except Refused:
            return True
        return False

    def _selects_the_same(self, obj: Object, host: Object) -> bool:
        if obj["metadata"].get("deletionTimestamp") or not self.is_chosen(obj):
            return False
        try:
            wanted = network_policy.to_host(obj, self.shared.cluster, self._reach, {}).manifest
        except Refused:
            return False
        return network_policy.of_host(wanted) == network_policy.of_host(host)

    def _namespace_changed(self, change: Change) -> None:
        name, before = change.entry.name, self._labels.get(change.entry.name)
        if change.new is None:
            self._labels.pop(name, None)
        else:
            self._labels[name] = change.new.object()["metadata"].get("labels") or {}
        if self._labels.get(name) == before:
            return
        for entry in self.copies.virtual.by_index(_BY_LABEL, _YES):
            self.copies.look(*entry.key)


def _reduce_namespace(namespace: Object) -> None:
    metadata = namespace["metadata"]
    kept = ("name", "uid", "resourceVersion", "labels")
    namespace["metadata"] = {key: metadata[key] for key in kept if key in metadata}


def _family(address: str) -> frozenset[int]:
    try:
        return frozenset((ipaddress.ip_address(address).version,))
    except ValueError:
        return frozenset((4, 6))
