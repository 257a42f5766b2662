"""What tests do and see: as tenants inside, as scheduler and kubelets on the host."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from k3k_kubelet.api import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    ApiClient,
    NotFoundError,
    PatchType,
    Resource,
)
from k3k_kubelet.events import timestamp
from k3k_kubelet.translate import identity, names

from kubelet.tests.clusters import CLUSTER, NAMESPACE, Clusters
from kubelet.tests.waiting import SECONDS, eventually

Object = dict[str, Any]

_numbers = itertools.count(1)


class World:
    """One test's namespace inside and its view of both sides.

    Args:
        clusters: The two clusters.
        virtual: Administrator inside.
        host: Administrator of the host.
        namespace: The test's own namespace inside.
    """

    def __init__(self, clusters: Clusters, virtual: ApiClient, host: ApiClient, namespace: str) -> None:
        self.clusters = clusters
        self.virtual = virtual
        self.host = host
        self.namespace = namespace

    async def create(self, resource: Resource, name: str, **rest: Any) -> Object:
        """Creates an object inside."""
        metadata = {"name": name, **rest.pop("metadata", {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **rest}
        return await self.virtual.create(resource, self.namespace, body)

    async def pod(self, name: str, *, metadata: Object | None = None, **spec: Any) -> Object:
        """Creates a pod inside: one container named `c`, no token unless asked."""
        container = {"name": "c", "image": "busybox", **spec.pop("container", {})}
        whole = {"automountServiceAccountToken": False, "containers": [container], **spec}
        return await self.create(PODS, name, metadata=metadata or {}, spec=whole)

    async def get(self, resource: Resource, name: str) -> Object | None:
        """An object inside."""
        return await _found(self.virtual, resource, self.namespace, name)

    async def host_get(self, resource: Resource, name: str) -> Object | None:
        """The host's copy of an object of that name inside."""
        return await _found(self.host, resource, NAMESPACE, self.host_name(name))

    def host_name(self, name: str) -> str:
        """Name of the copy."""
        return names.host_name(CLUSTER, self.namespace, name)

    async def host_pod(self, name: str) -> Object:
        """The copy of a pod, as soon as it is there."""
        return await eventually(lambda: self.host_get(PODS, name))

    async def dry_run(self, **container: Any) -> Object:
        """What the host would make of a pod with this container, by what its admission knows now.

        Quotas, limit ranges, roles and levels of Pod Security reach it by watches of its own.

        Raises:
            ApiError: It would refuse the pod.
        """
        spec = {
            "serviceAccountName": f"{CLUSTER}-workload",
            "containers": [{"name": "c", "image": "x", **container}],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry-run"}, "spec": spec}
        return await self.host.create(PODS, NAMESPACE, body, dry_run=True)

    async def schedule(self, name: str, node: str) -> Object:
        """Does what the host's scheduler does, and waits until the pod inside is bound as well."""
        await self.host_pod(name)
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": self.host_name(name)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self.host.create(PODS, NAMESPACE, body, name=self.host_name(name), subresource="binding")
        return await self.until(name, lambda pod: pod["spec"].get("nodeName") == node)

    async def report(self, name: str, status: Object) -> None:
        """Does what a host kubelet does: writes the copy's status."""
        await self.host.patch(
            *(PODS, NAMESPACE, self.host_name(name), {"status": status}),
            kind=PatchType.STRATEGIC,
            subresource="status",
        )

    async def running(self, name: str, node: str) -> Object:
        """Brings a pod to Running on a node; returns it as it is inside."""
        await self.schedule(name, node)
        await self.report(name, running_status())
        return await self.until(name, lambda pod: pod["status"]["phase"] == "Running")

    async def given_up(self, name: str) -> None:
        """Does what the host's node lifecycle controller does to the pods of a node that is silent.

        That is MarkPodsNotReady in k8s.io/kubernetes/pkg/controller/util/node.
        """
        await self.report(name, {"conditions": [{"type": "Ready", "status": "False"}]})

    async def ended(self, name: str, phase: str = "Succeeded") -> None:
        """Does what a host kubelet does when all containers of a pod have ended."""
        code = 0 if phase == "Succeeded" else 1
        state = {"terminated": {"exitCode": code, "reason": "Completed", "finishedAt": timestamp()}}
        container = {**_CONTAINER, "ready": False, "started": False, "state": state}
        conditions = [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")]
        await self.report(name, {"phase": phase, "containerStatuses": [container], "conditions": conditions})

    async def killed(self, name: str) -> None:
        """Does what a host kubelet does at the end of a pod that is being deleted."""
        host = await self.host_get(PODS, name)
        assert host is not None
        await self.ended(name)
        uid = host["metadata"]["uid"]
        await self.host.delete(PODS, NAMESPACE, host["metadata"]["name"], uid=uid, grace_period=0)

    async def until(self, name: str, check: Callable[[Object], object], seconds: float = SECONDS) -> Object:
        """The pod inside, as soon as `check` is true of it."""

        async def found() -> Object | None:
            pod = await self.get(PODS, name)
            return pod if pod is not None and check(pod) else None

        pod = await eventually(found, seconds)
        assert pod is not None
        return pod

    async def until_host(self, resource: Resource, name: str, check: Callable[[Object], object]) -> Object:
        """The copy of an object, as soon as `check` is true of it."""

        async def found() -> Object | None:
            copy = await self.host_get(resource, name)
            return copy if copy is not None and check(copy) else None

        copy = await eventually(found)
        assert copy is not None
        return copy

    async def gone(self, resource: Resource, name: str, seconds: float = SECONDS) -> None:
        """Returns when the object is gone inside."""
        await eventually(lambda: _negate(self.get(resource, name)), seconds)

    async def host_gone(self, resource: Resource, name: str) -> None:
        """Returns when the copy is gone on the host."""
        await eventually(lambda: _negate(self.host_get(resource, name)))

    async def event(self, name: str, reason: str, words: str = "") -> Object:
        """The event of that reason about an object inside with these words, as soon as it is there.

        There may be others before it: what the host says first, it need not say in the end.
        """

        async def found() -> Object | None:
            selector = f"involvedObject.name={name},reason={reason}"
            query = {"fieldSelector": selector}
            events = await self.virtual.list_all(EVENTS, self.namespace, query=query)
            return next((event for event in events if words in event["message"]), None)

        event = await eventually(found)
        assert event is not None
        return event

    async def token_secrets(self, name: str) -> list[Object]:
        """The host Secrets with tokens of a pod."""
        query = {"labelSelector": f"{identity.COMPONENT}=token"}
        secrets = await self.host.list_all(SECRETS, NAMESPACE, query=query)
        wanted = (self.namespace, name)
        return [s for s in secrets if (o := identity.owner_of(s)) and (o.namespace, o.name) == wanted]

    async def node(self, name: str) -> Object | None:
        """A virtual Node."""
        return await _found(self.virtual, NODES, None, name)


def in_world(clusters: Clusters, test: Callable[[World], Awaitable[None]]) -> None:
    """Runs a test in a namespace of its own."""

    async def run() -> None:
        virtual, host = clusters.virtual.client(), clusters.host.client()
        namespace = f"test-{next(_numbers)}"
        world = World(clusters, virtual, host, namespace)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        try:
            await virtual.create(NAMESPACES, None, body)
            await eventually(lambda: world.get(SERVICE_ACCOUNTS, "default"))
            await test(world)
        finally:
            await virtual.close()
            await host.close()

    asyncio.run(run())


_CONTAINER: Object = {
    "name": "c",
    "image": "busybox",
    "imageID": "sha256:1",
    "containerID": "containerd://1",
    "restartCount": 0,
}


def running_status() -> Object:
    """What a host kubelet reports of a pod that runs."""
    now = timestamp()
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    return {
        "phase": "Running",
        "startTime": now,
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}],
        "podIP": "198.51.100.7",
        "podIPs": [{"ip": "198.51.100.7"}],
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds],
        "containerStatuses": [
            {**_CONTAINER, "ready": True, "started": True, "state": {"running": {"startedAt": now}}}
        ],
    }


def condition(pod: Object, kind: str) -> Object:
    """A condition of a pod, `{}` if it has none of that type."""
    found = pod.get("status", {}).get("conditions") or ()
    return next((each for each in found if each["type"] == kind), {})


async def _found(client: ApiClient, resource: Resource, namespace: str | None, name: str) -> Object | None:
    try:
        return await client.get(resource, namespace, name)
    except NotFoundError:
        return None


async def _negate(check: Awaitable[object]) -> bool:
    return not await check


__all__ = ["CONFIG_MAPS", "World", "condition", "in_world", "running_status"]
