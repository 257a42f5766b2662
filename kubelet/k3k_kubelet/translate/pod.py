"""Pods: the tenant's to the host's."""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.policy import Policy
from k3k_kubelet.translate import metadata, update
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Cluster, HostPod, Object
from k3k_kubelet.translate.references import references, token_projections
from k3k_kubelet.translate.table import POD_SPEC

__all__ = ["references", "to_host", "token_projections"]


def to_host(
    pod: Mapping[str, Any], cluster: Cluster, policy: Policy, isolated: Iterable[str] = ()
) -> HostPod:
    """The host's copy of a pod.

    Args:
        pod: the pod as the virtual API server has it.
        cluster: the virtual cluster.
        policy: what its pods may do.
        isolated: directions in which NetworkPolicies of the tenant isolate the pod.

    Raises:
        Refused: the pod has something that the host must not get; it names the field.
    """
    context = Context(cluster, policy.pods, pod)
    spec = POD_SPEC.copy(_without_ephemeral(pod["spec"]), context, "spec")
    labels, annotations = metadata.of_copy(pod, cluster, policy.pods, isolated)
    annotations[update.APPLIED] = update.record(pod, spec.get("tolerations", []), policy.pods)
    metadata.check_size(annotations)
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": context.host_name(context.name),
            "namespace": cluster.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [dict(cluster.owner)],
        },
        "spec": spec,
    }
    return HostPod(
        manifest,
        context.references(context.config_maps),
        context.references(context.secrets),
        context.references(context.claims),
        tuple(context.tokens.values()),
        tuple(context.dropped),
    )


def _without_ephemeral(spec: Mapping[str, Any]) -> Object:
    """Ephemeral containers join a pod through their subresource only; a new pod cannot have any."""
    return {key: value for key, value in spec.items() if key != "ephemeralContainers"}
