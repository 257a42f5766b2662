"""A virtual cluster as tests see it: from inside, and its two namespaces from the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devcluster import archives
from k3k_pulumi import direct
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

PREFIX = "k3k-pulumi.io/"
MADE_WITHIN = 600.0
"""Seconds until a cluster is ready beside all that other tests start at the same time."""

both = pytest.mark.parametrize(
    "distribution", ["kubernetes", pytest.param("k3s", marks=pytest.mark.needs_k3s_image)]
)
"""For tests whose answer could differ between the distributions of the control plane."""


def variant(distribution: str) -> dict[str, str]:
    """Arguments for a cluster of that distribution: with K3s, the newest version whose image is at hand."""
    versions = archives.k3s_versions() if distribution == "k3s" else []
    return {"distribution": distribution} | ({"version": versions[-1]} if versions else {})


@dataclass(frozen=True)
class Access:
    """What it takes to reach a virtual cluster, from any process of the run."""

    name: str
    namespace: str
    control_plane_namespace: str
    endpoint: str
    kubeconfig: Path

    @classmethod
    def of(cls, cluster: direct.Cluster) -> Access:
        """Access to a cluster of this process."""
        return cls(
            cluster.name,
            cluster.namespace,
            cluster.control_plane_namespace,
            cluster.endpoint,
            cluster.kubeconfig_path,
        )


@dataclass(frozen=True)
class View:
    """Where to look at a virtual cluster.

    Attributes:
        access: how it is reached.
        inside: the virtual cluster, its namespace `default`.
        workloads: the host namespace its pods run in.
        control_plane: the host namespace of its control plane.
        destroy: removes it before the test is over; only for clusters of the test's own.
    """

    access: Access
    inside: Kubectl
    workloads: Kubectl
    control_plane: Kubectl
    destroy: Callable[[], None]

    @classmethod
    def of(cls, host: Kubectl, access: Access, destroy: Callable[[], None]) -> View:
        """The view of a cluster on that host."""
        return cls(
            access,
            Kubectl(access.kubeconfig),
            host.within(access.namespace),
            host.within(access.control_plane_namespace),
            destroy,
        )

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self.access.name

    def host_pods(self, *, namespace: str) -> dict[str, Any]:
        """The host's pods of a virtual namespace, by their virtual name."""
        return self.copies("pods", namespace)

    def copies(self, plural: str, namespace: str) -> dict[str, Any]:
        """The host's objects of that resource that stand for a virtual namespace's, by their virtual name."""
        selector = f"{PREFIX}cluster={self.name},{PREFIX}namespace={namespace}"
        found = self.workloads.get(plural, "-l", selector)
        return {each["metadata"]["annotations"][f"{PREFIX}name"]: each for each in found}


def running(kubectl: Kubectl, selector: str, count: int, timeout: float = 300.0) -> list[Any]:
    """Waits until exactly `count` (at least one) pods match, all Ready and none on its way out."""

    def check() -> list[Any]:
        pods = kubectl.get("pods", "-l", selector)
        states = {pod["metadata"]["name"]: state(pod) for pod in pods}
        assert len(pods) == count, f"{len(pods)} pods, not {count}: {states}"
        assert set(states.values()) <= {"Ready"}, states
        return pods

    return eventually(check, timeout)


def state(pod: Any) -> str:
    """Ready, Terminating or the pod's phase."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    conditions = {entry["type"]: entry["status"] for entry in pod.get("status", {}).get("conditions", [])}
    return "Ready" if conditions.get("Ready") == "True" else pod.get("status", {}).get("phase", "no status")


def identity(pod: Any) -> tuple[str, tuple[tuple[str, int], ...]]:
    """What must not change while a pod lives on: its uid, and each container's id and restart count."""
    statuses = pod["status"].get("containerStatuses", [])
    return pod["metadata"]["uid"], tuple(
        (status["containerID"], status["restartCount"]) for status in statuses
    )
