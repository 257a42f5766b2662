"""Ephemeral containers: what joins a pod that runs already, through its subresource."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.policy import Policy
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Cluster, HostContainer
from k3k_kubelet.translate.rules import security
from k3k_kubelet.translate.table import EPHEMERAL_CONTAINER


def to_host(pod: Mapping[str, Any], name: str, cluster: Cluster, policy: Policy) -> HostContainer:
    """One ephemeral container of a pod as the host's copy gets it.

    Its env may read annotations of the host pod that only the patch of `update.changes` brings: it goes
    first.

    Args:
        pod: the pod as the virtual API server has it.
        name: the container's name; the pod has one of that name.
        cluster: the virtual cluster.
        policy: what its pods may do.

    Raises:
        Refused: the container has something that the host must not get; it names the field.
    """
    found = ((n, each) for n, each in enumerate(pod["spec"]["ephemeralContainers"]) if each["name"] == name)
    n, container = next(found)
    path = f"spec.ephemeralContainers[{n}]"
    context = Context(cluster, policy.pods, pod)
    manifest = EPHEMERAL_CONTAINER.copy(container, context, path)
    security.check_mounts(manifest, security.read_only_volumes(pod["spec"], context), path)
    return HostContainer(
        manifest,
        context.references(context.config_maps),
        context.references(context.secrets),
        tuple(context.dropped),
    )
