"""The host objects of a VirtualClusterPolicy: pure functions from the model to Kubernetes objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k3k_pulumi.manifests.objects import Manifest
from k3k_pulumi.manifests.policy.admission import admission_policy
from k3k_pulumi.manifests.policy.namespace import (
    NAMESPACED_KINDS,
    constraints_of,
    namespace_fields,
    namespace_objects,
    obstacles,
    own_managers,
)
from k3k_pulumi.manifests.policy.shared_mode_namespace import SHARED_MODE_KINDS, shared_mode_namespace

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterPolicySpec

__all__ = [
    "NAMESPACED_KINDS",
    "SHARED_MODE_KINDS",
    "cluster_objects",
    "constraints_of",
    "namespace_fields",
    "namespace_objects",
    "obstacles",
    "own_managers",
    "shared_mode_namespace",
]


def cluster_objects(spec: VirtualClusterPolicySpec) -> list[Manifest]:
    """What a policy has once on the host, whatever its namespaces are."""
    return admission_policy(spec)
