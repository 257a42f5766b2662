"""PersistentVolumeClaims: what their copies are, and which of these outlive what the policy says."""

from __future__ import annotations

from k3k_kubelet.api import PERSISTENT_VOLUME_CLAIMS
from k3k_kubelet.api.client import Object
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.translate import HostObject
from k3k_kubelet.translate import claim as translate_claim


class ClaimKind(Kind):
    """PersistentVolumeClaims. What goes up, the volumes with it, is `VolumeController`'s."""

    resource = PERSISTENT_VOLUME_CLAIMS

    def setting(self, policy: Policy) -> ToHost:
        """`persistentVolumeClaims` of the policy."""
        return policy.sync.to_host.persistent_volume_claims

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:
        """The copy; None for a claim that is deleted before it has one."""
        if host is None and obj["metadata"].get("deletionTimestamp"):
            return None
        return translate_claim.to_host(obj, self.shared.cluster, self.shared.policy.current, host)

    def keeps(self, host: Object) -> bool:
        """A claim that has a volume: its data goes with the claim inside, and with nothing else."""
        return translate_claim.is_bound(host)

    def ends(self, obj: Object) -> bool:  # noqa: ARG002
        """No: pods still use a claim that is held inside."""
        return False
