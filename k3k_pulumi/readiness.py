"""Ready means reachable: a deployment waits until the cluster's API answers where it runs."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pulumi

from k3k_pulumi.endpoint import UnreachableError, wait_until_ready

READY_SECONDS = 300.0
"""How long the API may take to be reachable once its pods are ready: load balancers take minutes."""

_HOOKS = itertools.count()


class VirtualClusterNotReadyError(pulumi.RunError):
    """The cluster's API was not reachable in time from the machine that runs Pulumi."""


def readiness_hooks(
    name: str, namespace: pulumi.Output[str], kubeconfig: pulumi.Output[str]
) -> pulumi.ResourceHookBinding:
    """Has a deployment wait until the API answers where it runs, and not only in the pod's own view.

    Args:
        name: Name of the cluster, unique in a namespace at most.
        namespace: Host namespace of the control plane.
        kubeconfig: Its administrator's, for this machine.

    Returns:
        Hooks of the servers' StatefulSet. They raise VirtualClusterNotReadyError.
    """

    async def await_api(args: pulumi.ResourceHookArgs) -> None:  # noqa: ARG001 - a hook's signature
        try:
            await asyncio.to_thread(wait_until_ready, cast(str, await kubeconfig.future()), READY_SECONDS)
        except UnreachableError as error:
            where = cast(str, await namespace.future())
            raise VirtualClusterNotReadyError(_not_ready(name, where, error)) from error

    # Hooks are known by their names in a whole stack.
    hook = pulumi.ResourceHook(f"k3k-pulumi:readiness::{name}::{next(_HOOKS)}", await_api)
    return pulumi.ResourceHookBinding(after_create=[hook], after_update=[hook])


def _not_ready(name: str, namespace: str, error: UnreachableError) -> str:
    """What a user can do about a cluster that its host calls ready and that does not answer here."""
    return (
        f"VirtualCluster {name!r}: {error}. Its pods are ready in the host's own view: look at the way to "
        f"them, kubectl -n {namespace} get networkpolicies,services,endpointslices,events. "
        "The next `pulumi up` takes the StatefulSet for created and does not ask again."
    )
