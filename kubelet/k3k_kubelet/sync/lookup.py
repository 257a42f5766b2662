"""What the kubelet API asks: which pod a request is about.

Answers come from the index alone; no part of a request ever becomes a name on the host.
"""

from __future__ import annotations

from k3k_kubelet.server import PodRef
from k3k_kubelet.sync.shared import Shared
from k3k_kubelet.sync.stores import node_of
from k3k_kubelet.translate import identity
from k3k_kubelet.translate.update import own_containers


class Lookup:
    """The index of pods as the kubelet API sees it.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def pod(self, namespace: str, name: str) -> PodRef | None:
        """The virtual pod of that name, if it is bound and its copy is on the host."""
        virtual = self._shared.stores.virtual_pods.get(namespace, name)
        host = self._shared.host_pod(namespace, name)
        if virtual is None or host is None:
            return None
        pod, copy = virtual.object(), host.object()
        owner = identity.owner_of(copy)
        if owner is None or owner.uid != virtual.uid or not node_of(pod):
            return None
        return PodRef(
            namespace=namespace,
            name=name,
            uid=virtual.uid,
            node=node_of(pod),
            containers=own_containers(copy),
            host_namespace=host.namespace,
            host_name=host.name,
        )
