"""The model of a virtual cluster: plain values with defaults, all checked before anything is created."""

from k3k_pulumi.model.names import PREFIX, Names
from k3k_pulumi.model.policy import VirtualClusterPolicySpec
from k3k_pulumi.model.shared_mode_namespace import SharedModeNamespaceSpec
from k3k_pulumi.model.spec import VirtualClusterSpec
from k3k_pulumi.model.versions import Version

__all__ = [
    "PREFIX",
    "Names",
    "SharedModeNamespaceSpec",
    "Version",
    "VirtualClusterPolicySpec",
    "VirtualClusterSpec",
]
