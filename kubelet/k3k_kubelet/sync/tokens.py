"""Service-account tokens of pods: issued inside, bound to the virtual pod, kept in one host Secret each."""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
import time
import zlib
from weakref import WeakValueDictionary

from k3k_kubelet.api import SECRETS, SERVICE_ACCOUNTS, AlreadyExistsError
from k3k_kubelet.api.client import Object
from k3k_kubelet.cache import Change, Entry, WorkQueue
from k3k_kubelet.cache.store import Key
from k3k_kubelet.sync.removals import Removals
from k3k_kubelet.sync.shared import EXPECTED, NameTakenError, Shared
from k3k_kubelet.sync.stores import node_of
from k3k_kubelet.translate import TokenProjection, identity, is_terminal, names, token
from k3k_kubelet.translate import pod as translate_pod

log = logging.getLogger(__name__)

RENEW_AT = f"{names.DOMAIN}/renew-at"
"""Annotation of a token Secret: when its first token is due, so that a restart renews nothing early."""

NODE = f"{names.DOMAIN}/node"
"""Annotation of a token Secret: the virtual Node that its tokens name, `""` for none."""

CONCURRENCY = 8
RENEW_SHARE = 0.8
"""Part of its life after which the kubelet of Kubernetes renews a token."""
PROJECTION_SECONDS = 150.0
"""The host's kubelet takes a minute or two to bring a changed Secret into the pod."""
NODE_SECONDS = 60.0
"""A Secret is made before the pod has a node, and tokens name the pod's node from Kubernetes 1.32 on: pods
that live longer than this get others then. It is no haste worth a request more for every short job."""
NODE_SPREAD = 120.0
"""Within so many seconds from then on: what begins at once, as a burst of pods, is not renewed at once."""
LEAST_SECONDS = 60.0
"""No Secret is written more often, whatever the virtual API server says of its tokens' life."""
MAX_LIFE = 24 * 3600.0
"""Seconds after which Kubernetes' kubelet renews any token."""
JITTER = 10.0


def renew_at(issued: float, expires: float) -> float:
    """When to renew a token, before jitter, in seconds since the epoch as the arguments are.

    At 80 % of its life and at most a day old; earlier where the rest of a short life is less than its way
    into the pod takes.
    """
    life = expires - issued
    return issued + min(RENEW_SHARE * life, MAX_LIFE, max(life - PROJECTION_SECONDS, life / 2))


class TokenController:
    """Makes and renews the token Secrets of pods.

    Args:
        shared: The two clusters.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self.queue: WorkQueue[Key] = WorkQueue(
            "tokens", self.reconcile, concurrency=CONCURRENCY, expected=EXPECTED
        )
        secrets = shared.stores.host_config[SECRETS.plural]
        self._removals = Removals(shared.host, secrets)
        secrets.subscribe(lambda change: self._add(change.entry))
        shared.stores.virtual_pods.subscribe(self._pod_changed)

    def add_all(self) -> None:
        """Looks at all pods and all token Secrets: at the start, and on patrol."""
        for entry in self._shared.stores.virtual_pods:
            self.queue.add(entry.key)
        for entry in self._shared.stores.host_config[SECRETS.plural]:
            self._add(entry)

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    def _add(self, secret: Entry) -> None:
        owner = self._shared.stores.owner(secret)
        if owner is not None and identity.is_token(secret.object()):
            self.queue.add(owner)

    def _pod_changed(self, change: Change) -> None:
        if change.new is None:  # its Secret goes with it
            self.queue.add(change.entry.key)

    async def ensure(self, pod: Object) -> None:
        """Makes the Secret that a pod is about to need, if it mounts tokens.

        Raises:
            ApiError: The virtual API server issues no token, or the host takes no Secret.
            NameTakenError: An object of somebody else has the Secret's name.
        """
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        projections = translate_pod.token_projections(pod)
        if not projections:
            return
        async with self._locks.setdefault(key, asyncio.Lock()):
            secret = self._secret(pod)
            if secret is None or time.time() >= _due(secret.object(), pod):
                await self._renew(pod, projections, secret)

    async def release(self, pod: Object) -> None:
        """Removes the Secret of a pod that the host did not take; the next try makes another.

        Raises:
            ApiError: The host did not remove it.
        """
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        async with self._locks.setdefault(key, asyncio.Lock()):
            secret = self._secret(pod)
            if secret is not None and self._shared.host_pod(*key) is None:
                await self._delete(secret)

    async def reconcile(self, key: Key) -> float | None:
        """Removes what an earlier pod of that name left, renews what is due."""
        entry = self._shared.stores.virtual_pods.get(*key)
        pod = entry.object() if entry else None
        await self._remove_others(key, pod)
        if pod is None or is_terminal(pod):
            return None
        copy = self._shared.host_pod(*key)
        if copy is None or not translate_pod.token_projections(pod):
            return None  # the pod's own work makes the Secret, and comes back here
        await self.ensure(pod)
        secret = self._secret(pod)
        if secret is None:
            return 1.0
        return max(_due(secret.object(), pod) - time.time(), 1.0)

    async def _renew(
        self, pod: Object, projections: tuple[TokenProjection, ...], secret: Entry | None
    ) -> None:
        issued = time.time()
        answers = await asyncio.gather(*(self._request(pod, projection) for projection in projections))
        tokens = {p.key: answer["token"] for p, answer in zip(projections, answers, strict=True)}
        due = min(renew_at(issued, _epoch(answer["expirationTimestamp"])) for answer in answers)
        due = max(due - random.uniform(0, JITTER), issued + LEAST_SECONDS)  # noqa: S311
        manifest = token.secret(pod, self._shared.cluster, tokens)
        manifest["metadata"]["annotations"] |= {RENEW_AT: str(round(due)), NODE: node_of(pod)}
        manifest["metadata"]["ownerReferences"] = self._owners(pod)
        written = await self._write(pod, manifest, secret)
        store = self._shared.stores.host_config[SECRETS.plural]
        store.observe({"metadata": written["metadata"]})

    async def _request(self, pod: Object, projection: TokenProjection) -> Object:
        """A TokenRequest's status: `token` and `expirationTimestamp`."""
        metadata = pod["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Object = {
            "expirationSeconds": projection.expiration_seconds,
            "boundObjectRef": reference,
            "audiences": [projection.audience] if projection.audience else [],
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._shared.virtual.create(
            *(SERVICE_ACCOUNTS, metadata["namespace"], body),
            name=pod["spec"].get("serviceAccountName") or "default",
            subresource="token",
        )
        status: Object = answer["status"]
        return status

    async def _write(self, pod: Object, manifest: Object, secret: Entry | None) -> Object:
        host, namespace = self._shared.host, self._shared.cluster.namespace
        name = manifest["metadata"]["name"]
        if secret is None:
            try:
                return await host.create(SECRETS, namespace, manifest)
            except AlreadyExistsError:
                found = await host.get(SECRETS, namespace, name, metadata_only=True)
                owner = identity.owner_of(found)
                if owner is None or owner.uid != pod["metadata"]["uid"]:
                    raise NameTakenError("Secret", name, owner) from None
        else:
            found = secret.object()
        manifest["metadata"] |= {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        return await host.replace(SECRETS, namespace, name, manifest)

    def _owners(self, pod: Object) -> list[Object]:
        """The host pod, so that both go together even without a kubelet; the anchor until that is there.

        A Secret is not written for this alone: that is a request for each pod, and what a pod of less than a
        renewal's age leaves is deleted with it by us.
        """
        copy = self._shared.host_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])
        owner = identity.owner_of(copy.object()) if copy else None
        if copy is None or owner is None or owner.uid != pod["metadata"]["uid"]:
            return [dict(self._shared.cluster.owner)]
        return [{"apiVersion": "v1", "kind": "Pod", "name": copy.name, "uid": copy.uid, "controller": True}]

    async def _remove_others(self, key: Key, pod: Object | None) -> None:
        """Deletes the token Secrets of that name's earlier pods."""
        index = f"{key[0]}/{key[1]}"
        for entry in self._shared.stores.host_config[SECRETS.plural].by_index("owner", index):
            secret = entry.object()
            owner = identity.owner_of(secret)
            live = pod is not None and owner is not None and owner.uid == pod["metadata"]["uid"]
            if identity.is_token(secret) and not live:
                await self._delete(entry)

    async def _delete(self, secret: Entry) -> None:
        await self._removals.delete(SECRETS, secret)

    def _secret(self, pod: Object) -> Entry | None:
        metadata = pod["metadata"]
        name = names.token_secret_name(
            self._shared.cluster.name, metadata["namespace"], metadata["name"], metadata["uid"]
        )
        store = self._shared.stores.host_config[SECRETS.plural]
        entry = store.get(self._shared.cluster.namespace, name)
        return None if entry is None or entry in self._removals else entry


def _due(secret: Object, pod: Object) -> float:
    """When a token Secret is due; at once if it does not say."""
    annotations = secret["metadata"].get("annotations") or {}
    text = annotations.get(RENEW_AT, "")
    due = float(text) if text.isdecimal() else 0.0
    if node_of(pod) and not annotations.get(NODE):
        due = min(
            due, _epoch(secret["metadata"]["creationTimestamp"]) + NODE_SECONDS + _share(pod) * NODE_SPREAD
        )
    return due


def _share(pod: Object) -> float:
    """A number from 0 to 1 that is always the same for a pod: random as its uid is."""
    return zlib.crc32(pod["metadata"]["uid"].encode()) / 2**32


def _epoch(time_text: str) -> float:
    return datetime.datetime.fromisoformat(time_text).timestamp()
