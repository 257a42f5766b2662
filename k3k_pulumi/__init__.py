"""Kubernetes inside Kubernetes, as a Pulumi component library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k3k_pulumi.args import VirtualClusterArgs
    from k3k_pulumi.errors import InputError
    from k3k_pulumi.policy_args import SharedModeNamespaceArgs, VirtualClusterPolicyArgs
    from k3k_pulumi.shared_mode_namespace import SharedModeNamespace
    from k3k_pulumi.virtual_cluster import VirtualCluster
    from k3k_pulumi.virtual_cluster_policy import VirtualClusterPolicy

__all__ = [
    "InputError",
    "SharedModeNamespace",
    "SharedModeNamespaceArgs",
    "VirtualCluster",
    "VirtualClusterArgs",
    "VirtualClusterPolicy",
    "VirtualClusterPolicyArgs",
]

_MODULES = {
    "InputError": "k3k_pulumi.errors",
    "SharedModeNamespace": "k3k_pulumi.shared_mode_namespace",
    "SharedModeNamespaceArgs": "k3k_pulumi.policy_args",
    "VirtualCluster": "k3k_pulumi.virtual_cluster",
    "VirtualClusterArgs": "k3k_pulumi.args",
    "VirtualClusterPolicy": "k3k_pulumi.virtual_cluster_policy",
    "VirtualClusterPolicyArgs": "k3k_pulumi.policy_args",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: what needs no Pulumi does not pay for its import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
