"""Events that the kubelet itself reports on virtual objects: refusals, lost pods, names that are taken."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import logging
from collections import OrderedDict
from typing import Any, Literal

import msgspec

from k3k_kubelet.api import EVENTS, PODS, AlreadyExistsError, ApiClient, ApiError, Resource
from k3k_kubelet.api.client import Object

log = logging.getLogger(__name__)

COMPONENT = "k3k-kubelet"
MAX_MESSAGE = 1024
"""Bytes that Kubernetes allows in an event's message."""
REPEAT_SECONDS = 300.0
"""The same event about the same object is written again only so often; a retry each second is no news."""
RETRY_SECONDS = 1.0
"""Pause while the API server cannot be asked."""
TRIES = 8
"""Of an event that the API server does not take, with pauses that grow to two minutes."""
_CLUSTER_SCOPED = "default"
"""Namespace of events about objects that have none, as in Kubernetes."""
REMEMBERED = 2000
WAITING = 1000

Type = Literal["Normal", "Warning"]


class _Sent(msgspec.Struct):
    name: str
    count: int
    at: float


class _Event(msgspec.Struct):
    body: Object
    count: int
    tries: int = 0


class EventRecorder:
    """Writes events in the background: reporting never delays nor fails the work it reports on.

    One that the API server could not take now waits for its turn, also while this replica may not write.

    Args:
        virtual: The virtual API server.
    """

    def __init__(self, virtual: ApiClient) -> None:
        self._virtual = virtual
        self._queue: asyncio.Queue[_Event] = asyncio.Queue(WAITING)
        self._next: _Event | None = None
        self._sent: OrderedDict[tuple[str, str, str], _Sent] = OrderedDict()

    def emit(self, obj: Object, kind: Type, reason: str, message: str, *, resource: Resource = PODS) -> None:
        """Reports something about a virtual object; equal reports become one event with a count.

        Args:
            obj: The object as the virtual API server has it.
            kind: `Normal` or `Warning`.
            reason: One word for machines.
            message: What, where, and what to do; cut at 1024 bytes.
            resource: Of the object.
        """
        metadata = obj["metadata"]
        message = message.encode()[:MAX_MESSAGE].decode(errors="ignore")
        key = (metadata["uid"], reason, message)
        now = asyncio.get_running_loop().time()
        sent = self._sent.get(key)
        if sent is not None and now - sent.at < REPEAT_SECONDS:
            sent.count += 1
            return
        if sent is None:
            digest = hashlib.blake2b("\0".join(key).encode(), digest_size=8).hexdigest()
            sent = _Sent(f"{metadata['name'][:220].rstrip('-.')}.{digest}", 0, now)
        sent.count += 1
        sent.at = now
        self._sent[key] = sent
        self._sent.move_to_end(key)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        body = _event(resource, metadata, kind, reason, message, sent.name)
        self._add(_Event(body, sent.count))

    async def run(self) -> None:
        """Writes what was reported, until cancelled; begun again, it goes on where it was."""
        while True:
            if self._next is None:
                self._next = await self._queue.get()
            event = self._next
            try:
                await self._write(event.body, event.count)
            except ApiError as error:
                if not error.code:  # nobody answers, or we may not write: so it is for all of them
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                self._failed(event, error)
            except Exception as error:  # of an answer that is none
                self._failed(event, error)
            self._next = None

    def _failed(self, event: _Event, error: Exception) -> None:
        """The API server answers, but does not take it, as when a webhook for some objects is away.

        Meanwhile the others are written.
        """
        event.tries += 1
        if isinstance(error, ApiError) and error.is_outage and event.tries < TRIES:
            pause = RETRY_SECONDS * 2.0**event.tries
            asyncio.get_running_loop().call_later(pause, self._add, event)
            return
        fields = {"object": event.body["involvedObject"]["name"], "error": str(error)}
        log.info("event not written", extra=fields)

    def _add(self, event: _Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            fields = {"object": event.body["involvedObject"]["name"], "reason": event.body["reason"]}
            log.warning("event dropped", extra=fields)

    async def _write(self, event: Object, count: int) -> None:
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        try:
            await self._virtual.create(EVENTS, namespace, {**event, "count": count})
        except AlreadyExistsError:  # from before a restart, or reported long ago
            found = await self._virtual.get(EVENTS, namespace, name)
            count = max(count, int(found.get("count") or 1) + 1)
            change = {"count": count, "lastTimestamp": event["lastTimestamp"]}
            await self._virtual.patch(EVENTS, namespace, name, change)


def _event(
    resource: Resource, metadata: dict[str, Any], kind: Type, reason: str, message: str, name: str
) -> Object:
    now, namespace = timestamp(), metadata.get("namespace", "")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace or _CLUSTER_SCOPED},
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "name": metadata["name"],
            "namespace": namespace,
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
    }


def timestamp(at: datetime.datetime | None = None) -> str:
    """A moment, now by default, as metav1.Time."""
    moment = at or datetime.datetime.now(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp() -> str:
    """Now as metav1.MicroTime."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
