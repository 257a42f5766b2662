"""The way of a pod: what is done about the differences between a virtual pod and its copy on the host.

Each round looks at one virtual name, at what both sides have under it now, and does the next thing; whatever
changes on either side brings another round. Nothing is remembered that the two API servers do not say, but
the last state of a host pod that has just gone.
"""

from __future__ import annotations

import logging

from k3k_kubelet.api import PODS, ConflictError, NotFoundError, PatchType
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import NAMESPACE, Change, Entry, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.node import NodeManager, NodeTakenError, of_daemon_set
from k3k_kubelet.sync.config import ConfigController
from k3k_kubelet.sync.creation import Creation
from k3k_kubelet.sync.isolation import Isolation
from k3k_kubelet.sync.shared import EXPECTED, Shared
from k3k_kubelet.sync.status import StatusWriter, lost
from k3k_kubelet.sync.stores import node_of, wants_copy
from k3k_kubelet.sync.tokens import TokenController
from k3k_kubelet.sync.updates import Updates
from k3k_kubelet.translate import identity, is_terminal
from k3k_kubelet.translate import status as translate_status
from k3k_kubelet.translate.status import Outcome

log = logging.getLogger(__name__)

CONCURRENCY = 32
SHORTEST_GRACE = 1
"""Seconds that the copy of a pod deleted by force gets to end: the least that a kubelet gives. With 0 the
host would forget the pod before it has ended."""


class PodController:
    """Keeps virtual pods and host pods in step.

    Args:
        shared: The two clusters.
        nodes: Makes the virtual Node a pod is bound to.
        configs: Makes copies of ConfigMaps and Secrets.
        tokens: Makes token Secrets.
        isolation: Says which NetworkPolicies hold for a pod.
    """

    def __init__(
        self,
        shared: Shared,
        nodes: NodeManager,
        configs: ConfigController,
        tokens: TokenController,
        isolation: Isolation,
    ) -> None:
        self._shared = shared
        self._nodes = nodes
        self._tokens = tokens
        self._status = StatusWriter(shared)
        self._updates = Updates(shared, configs, isolation)
        self._creation = Creation(shared, configs, tokens, self._status, isolation)
        self._gone: dict[str, Object] = {}
        """uid of a virtual pod -> last state of its copy, which the host has deleted."""
        self.queue: WorkQueue[Key] = WorkQueue(
            "pods", self.reconcile, concurrency=CONCURRENCY, expected=EXPECTED
        )
        shared.stores.virtual_pods.subscribe(self._virtual_changed)
        shared.stores.host_pods.subscribe(self._host_changed)
        shared.stores.virtual_claims.subscribe(lambda change: self._claim_changed(change.entry.key))
        shared.stores.host_claims.subscribe(self._claim_copy_changed)
        isolation.subscribe(self._policies_changed)

    def add_all(self) -> None:
        """Looks at every pod of both sides: at the start, on patrol, and when the policy changed."""
        stores = self._shared.stores
        for entry in stores.virtual_pods:
            self.queue.add(entry.key)
        for entry in stores.host_pods:
            self._add_owner(entry)

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    async def reconcile(self, key: Key) -> float | None:
        """One round for the virtual name `key`; returns seconds after which another one is due anyway."""
        virtual = self._shared.stores.virtual_pods.get(*key)
        copy = self._shared.host_pod(*key)
        host = copy.object() if copy else None
        if host is not None and (virtual is None or _owner_uid(host) != virtual.uid):
            # Deleted by force inside: the copy ends as fast as an orphan does on a kubelet. Where no kubelet
            # is left to end it, the host forgets it as well: who deletes by force vouches for its end.
            grace = SHORTEST_GRACE if self._nodes.answers(node_of(host)) else 0
            slower = (host["metadata"].get("deletionGracePeriodSeconds") or 0) > grace
            await self._delete_host(host, grace, again=slower)
            return None  # its end brings the next round
        if virtual is None:
            return None
        pod = virtual.object()
        if not self._is_ours(pod):
            return None
        if host is None:
            return await self._without_copy(pod)
        return await self._with_copy(pod, host)

    def _is_ours(self, pod: Object) -> bool:
        """Whether a pod is for us: left to the default scheduler, or bound to no kubelet's Node but ours."""
        node = node_of(pod)
        return wants_copy(pod) and (not node or self._nodes.is_ours_or_absent(node))

    async def _without_copy(self, pod: Object) -> float | None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            await self._finish(pod)
            return None
        if is_terminal(pod):
            self._gone.pop(metadata["uid"], None)
            return None
        if _had_copy(pod):
            return await self._copy_vanished(pod)
        return await self._creation.create(pod)

    async def _with_copy(self, pod: Object, host: Object) -> float | None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            await self._pass_deletion_down(pod, host)
            # The deletion is the last change of a spec's generation.
            deleted = Outcome(complete="deletionTimestamp" in host["metadata"])
            await self._status.mirror(pod, host, deleted)
            return None
        if is_terminal(pod):
            if not is_terminal(host):  # evicted or given up inside: as a kubelet, stop it
                await self._delete_host(host, None)
            return None
        node, host_node = node_of(pod), node_of(host)
        if host_node and not node:
            return await self._bind(pod, host)
        if node and host_node and node != host_node:
            await self._bound_elsewhere(pod, host)
            return None
        if host["metadata"].get("deletionTimestamp"):
            await self._status.mirror(pod, host)
            await self._pass_deletion_up(pod, host)
            return None
        # A tenant binds to what he likes, `../x` too: only the host's own word makes a Node. A DaemonSet's
        # pod is there because the Node was: it neither keeps that nor makes it anew.
        if host_node and not of_daemon_set(pod):
            await self._nodes.ensure(host_node)
        changes = self._updates.find(pod, host)
        await self._status.mirror(pod, host, self._updates.outcome(pod, changes))
        await self._write_gates(pod, host)
        if host_node and identity.uid_of_copy(pod) is None:
            await self._mark(pod, host)
        await self._updates.apply(pod, host, changes)
        return None

    async def _bind(self, pod: Object, host: Object) -> float | None:
        """Binds the virtual pod to the Node of its host node's name, as a scheduler does.

        The bound pod brings the next round. A conflict says that it is bound or replaced already: the watch
        is behind.
        """
        metadata, node = pod["metadata"], node_of(host)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "annotations": identity.copy_mark(pod, host),
            },
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            async with self._nodes.in_use(node):
                await self._shared.virtual.create(
                    *(PODS, metadata["namespace"], binding), name=metadata["name"], subresource="binding"
                )
        except NodeTakenError as error:
            self._shared.events.emit(pod, "Warning", "NodeNameTaken", error.message)
            raise
        except ConflictError:
            return 1.0
        log.info("bound", extra={"pod": _name(pod), "node": node})
        return None

    async def _mark(self, pod: Object, host: Object) -> None:
        """Writes down that a pod which the tenant bound himself has had a copy."""
        change = {"metadata": {"uid": pod["metadata"]["uid"]}}
        change["metadata"]["annotations"] = identity.copy_mark(pod, host)
        await self._shared.virtual.patch(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], change)

    async def _write_gates(self, pod: Object, host: Object) -> None:
        change = translate_status.gates_to_host(pod, host)
        if change is None:
            return
        metadata = host["metadata"]
        written = await self._shared.host.patch(
            *(PODS, metadata["namespace"], metadata["name"], change),
            kind=PatchType.STRATEGIC,
            subresource="status",
        )
        self._shared.stores.host_pods.observe(written)

    async def _pass_deletion_down(self, pod: Object, host: Object) -> None:
        """Deletes the copy with the virtual pod's grace period, also when that was shortened meanwhile."""
        grace = max(pod["metadata"].get("deletionGracePeriodSeconds") or 0, SHORTEST_GRACE)
        metadata = host["metadata"]
        if not metadata.get("deletionTimestamp"):
            await self._delete_host(host, grace)
        elif grace < (metadata.get("deletionGracePeriodSeconds") or 0):
            await self._delete_host(host, grace, again=True)

    async def _pass_deletion_up(self, pod: Object, host: Object) -> None:
        """The host deletes its pod (drain, eviction, preemption): so goes the virtual one, as gracefully."""
        grace = host["metadata"].get("deletionGracePeriodSeconds")
        log.info("deleted by the host", extra={"pod": _name(pod), "grace": grace})
        await self._delete_virtual(pod, grace)

    async def _finish(self, pod: Object) -> None:
        """The copy of a pod that is being deleted has gone: write down how it ended, and let the pod go."""
        last = self._gone.pop(pod["metadata"]["uid"], None)
        if last is not None and not is_terminal(pod):
            try:
                await self._status.mirror(pod, last)
            except NotFoundError:
                return
        if not node_of(pod) or pod["metadata"].get("deletionGracePeriodSeconds") == 0:
            return  # the API server removes it by itself; what still holds it are finalizers
        await self._delete_virtual(pod, 0)

    async def _copy_vanished(self, pod: Object) -> float | None:
        """A pod that ran has no copy any more: never is another one made for it."""
        name = self._shared.host_name(*_key(pod))
        try:
            found = await self._shared.host.get(PODS, self._shared.cluster.namespace, name)
        except NotFoundError:
            pass
        else:
            if _owner_uid(found) == pod["metadata"]["uid"]:
                self._shared.stores.host_pods.observe(found)
                return 1.0
        last = self._gone.pop(pod["metadata"]["uid"], None)
        if last is not None and last["metadata"].get("deletionTimestamp"):
            await self._status.mirror(pod, last)
            await self._delete_virtual(pod, 0)
            return None
        message = "the pod's copy on the host is gone, and nobody inside deleted it"
        log.warning("host pod lost", extra={"pod": _name(pod), "host_name": name})
        await self._status.write(pod, lost(pod, message))
        self._shared.events.emit(pod, "Warning", "HostPodLost", message)
        return None

    async def _bound_elsewhere(self, pod: Object, host: Object) -> None:
        """Somebody inside bound the pod to another node than the one its copy runs on."""
        message = f"bound to node {node_of(pod)}, but the host runs the pod on {node_of(host)}"
        self._shared.events.emit(pod, "Warning", "NodeMismatch", message)
        await self._status.write(pod, lost(pod, message, reason="NodeMismatch"))
        await self._delete_host(host, None)

    async def _delete_host(self, host: Object, grace: int | None, *, again: bool = False) -> None:
        metadata = host["metadata"]
        if metadata.get("deletionTimestamp") and not again:
            return
        try:
            answer = await self._shared.host.delete(
                *(PODS, metadata["namespace"], metadata["name"]), uid=metadata["uid"], grace_period=grace
            )
        except (NotFoundError, ConflictError):
            return  # gone already: the watch tells
        log.info("host pod deleted", extra={"host_name": metadata["name"], "grace": grace})
        if answer.get("kind") == "Pod" and answer["metadata"].get("deletionTimestamp"):
            self._shared.stores.host_pods.observe(answer)

    async def _delete_virtual(self, pod: Object, grace: int | None) -> None:
        metadata = pod["metadata"]
        try:
            await self._shared.virtual.delete(
                *(PODS, metadata["namespace"], metadata["name"]), uid=metadata["uid"], grace_period=grace
            )
        except (NotFoundError, ConflictError):
            return

    def _virtual_changed(self, change: Change) -> None:
        if change.new is None:
            self._gone.pop(change.entry.uid, None)
            self._updates.forget(change.entry.uid)
            self._status.forget(change.entry.uid)
            self._creation.forget(change.entry.uid)
        self.queue.add(change.entry.key)

    def _host_changed(self, change: Change) -> None:
        if change.new is None:
            last = change.entry.object()
            uid = _owner_uid(last)
            if uid is not None and self._shared.stores.virtual_pods.by_uid(uid) is not None:
                self._gone[uid] = last
        self._add_owner(change.entry)

    def _policies_changed(self, namespace: str) -> None:
        for pod in self._shared.stores.virtual_pods.by_index(NAMESPACE, namespace):
            self.queue.add(pod.key)

    def _claim_copy_changed(self, change: Change) -> None:
        owner = self._shared.stores.owner(change.entry)
        if owner is not None:
            self._claim_changed(owner)

    def _claim_changed(self, claim: Key) -> None:
        """Pods without a copy may wait for the claim."""
        for pod in self._shared.stores.virtual_pods.by_index("claims", "/".join(claim)):
            if self._shared.host_pod(*pod.key) is None:
                self.queue.add(pod.key)

    def _add_owner(self, host: Entry) -> None:
        owner = self._shared.stores.owner(host)
        if owner is not None:
            self.queue.add(owner)
            self._tokens.queue.add(owner)


def _had_copy(pod: Object) -> bool:
    """Whether a pod had a copy on the host: it is bound by us, or the host's kubelet has begun with it."""
    return identity.uid_of_copy(pod) is not None or bool((pod.get("status") or {}).get("startTime"))


def _owner_uid(host: Object) -> str | None:
    owner = identity.owner_of(host)
    return owner.uid if owner else None


def _key(pod: Object) -> Key:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _name(pod: Object) -> str:
    return "/".join(_key(pod))
