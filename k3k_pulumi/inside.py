"""The way into a virtual cluster for resources of the same program: its provider, and a parent with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_kubernetes

from k3k_pulumi.inputs import VirtualClusterInputError

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec


class Inside(pulumi.ComponentResource):
    """The parent of what lives inside a virtual cluster; see `VirtualCluster.inside`."""

    def __init__(self, cluster: pulumi.Resource, name: str, provider: pulumi_kubernetes.Provider) -> None:
        """Registers the component; users take `VirtualCluster.inside`."""
        opts = pulumi.ResourceOptions(parent=cluster, providers=[provider], deleted_with=cluster)
        super().__init__("k3k-pulumi:index:VirtualClusterInside", name, {}, opts)
        self.register_outputs({})


def provider_inside(
    cluster: pulumi.Resource,
    name: str,
    spec: VirtualClusterSpec,
    kubeconfig: pulumi.Output[str],
    namespace: pulumi.Output[str],
) -> pulumi_kubernetes.Provider:
    """The kubernetes provider for resources inside a cluster.

    Args:
        cluster: The component, its parent.
        name: Name of the component.
        spec: The cluster.
        kubeconfig: Of its administrator.
        namespace: Host namespace of its workloads.

    Raises:
        VirtualClusterInputError: Nobody but the cluster's own pods may reach its API.
    """
    if not spec.expose.source_cidrs:
        raise VirtualClusterInputError(
            f"VirtualCluster {name!r}",
            [
                "expose.source_cidrs: is empty, so the machine that runs Pulumi cannot create "
                "anything inside: list the address ranges of the machines that may connect"
            ],
        )
    return pulumi_kubernetes.Provider(
        name,
        kubeconfig=kubeconfig,
        # A new address or certificate must not replace everything inside.
        cluster_identifier=pulumi.Output.concat(namespace, "/", spec.name),
        skip_update_unreachable=True,
        opts=pulumi.ResourceOptions(parent=cluster, transformations=[_without_environment]),
    )


def _without_environment(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """The provider with what is set here alone.

    The SDK fills in what variables (PULUMI_K8S_UPSERT_EXISTING_OBJECTS and others) say in one run, and the
    next run without them would show a change. The provider's own process reads the variables as well.
    """
    own = ("kubeconfig", "cluster_identifier", "skip_update_unreachable")
    return pulumi.ResourceTransformationResult({key: args.props[key] for key in own}, args.opts)
