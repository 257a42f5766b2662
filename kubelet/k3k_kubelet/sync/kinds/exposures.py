"""NetworkPolicies by which others reach the pods of Services that are exposed."""

from __future__ import annotations

from k3k_kubelet.api import SERVICES
from k3k_kubelet.api.client import Object
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kinds.openings import Opening
from k3k_kubelet.translate import HostObject, Refused, exposure, service


class Exposures(Opening):
    """One NetworkPolicy for each Service of type NodePort or LoadBalancer, or with external IPs."""

    source = SERVICES
    purpose = exposure.PORTS
    only_opens = True

    def setting(self, policy: Policy) -> ToHost:
        """`sync.toHost.services`."""
        return policy.sync.to_host.services

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The NetworkPolicy of a Service; None for one that is not exposed, or has no copy itself."""
        try:
            if service.to_host(obj, self.shared.cluster, self.shared.policy.current) is None:
                return None
        except Refused:  # told with the Service's own copy
            return None
        allowed = self.shared.policy.current.sync.to_host.services.source_ranges
        manifest = exposure.of_service(obj, self.shared.cluster, allowed)
        return HostObject(manifest) if manifest else None
