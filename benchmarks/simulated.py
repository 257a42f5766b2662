"""2,000 pods without nodes: two real API servers and the real kubelet as processes, nodes only as words.

No small machine can run 2,000 pods. So somebody writes for the host's pods what its scheduler and kubelets
would: binding, two statuses, four events. The virtual kubelet cannot tell the difference.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from k3k_kubelet.api import EVENTS, PODS, SERVICES, ApiClient, PatchType
from k3k_kubelet.api.watch import watch
from k3k_kubelet.events import timestamp

from benchmarks.burst import create_all
from benchmarks.core import Object, Timeline, make_namespace
from benchmarks.process import Process
from benchmarks.services import service
from kubelet.tests.clusters import NAMESPACE, Clusters, started

NODES = 20
SETTLE_SECONDS = 65.0
"""Between the last pod's start and the reading of memory: the kubelet trims its heap each minute."""
SECONDS_PER_POD = 1.0
"""For the time-out."""
AT_ONCE = 16
"""Pods that the simulated nodes are busy with; Services whose creation is under way."""
_EVENTS = ("Scheduled", "Pulled", "Created", "Started")


def memory(counts: tuple[int, ...], on_pods: Callable[[int], object]) -> dict[int, float]:
    """Resident memory of the kubelet, in MiB, at these numbers of running pods, ascending.

    Args:
        counts: Numbers of pods.
        on_pods: Told of each number when it is reached.
    """
    with tempfile.TemporaryDirectory(prefix="k3k-pulumi-bench-") as folder, started(Path(folder)) as clusters:
        return asyncio.run(_memory(clusters, counts, on_pods))


async def _memory(
    clusters: Clusters, counts: tuple[int, ...], on_pods: Callable[[int], object]
) -> dict[int, float]:
    assert clusters.kubelet is not None
    kubelet = Process(clusters.kubelet.pid)
    host, virtual = clusters.host.client(), clusters.virtual.client()
    found: dict[int, float] = {}
    nodes = Nodes(host)
    running = asyncio.create_task(nodes.run())
    try:
        await make_namespace(virtual, "load")
        async with Timeline(virtual, "load").watching() as pods:
            there = 0
            for count in counts:
                names = [f"pod-{index}" for index in range(there, count)]
                await create_all(pods, names)
                await pods.until_ready(names, 60 + len(names) * SECONDS_PER_POD)
                await asyncio.sleep(SETTLE_SECONDS)
                found[count] = kubelet.resident
                on_pods(count)
                there = count
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await host.close()
        await virtual.close()
    return found


def memory_with_services(count: int) -> float:
    """Resident memory of the kubelet, in MiB, with so many Services inside and no pod."""
    with tempfile.TemporaryDirectory(prefix="k3k-pulumi-bench-") as folder, started(Path(folder)) as clusters:
        return asyncio.run(_memory_with_services(clusters, count))


async def _memory_with_services(clusters: Clusters, count: int) -> float:
    assert clusters.kubelet is not None
    kubelet, virtual = Process(clusters.kubelet.pid), clusters.virtual.client()
    room = asyncio.Semaphore(AT_ONCE)

    async def create(name: str) -> None:
        async with room:
            await virtual.create(SERVICES, "load", service(name))

    try:
        await make_namespace(virtual, "load")
        await asyncio.gather(*(create(f"service-{number}") for number in range(count)))
        await asyncio.sleep(SETTLE_SECONDS)
        return kubelet.resident
    finally:
        await virtual.close()


class Nodes:
    """The host's scheduler and kubelets, as far as an API server sees them.

    Args:
        host: Its administrator.
    """

    def __init__(self, host: ApiClient) -> None:
        self._host = host
        self._seen: set[str] = set()

    async def run(self) -> None:
        """Has every new pod run, until cancelled."""
        room = asyncio.Semaphore(AT_ONCE)
        page = await self._host.request("GET", PODS.path(NAMESPACE), query={"limit": "1"})
        version = page["metadata"]["resourceVersion"]
        async with asyncio.TaskGroup() as group:
            while True:
                async for kind, pod in watch(self._host, PODS, NAMESPACE, version):
                    version = pod["metadata"]["resourceVersion"]
                    if kind == "ADDED" and pod["metadata"]["uid"] not in self._seen:
                        self._seen.add(pod["metadata"]["uid"])
                        group.create_task(self._live(pod, len(self._seen), room))

    async def _live(self, pod: Object, number: int, room: asyncio.Semaphore) -> None:
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": f"node-{number % NODES}"}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        async with room:
            await self._host.create(PODS, NAMESPACE, binding, name=name, subresource="binding")
            await self._report(pod, number, ready=False)
            for reason in _EVENTS:
                await self._host.create(EVENTS, NAMESPACE, _event(pod, reason))
            await self._report(pod, number, ready=True)

    async def _report(self, pod: Object, number: int, *, ready: bool) -> None:
        change = {"status": _status(pod, number, ready=ready)}
        await self._host.patch(
            *(PODS, NAMESPACE, pod["metadata"]["name"], change),
            kind=PatchType.STRATEGIC,
            subresource="status",
        )


def _status(pod: Object, number: int, *, ready: bool) -> Object:
    """What a kubelet reports when it has begun with a pod, and when that runs."""
    now, address = timestamp(), f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    container = pod["spec"]["containers"][0]
    common = {"name": container["name"], "image": container["image"], "restartCount": 0}
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    early = ("Initialized", "PodScheduled")
    status: Object = {
        "phase": "Running" if ready else "Pending",
        "startTime": now,
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}],
        "conditions": [
            {"type": kind, "status": str(ready or kind in early), "lastTransitionTime": now} for kind in kinds
        ],
    }
    if not ready:
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        status["containerStatuses"] = [
            {**common, "imageID": "", "ready": False, "started": False, "state": waiting}
        ]
        return status
    digest = f"{number:064x}"
    container_status = {
        **common,
        "imageID": f"registry.k8s.io/pause@sha256:{digest}",
        "containerID": f"containerd://{digest}",
        "ready": True,
        "started": True,
        "state": {"running": {"startedAt": now}},
    }
    return status | {
        "podIP": address,
        "podIPs": [{"ip": address}],
        "containerStatuses": [container_status],
    }


def _event(pod: Object, reason: str) -> Object:
    now, metadata = timestamp(), pod["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{metadata['uid'][:8]}.{reason.lower()}"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": NAMESPACE,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "fieldPath": "spec.containers{main}",
        },
        "type": "Normal",
        "reason": reason,
        "message": f'{reason}: container "main" of image "{pod["spec"]["containers"][0]["image"]}"',
        "source": {"component": "kubelet", "host": "node-1"},
        "reportingComponent": "kubelet",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
