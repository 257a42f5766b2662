"""The control plane of a virtual cluster: K3s, or the official Kubernetes images."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from k3k_pulumi.cluster_pki import ClusterPki
from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.control_plane import k3s, kubernetes
from k3k_pulumi.manifests.control_plane.workload import claims
from k3k_pulumi.manifests.control_plane.workload import stateful_set as _stateful_set
from k3k_pulumi.manifests.objects import Manifest, make

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

__all__ = ["claims", "config_maps", "stateful_set"]

Value = TypeVar("Value")


def config_maps(spec: VirtualClusterSpec) -> list[Manifest]:
    """What the servers read at their start."""
    return [
        make(
            spec,
            "ConfigMap",
            spec.names.server,
            objects.SERVER,
            spec.control_plane_namespace,
            data=_config(spec),
        )
    ]


def stateful_set(spec: VirtualClusterSpec, pki: ClusterPki[Value]) -> Manifest:
    """The servers."""
    pod = k3s.pod(spec, pki) if spec.distribution == "k3s" else kubernetes.pod(spec)
    return _stateful_set(spec, _config(spec).values(), pod)


def _config(spec: VirtualClusterSpec) -> dict[str, str]:
    return k3s.config(spec) if spec.distribution == "k3s" else kubernetes.config(spec)
