"""What NetworkPolicies of the kubelet's own have in common: each opens pods of the tenant for one purpose."""

from __future__ import annotations

from typing import ClassVar

from k3k_kubelet.api import NETWORK_POLICIES
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.translate import identity


class Opening(Kind):
    """A kind of NetworkPolicies that is told from others, and from copies of the tenant's, by its purpose.

    Attributes:
        purpose: A word of the names that the annotations of these policies say.
    """

    resource = NETWORK_POLICIES
    host_selector = identity.NAMESPACE
    """Those of the library are of no virtual namespace."""
    purpose: ClassVar[str]

    def alias(self, name: str) -> str:
        """No object that the tenant has may be taken for one of these: its name has no colon."""
        return f"{name}:{self.purpose}"

    def named(self, alias: str) -> str | None:
        """The name of a policy's object; None for a policy that is there for something else."""
        suffix = f":{self.purpose}"
        return alias.removesuffix(suffix) if alias.endswith(suffix) else None
