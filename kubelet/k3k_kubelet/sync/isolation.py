"""Which pods NetworkPolicies of the tenant isolate, and in which directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import NAMESPACE, Change, Entry
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.kinds.network_policies import NetworkPolicies
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import identity, network_policy
from k3k_kubelet.translate.network_policy import Selection


class _Read(NamedTuple):
    """A policy and its copy as they were read last. `inside` is None where the policy holds for nobody."""

    versions: tuple[str, int, int]
    labels: dict[str, str]
    inside: Selection | None
    host: Selection


class Isolation:
    """Tells which labels of `identity.ISOLATED` pods are to have, by the policies and their copies.

    A policy holds for a pod where both it and its copy on the host select the pod. So a pod gets its label
    when the copy is there, and loses it while the copy is there still.

    Args:
        shared: The two clusters.
        policies: NetworkPolicies; they have their controller.
    """

    def __init__(self, shared: Shared, policies: NetworkPolicies) -> None:
        self._shared = shared
        self._policies, self._copies = policies, policies.copies
        self._read: dict[Key, _Read] = {}
        self._handlers: list[Callable[[str], None]] = []
        self._copies.virtual.subscribe(self._changed)
        self._copies.host.subscribe(self._copy_changed)
        policies.isolation = self

    def subscribe(self, handler: Callable[[str], None]) -> None:
        """Calls `handler` with a namespace inside for whose pods something may have changed."""
        self._handlers.append(handler)

    def of(self, pod: Object) -> frozenset[str] | None:
        """The directions in which a pod inside is isolated; None while the policies are not known."""
        if not self._copies.is_known:
            return None
        if not self._copies.is_on:
            return frozenset()
        labels = pod["metadata"].get("labels") or {}
        on_host = network_policy.host_labels(pod, self._shared.cluster)
        isolated, opened = set(), set()
        for entry in self._copies.virtual.by_index(NAMESPACE, pod["metadata"]["namespace"]):
            read = self._of_policy(entry)
            if read is None or read.inside is None or not self._is_chosen(read):
                continue
            for direction in read.inside.directions:
                if not read.inside.matches(labels, direction):
                    continue
                if direction in read.inside.open:
                    opened.add(direction)
                elif read.host.matches(on_host, direction):
                    isolated.add(direction)
        return frozenset(isolated - opened)

    def known(self) -> None:
        """The policies are known from now on."""
        for namespace in self._shared.stores.virtual_pods.values(NAMESPACE):
            self._tell(namespace)

    def settled(self, namespace: str) -> bool:
        """Whether no pod of a namespace inside has a label that it is to lose."""
        for entry in self._shared.stores.host_pods.by_index("isolated", namespace):
            owner = self._shared.stores.owner(entry)
            pod = self._shared.stores.virtual_pods.get(*owner) if owner else None
            wanted = self.of(pod.object()) if pod else None
            if wanted is not None and identity.isolated(entry.object()) - wanted:
                return False
        return True

    def _of_policy(self, entry: Entry) -> _Read | None:
        """What a policy and its copy select; None for one without a copy."""
        copy = self._copies.copy(*entry.key)
        if copy is None:
            return None
        versions = copy.uid, entry.version, copy.version
        found = self._read.get(entry.key)
        if found is None or found.versions != versions:
            obj, host = entry.object(), copy.object()
            labels = obj["metadata"].get("labels") or {}
            inside = None if self._policies.is_refused(obj) else _inside(obj, host)
            found = _Read(versions, labels, inside, network_policy.of_host(host))
            self._read[entry.key] = found
        return found

    def _is_chosen(self, read: _Read) -> bool:
        return self._policies.is_chosen({"metadata": {"labels": read.labels}})

    def _changed(self, change: Change) -> None:
        if change.new is None:
            self._read.pop(change.entry.key, None)
        self._tell(change.entry.namespace)

    def _copy_changed(self, change: Change) -> None:
        owner = self._shared.stores.owner(change.entry)
        if owner is not None and self._policies.named(owner[1]) is not None:
            self._tell(owner[0])

    def _tell(self, namespace: str) -> None:
        if self._copies.is_ready:
            for handler in self._handlers:
                handler(namespace)


def _inside(obj: Object, host: Object) -> Selection | None:
    """What a policy selects; None where its copy is another one's, or on its way out as it is itself."""
    owner = identity.owner_of(host)
    if owner is None or owner.uid != obj["metadata"]["uid"]:
        return None
    if obj["metadata"].get("deletionTimestamp") or host["metadata"].get("deletionTimestamp"):
        return None
    return network_policy.selection(obj)
