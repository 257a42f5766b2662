"""Exposed pods that NetworkPolicies of the tenant isolate: open to whom both let in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import NAMESPACE, Change, Entry, Store, by_namespace
from k3k_kubelet.cache.store import IndexFunction
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.copies import Copies
from k3k_kubelet.sync.kinds.network_policies import NetworkPolicies
from k3k_kubelet.sync.kinds.openings import Opening
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.translate import HostObject, entrance, identity

_UNKNOWN_SECONDS = 0.5


class Entrances(Opening):
    """One NetworkPolicy for each exposed Service and each policy that lets in others than the cluster's pods.

    Args:
        shared: The two clusters.
        policies: NetworkPolicies; they have their controller.
        openings: What opens the pods of Services where no policy isolates them.

    Attributes:
        pairs: The Services and policies that are looked at together, as objects named `SERVICE:POLICY`. They
            are nobody's but this kind's.
    """

    purpose = entrance.PURPOSE
    only_opens = True

    def __init__(self, shared: Shared, policies: NetworkPolicies, openings: Sequence[Copies]) -> None:
        super().__init__(shared)
        self._policies, self._openings = policies, openings
        indexes: Mapping[str, IndexFunction] = MappingProxyType({NAMESPACE: by_namespace})
        self.pairs = Store(indexes)
        self._versions = itertools.count(1)
        policies.isolation.subscribe(self._look)
        shared.stores.virtual_services.subscribe(self._service_changed)
        for copies in openings:
            copies.host.subscribe(self._opening_changed)

    def setting(self, policy: Policy) -> ToHost:
        """They are wanted while policies are, and something is exposed."""
        exposed = any(copies.kind.setting(policy).enabled for copies in self._openings)
        return ToHost(enabled=self._policies.setting(policy).enabled and exposed)

    def about(self, obj: Object) -> Object:
        """The tenant's policy: of pairs he knows nothing."""
        found = self._policies.copies.virtual.get(*_policy(obj))
        return obj if found is None else found.object()

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """What a pair has in common; None for nothing."""
        found = self.shared.stores.virtual_services.get(*_service(obj))
        policy = self._policies.copies.virtual.get(*_policy(obj))
        if found is None or policy is None:
            return None
        service = found.object()
        made = [copies.kind.to_host(service, None) for copies in self._opened(found)]
        openings = [rule for each in made if each is not None for rule in each.manifest["spec"]["ingress"]]
        wanted = entrance.to_host(obj, service, policy.object(), self.shared.cluster, openings)
        return None if wanted is None else HostObject(wanted)

    async def waits(self, obj: Object | None, host: Object) -> float | None:
        """Before all policies and all that is exposed are known nobody knows what is not let in."""
        if not self._policies.copies.is_known or not all(copies.is_known for copies in self._openings):
            return _UNKNOWN_SECONDS
        owner = identity.owner_of(host)
        if obj is None and owner is not None:
            self._find(owner.namespace)
            name = self.named(owner.name)
            if name is not None and self.pairs.get(owner.namespace, name) is not None:
                return 0.0
        return None

    def known(self) -> None:
        """Looks for pairs everywhere."""
        for namespace in self._policies.copies.virtual.values(NAMESPACE) | self.pairs.values(NAMESPACE):
            self._look(namespace)

    def _look(self, namespace: str) -> None:
        """Something in a namespace changed that its pairs are made of."""
        self._find(namespace)
        for pair in self.pairs.by_index(NAMESPACE, namespace):
            self.copies.look(*pair.key)

    def _find(self, namespace: str) -> None:
        """Brings the pairs of a namespace up to date."""
        wanted = {each["metadata"]["name"]: each for each in self._wanted(namespace)}
        for pair in self.pairs.by_index(NAMESPACE, namespace):
            now = wanted.get(pair.name)
            if now is not None and now["metadata"]["uid"] == pair.uid:
                del wanted[pair.name]
            else:
                self.pairs.remove(pair.object() | {"metadata": self._metadata(pair.key, pair.uid)})
        for each in wanted.values():
            self.pairs.put(each)

    def _wanted(self, namespace: str) -> Iterator[Object]:
        policies = [
            entry
            for entry in self._policies.copies.virtual.by_index(NAMESPACE, namespace)
            if self._policies.is_chosen(obj := entry.object()) and entrance.outside(obj)
        ]
        if not policies:
            return
        for service in self.shared.stores.virtual_services.by_index(NAMESPACE, namespace):
            if self._opened(service):
                for policy in policies:
                    key = namespace, f"{service.name}:{policy.name}"
                    yield {"metadata": self._metadata(key, f"{service.uid}/{policy.uid}")}

    def _metadata(self, key: tuple[str, str], uid: str) -> Object:
        version = str(next(self._versions))
        return {"namespace": key[0], "name": key[1], "uid": uid, "resourceVersion": version}

    def _opened(self, service: Entry) -> list[Copies]:
        """What opens the pods of a Service now."""
        return [copies for copies in self._openings if copies.copy(*service.key) is not None]

    def _service_changed(self, change: Change) -> None:
        """Of the Services of a namespace few are exposed; that is told by what opens their pods."""
        for pair in self.pairs.by_index(NAMESPACE, change.entry.namespace):
            if _service(pair.object()) == change.entry.key:
                self.copies.look(*pair.key)

    def _opening_changed(self, change: Change) -> None:
        owner = self.shared.stores.owner(change.entry)
        if owner is not None and any(copies.kind.named(owner[1]) is not None for copies in self._openings):
            self._look(owner[0])


def _service(pair: Object) -> tuple[str, str]:
    metadata = pair["metadata"]
    return metadata["namespace"], metadata["name"].partition(":")[0]


def _policy(pair: Object) -> tuple[str, str]:
    metadata = pair["metadata"]
    return metadata["namespace"], metadata["name"].partition(":")[2]
