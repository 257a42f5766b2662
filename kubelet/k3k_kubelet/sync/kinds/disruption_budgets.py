"""PodDisruptionBudgets: the host's evictions keep to what the virtual cluster's controller has worked out."""

from __future__ import annotations

from k3k_kubelet.api import POD_DISRUPTION_BUDGETS
from k3k_kubelet.api.client import Object
from k3k_kubelet.policy import Policy, ToHost
from k3k_kubelet.sync.kind import Kind
from k3k_kubelet.translate import HostObject, disruption_budget


class DisruptionBudgets(Kind):
    """PodDisruptionBudgets. Their status inside is the virtual cluster's own."""

    resource = POD_DISRUPTION_BUDGETS

    def setting(self, policy: Policy) -> ToHost:
        """The part of the policy about them."""
        return policy.sync.to_host.pod_disruption_budgets

    def to_host(self, obj: Object, host: Object | None) -> HostObject | None:  # noqa: ARG002
        """The copy as it should be."""
        return disruption_budget.to_host(obj, self.shared.cluster)

    def reduce(self, obj: Object) -> None:
        """Of the status only what the copy is made of: it changes with every pod."""
        status, kept = obj.get("status"), ("observedGeneration", "desiredHealthy", "conditions")
        if isinstance(status, dict):  # a tenant's own API server in its place may say anything
            obj["status"] = {key: status[key] for key in kept if key in status}

    def reduce_host(self, host: Object) -> None:
        """The host's own figures are of no use inside."""
        host.pop("status", None)
