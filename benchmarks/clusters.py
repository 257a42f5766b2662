"""How long a virtual cluster takes to come and go, and what it weighs, beside a bare pod on its host.

Every figure is the median of several rounds. A bare pod is started in the same round as each pod inside, so
that the ratio holds on a machine whose speed drifts.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

from benchmarks.core import Table
from devcluster import archives
from devcluster import config as host_config
from devcluster.progress import Progress
from k3k_pulumi import direct

IMAGE = "docker.io/library/busybox:1.36"
POD_TIMEOUT = 60  # seconds until a pod must run
IDLE_SECONDS = 25  # how long a cluster does nothing before its memory is read
MIB = 2**20


@dataclass
class Figures:
    """What was measured of one distribution; seconds and MiB, a value per round."""

    api_ready: list[float] = field(default_factory=list)
    first_pod: list[float] = field(default_factory=list)
    pod_inside: list[float] = field(default_factory=list)
    pod_bare: list[float] = field(default_factory=list)
    removed: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)


def measure_all(progress: Progress, host: Path, rounds: int, pods: int = 10) -> dict[str, Figures]:
    """Each distribution at hand, by its title.

    Args:
        progress: Told of each round.
        host: Kubeconfig of the host.
        rounds: Virtual clusters of each distribution.
        pods: Pods inside and bare ones, in each cluster.
    """
    return {
        name: measure(progress, host, name, args, rounds, pods) for name, args in _distributions().items()
    }


def measure(
    progress: Progress, host: Path, title: str, args: dict[str, Any], rounds: int, pods: int
) -> Figures:
    """Several clusters of one distribution, one after the other."""
    figures = Figures()
    api = config.new_client_from_config(str(host))
    for number in range(1, rounds + 1):
        with progress.step(f"{title}, round {number} of {rounds}"):
            start = time.monotonic()
            with direct.ephemeral_cluster(
                name="bench", namespace="bench", kubeconfig=host, on_step=_Mark(figures, start), **args
            ) as cluster:
                inside = cluster.api_client()
                until_pod_runs(inside, "first")
                figures.first_pod.append(time.monotonic() - start)
                for index in range(pods):
                    figures.pod_inside.append(until_pod_runs(inside, f"pod-{index}"))
                    figures.pod_bare.append(until_pod_runs(api, f"bare-{index}"))
                time.sleep(IDLE_SECONDS)
                for name, mib in memory(api, cluster.control_plane_namespace).items():
                    figures.memory.setdefault(name, []).append(mib)
                end = time.monotonic()
            figures.removed.append(time.monotonic() - end)
    return figures


class _Mark:
    """Notes when the API server answered: the step that waits for it is over then."""

    def __init__(self, figures: Figures, start: float) -> None:
        self._figures = figures
        self._start = start

    @contextmanager
    def __call__(self, title: str) -> Iterator[None]:
        yield
        if title.startswith("API server answers"):
            self._figures.api_ready.append(time.monotonic() - self._start)


def until_pod_runs(api: client.ApiClient, name: str) -> float:
    """Seconds from the request that creates a pod until its status says Running; it is deleted then."""
    core = client.CoreV1Api(api)
    pod = {
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "main", "image": IMAGE, "command": ["sleep", "3600"]}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    _await_service_account(core)
    start = time.monotonic()
    version = core.create_namespaced_pod("default", pod).metadata.resource_version
    for event in watch.Watch().stream(
        core.list_namespaced_pod,
        "default",
        field_selector=f"metadata.name={name}",
        resource_version=version,
        timeout_seconds=POD_TIMEOUT,
    ):
        if event["object"].status.phase == "Running":
            took = time.monotonic() - start
            core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
            return took
    raise RuntimeError(f"pod default/{name} does not run after {POD_TIMEOUT} s")


def _await_service_account(core: client.CoreV1Api) -> None:
    """A new cluster's controller makes the account that pods need a moment after the API is ready."""
    stream = watch.Watch().stream(
        core.list_namespaced_service_account,
        "default",
        field_selector="metadata.name=default",
        timeout_seconds=POD_TIMEOUT,
    )
    next(iter(stream))


def memory(api: client.ApiClient, namespace: str) -> dict[str, float]:
    """Working set of each container of the control plane, in MiB, as the host's kubelets count it."""
    core = client.CoreV1Api(api)
    found: dict[str, float] = {}
    for node in core.list_node().items:
        text = core.connect_get_node_proxy_with_path(
            node.metadata.name, "stats/summary", _preload_content=False
        ).data
        for pod in json.loads(text)["pods"]:
            if pod["podRef"]["namespace"] == namespace:
                role = "virtual kubelet" if "-kubelet-" in pod["podRef"]["name"] else "control plane"
                used = sum(container["memory"]["workingSetBytes"] for container in pod["containers"])
                found[role] = found.get(role, 0) + used / MIB
    return found


def table(results: dict[str, Figures]) -> Table:
    """The figures."""
    rows = {
        "apply to API ready": [f"{median(f.api_ready)} s" for f in results.values()],
        "apply to first pod Running": [f"{median(f.first_pod)} s" for f in results.values()],
        "a pod inside: created to Running": [f"{median(f.pod_inside, 2)} s" for f in results.values()],
        "a bare pod on the host": [f"{median(f.pod_bare, 2)} s" for f in results.values()],
        "ratio inside / bare, pair by pair": [
            median([a / b for a, b in zip(f.pod_inside, f.pod_bare, strict=True)], 2)
            for f in results.values()
        ],
        "memory of the idle control plane": [
            f"{median(f.memory['control plane'], 0)} MiB" for f in results.values()
        ],
        "memory of the virtual kubelet": [
            f"{median(f.memory['virtual kubelet'], 0)} MiB" for f in results.values()
        ],
        "destroyed, nothing left": [f"{median(f.removed)} s" for f in results.values()],
    }
    rounds = len(next(iter(results.values())).api_ready)
    return Table(
        "A virtual cluster, and one pod at a time",
        ("", *results),
        [(name, *values) for name, values in rows.items()],
        (f"Medians of {rounds} clusters each. Memory is the containers' working set.",),
    )


def median(values: list[float], digits: int = 1) -> str:
    """The median, rounded."""
    return f"{statistics.median(values):.{digits}f}"


def _distributions() -> dict[str, dict[str, Any]]:
    """`kubernetes`, and `k3s` where its image is at hand."""
    found: dict[str, dict[str, Any]] = {}
    for version in archives.k3s_versions()[-1:]:
        found[f"k3s {version}"] = {"distribution": "k3s", "version": version}
    version = host_config.KUBERNETES
    found[f"kubernetes {version}"] = {"distribution": "kubernetes", "version": version}
    return found
