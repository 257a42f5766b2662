"""The model of a virtual cluster: plain values with defaults, all checked before anything is created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k3k_pulumi.model.names import PREFIX, Names
from k3k_pulumi.model.versions import Version

if TYPE_CHECKING:
    from k3k_pulumi.model.policy import VirtualClusterPolicySpec
    from k3k_pulumi.model.shared_mode_namespace import SharedModeNamespaceSpec
    from k3k_pulumi.model.spec import VirtualClusterSpec

__all__ = [
    "PREFIX",
    "Names",
    "SharedModeNamespaceSpec",
    "Version",
    "VirtualClusterPolicySpec",
    "VirtualClusterSpec",
]

_MODULES = {
    "SharedModeNamespaceSpec": "k3k_pulumi.model.shared_mode_namespace",
    "VirtualClusterPolicySpec": "k3k_pulumi.model.policy",
    "VirtualClusterSpec": "k3k_pulumi.model.spec",
}


def __getattr__(name: str) -> Any:
    """Imports a specification when it is first used: pydantic and its models take a quarter of a second.

    Modules that only annotate with one import it for type checkers alone.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
