"""The component SharedModeNamespace: a namespace made for virtual clusters, with a policy's rules."""

# The component analyzer reads the annotations of this module as they are: no `from __future__` here.

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi

from k3k_pulumi import model
from k3k_pulumi.errors import InputError
from k3k_pulumi.identity import OF_A_NAMESPACE, Identity
from k3k_pulumi.inputs import parsed, plain
from k3k_pulumi.manifests.policy import cluster_objects, shared_mode_namespace
from k3k_pulumi.policy_args import SharedModeNamespaceArgs
from k3k_pulumi.resources import KubernetesObject, held

if TYPE_CHECKING:
    from k3k_pulumi.model import SharedModeNamespaceSpec

TYPE = "k3k-pulumi:index:SharedModeNamespace"


class SharedModeNamespaceInputError(pulumi.RunError, InputError):
    """Arguments that cannot become a namespace. Pulumi shows a line for each, and no traceback."""


class SharedModeNamespace(pulumi.ComponentResource):
    """A host namespace for virtual clusters of the mode `shared`, with the rules of a VirtualClusterPolicy.

    The clusters take `namespace=shared.namespace, create_namespace=False, policy=shared.constraints`, and
    make namespaces of their own for their control planes. The host is that of the kubernetes provider in the
    resource's options, else of the default provider.
    """

    constraints: Mapping[str, Any]
    (
        "What virtual clusters have to know of the policy: for their argument `policy`, in this stack or "
        "another one. No secret is in it."
    )
    namespace: pulumi.Output[str]
    """Name of the namespace; there once all is in place."""

    def __init__(
        self, name: str, args: SharedModeNamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Registers the namespace.

        Args:
            name: Name of the resource; of the policy, too, unless `policy_name` names it, and of the
                namespace, unless `namespace` does.
            args: See `SharedModeNamespaceArgs`.
            opts: Options of the component; children inherit the kubernetes provider.

        Raises:
            SharedModeNamespaceInputError: Bad arguments; nothing is registered then.
        """
        args = plain(args)
        refused = partial(SharedModeNamespaceInputError, f"SharedModeNamespace {name!r}")
        spec = parsed(model.SharedModeNamespaceSpec.parse, name, args, "policy_name", refused)
        super().__init__(TYPE, name, dict(args), opts)
        self.constraints = spec.policy.constraints
        self.namespace = self._create(spec, name)
        self.register_outputs({"constraints": self.constraints, "namespace": self.namespace})

    def _create(self, spec: "SharedModeNamespaceSpec", name: str) -> pulumi.Output[str]:
        """Registers the host objects, called as the component; the namespace's name once they are there."""
        first, *rest = shared_mode_namespace(spec)
        values = {"policy_name": spec.policy.name, "namespace": spec.namespace}
        identity = Identity(self, name, values, OF_A_NAMESPACE)
        opts = pulumi.ResourceOptions(parent=self)
        namespace = KubernetesObject.make(name, held(first, identity), opts)
        inside = pulumi.ResourceOptions(parent=self, depends_on=[namespace], deleted_with=namespace)
        made = [namespace]
        for each in rest:
            title = name + each["metadata"]["name"].removeprefix(spec.policy.name)
            made.append(KubernetesObject.make(title, each, inside))
        # One of each kind.
        made += [KubernetesObject.make(name, each, opts) for each in cluster_objects(spec.policy)]
        # URNs are known in previews; in a deployment, when the object has been made.
        return pulumi.Output.all(*(each.urn for each in made)).apply(lambda _: spec.namespace)
