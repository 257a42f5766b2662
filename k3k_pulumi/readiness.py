"""What a deployment waits for, how long, and what it says when it waited in vain.

The kubernetes provider waits for the workloads. What it gives up on, it records as not initialised, so the
next deployment waits for it again; but of why, it knows only what the pods say. So an error hook reads all
that the namespace says.

Ready means reachable: pods may be ready in the host's own view long before, or without, an answer where
Pulumi runs. A Stash is the proof of that answer: made after it, never without it, and made anew when the
servers change, or who may ask them. A deployment that got none asks again the next time, even where nothing
has changed.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pulumi

from k3k_pulumi.credentials import NoAccessError, host_of
from k3k_pulumi.endpoint import UnreachableError, wait_until_ready
from k3k_pulumi.inputs import end_quietly
from k3k_pulumi.manifests import Manifest, waits_for_address, waits_for_ready
from k3k_pulumi.manifests.objects import NETWORK_PROBE
from k3k_pulumi.resources import KubernetesObject
from k3k_pulumi.threads import in_thread

if TYPE_CHECKING:
    from k3k_pulumi.host import Host
    from k3k_pulumi.model import VirtualClusterSpec

LOOK_SECONDS = 60.0
"""How long the host may take to say why something is not ready."""
_HOOKS = itertools.count()


class VirtualClusterNotReadyError(pulumi.RunError):
    """The cluster's API was not reachable in time from the machine that runs Pulumi."""


class Readiness:
    """Of one cluster in one run of a program."""

    def __init__(
        self,
        cluster: pulumi.Resource,
        name: str,
        spec: VirtualClusterSpec,
        placed: Callable[[str], pulumi.Output[str]],
    ) -> None:
        """Nothing is awaited yet.

        Args:
            cluster: The component; its provider's credentials are used to look at the host.
            name: As users know it.
            spec: The cluster.
            placed: The true name of a namespace that may be an Output.
        """
        self._cluster, self._name, self._spec, self._placed = cluster, name, spec, placed

    def options(self, manifest: Manifest) -> pulumi.ResourceOptions | None:
        """Options of an object that the provider waits for; None for others."""
        if not (waits_for_ready(manifest) or waits_for_address(manifest)):
            return None
        limit = self._spec.ready_timeout
        hook = self._probe_hook if manifest["kind"] == "Job" else self._hook
        return pulumi.ResourceOptions(
            custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit),
            hooks=pulumi.ResourceHookBinding(on_error=[hook]),
        )

    def prove(
        self, servers: KubernetesObject, endpoint: pulumi.Output[str], kubeconfig: pulumi.Output[str]
    ) -> pulumi.Resource | None:
        """Has a deployment wait until the API answers where it runs.

        Args:
            servers: The StatefulSet.
            endpoint: URL of the API.
            kubeconfig: Of the administrator, for this machine.

        Returns:
            A resource that is there when the API has answered; None where nobody outside the cluster's own
            pods may connect.
        """
        if not self._spec.expose.source_cidrs:
            return None

        async def ask(args: pulumi.ResourceHookArgs) -> None:  # noqa: ARG001 - a hook's signature
            text = cast(str, await kubeconfig.future())
            loop = asyncio.get_running_loop()

            def tell(failure: str) -> None:  # in the thread that waits
                message = f"{self._about()}: waiting for its API: {failure}"
                loop.call_soon_threadsafe(pulumi.log.info, message, self._cluster)

            try:
                await in_thread(wait_until_ready, text, self._spec.ready_seconds, tell)
            except UnreachableError as error:
                end_quietly()
                raise VirtualClusterNotReadyError(await self._unreachable(error)) from error

        hook = pulumi.ResourceHook(self._hook_name("api"), ask)
        metadata = servers.metadata
        return pulumi.Stash(
            f"{self._name}-ready",
            input={
                "endpoint": endpoint,
                "uid": metadata.apply(lambda known: known.get("uid")),
                "generation": metadata.apply(lambda known: known.get("generation")),
                "source_cidrs": [str(each) for each in self._spec.expose.source_cidrs],
            },
            opts=pulumi.ResourceOptions(
                parent=self._cluster,
                # Before: what fails leaves no proof behind, while an object with a failed hook after it
                # counts as made.
                hooks=pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook]),
            ),
        )

    @functools.cached_property
    def _hook(self) -> pulumi.ErrorHook:
        return self._on_error(self._spec.control_plane_namespace, None)

    @functools.cached_property
    def _probe_hook(self) -> pulumi.ErrorHook:
        return self._on_error(self._spec.namespace, NETWORK_PROBE)

    def _on_error(self, namespace: str, component: str | None) -> pulumi.ErrorHook:
        """Tells once in a run why something is not ready: what one object lacks, the others wait for."""
        told = False

        async def tell(args: pulumi.ErrorHookArgs) -> bool:
            nonlocal told
            if args.failed_operation != "delete" and not told:
                told = True
                where = cast(str, await self._placed(namespace).future())
                why = await self._explain(where, component)
                limit = self._spec.ready_timeout
                pulumi.log.error(f"{self._about()}: not ready within {limit}\n{why}", self._cluster)
                end_quietly()
            return False  # no other try: it has had its time

        return pulumi.ErrorHook(self._hook_name("ready" if component is None else component), tell)

    async def _explain(self, namespace: str, component: str | None) -> str:
        """What the host says, or why it cannot be asked: never an error, which would hide the first one."""

        def explain(host: Host) -> str:
            from k3k_pulumi.reasons import explain

            try:
                return explain(host, namespace, self._spec.name, component=component)
            finally:
                host.close()

        async def look() -> str:
            host = await host_of(self._cluster)
            return await in_thread(explain, host)

        try:
            return await asyncio.wait_for(look(), LOOK_SECONDS)
        except NoAccessError as error:
            why = str(error)
        except TimeoutError:
            why = "the host did not answer"
        except Exception as error:
            why = type(error).__name__  # its text may have what a kubeconfig holds
        return (
            f"  (no look into the namespace: {why})\n"
            f"  look there: kubectl -n {namespace} get pods,statefulsets,deployments,pvc,events"
        )

    async def _unreachable(self, error: UnreachableError) -> str:
        """What a user can do about a cluster that its host calls ready and that does not answer here."""
        namespace = cast(str, await self._placed(self._spec.control_plane_namespace).future())
        why = await self._explain(namespace, None)
        return (
            f"{self._about()}: {error}. Its servers are ready in the host's own view: look at the way to "
            f"them, kubectl -n {namespace} get networkpolicies,services,endpointslices. "
            f"The next `pulumi up` asks again.\n{why}"
        )

    def _hook_name(self, what: str) -> str:
        """Of its own in the whole stack, while clusters' names are unique in a namespace at most."""
        return f"k3k-pulumi:{self._name}:{what}:{next(_HOOKS)}"

    def _about(self) -> str:
        return f"VirtualCluster {self._name!r}"
