"""Which host nodes have failed, as far as their pods tell: for a kubelet without the right to read Nodes.

When a host's node stops answering, the host's node lifecycle controller sets the condition Ready of its pods
to False and leaves everything else as it is (MarkPodsNotReady in k8s.io/kubernetes/pkg/controller/util/node).
A kubelet never writes such a pod: each Ready=False of a kubelet has a reason, and ContainersReady says the
same unless a readiness gate is the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from k3k_kubelet.cache import Change, Entry, Store
from k3k_kubelet.translate import is_terminal

Object = dict[str, Any]

INDEX = "health"
"""Index of host pods that `signs` fills."""

_MARKED, _READY = "marked", "ready"
_BY_KUBELET = ("containerStatuses", "initContainerStatuses", "startTime")
"""Parts of a pod's status that nobody but its node's kubelet writes."""


def signs(pod: Object) -> Iterable[str]:
    """What a host pod says of its node, as values of an index.

    `<node>/` for each pod that is bound; `<node>/marked` too if the host has given it up, `<node>/ready` if
    it is well.
    """
    node, status = pod["spec"].get("nodeName"), pod.get("status") or {}
    if not node or is_terminal(pod):
        return
    yield f"{node}/"
    found = {each["type"]: each for each in status.get("conditions") or ()}
    ready, containers = found.get("Ready", {}), found.get("ContainersReady", {})
    if ready.get("status") == "True":
        yield f"{node}/{_READY}"
    elif ready.get("status") == "False" and not ready.get("reason") and containers.get("status") == "True":
        yield f"{node}/{_MARKED}"


class PodsHealth:
    """Host nodes that have failed, by what their pods say.

    A node has failed when one of its pods is marked and none is ready, and stays so until its kubelet shows
    itself: a pod becomes ready or its containers' states change.

    Args:
        host_pods: The cluster's pods on the host, with the index `health`.
        changed: Called with the name of a node that has failed or come back.
    """

    def __init__(self, host_pods: Store, changed: Callable[[str], None]) -> None:
        self._pods = host_pods
        self._changed = changed
        self._failed: set[str] = set()
        self._seen: set[str] = set()
        """Nodes whose kubelet has shown itself since the last mark."""
        for entry in host_pods:
            self._pod_changed(Change(None, entry))
        host_pods.subscribe(self._pod_changed)

    def has_failed(self, node: str) -> bool:
        """Whether the host has given up the node."""
        return node in self._failed

    def forget(self, node: str) -> None:
        """Nobody asks for the node any more."""
        self._failed.discard(node)
        self._seen.discard(node)

    def _pod_changed(self, change: Change) -> None:
        before, now = self._signs_of(change.old), self._signs_of(change.new)
        for node in {sign.partition("/")[0] for sign in before | now}:
            if f"{node}/{_MARKED}" in now - before:
                self._seen.discard(node)
            elif f"{node}/{_READY}" in now - before or (self._is_doubtful(node) and _kubelet_wrote(change)):
                self._seen.add(node)
            self._judge(node)

    def _signs_of(self, entry: Entry | None) -> set[str]:
        return set(self._pods.values_of(INDEX, entry)) if entry else set()

    def _is_doubtful(self, node: str) -> bool:
        return node in self._failed or bool(self._pods.by_index(INDEX, f"{node}/{_MARKED}"))

    def _judge(self, node: str) -> None:
        alive = node in self._seen or self._pods.by_index(INDEX, f"{node}/{_READY}")
        failed = not alive and self._is_doubtful(node)
        if failed != (node in self._failed):
            (self._failed.add if failed else self._failed.discard)(node)
            self._changed(node)


def _kubelet_wrote(change: Change) -> bool:
    if change.old is None or change.new is None:
        return False
    old, new = ((entry.object().get("status") or {}) for entry in (change.old, change.new))
    return any(old.get(key) != new.get(key) for key in _BY_KUBELET)
