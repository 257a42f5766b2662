"""The component VirtualClusterPolicy: rules for virtual clusters, bound to namespaces that exist."""

# The component analyzer reads the annotations of this module as they are: no `from __future__` here.

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pulumi

from k3k_pulumi import model
from k3k_pulumi.errors import InputError
from k3k_pulumi.inputs import ended, is_later, parsed, plain, when_made
from k3k_pulumi.manifests.policy import cluster_objects, namespace_fields, namespace_objects, obstacles
from k3k_pulumi.policy_args import VirtualClusterPolicyArgs
from k3k_pulumi.resources import PLACEHOLDER, ExistingNamespace, KubernetesObject, place

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterPolicySpec

TYPE = "k3k-pulumi:index:VirtualClusterPolicy"

_NOT_KNOWN_YET = "known-once-it-is-made"
"""Stands in a preview for the name of a namespace that the program makes and Pulumi or the host names."""


class VirtualClusterPolicyInputError(pulumi.RunError, InputError):
    """Arguments that cannot become a policy. Pulumi shows a line for each, and no traceback."""


class VirtualClusterPolicy(pulumi.ComponentResource):
    """Rules for virtual clusters in namespaces that exist: what a cluster may be, and what its pods may do.

    The host is that of the kubernetes provider in the resource's options, else of the default provider. A
    preview refuses a namespace that is missing, has another policy, or a label that somebody else has set to
    another value; nothing is ever taken from another owner. When the policy is deleted, its own fields of the
    Namespace go, and nothing that was there before comes back.
    """

    constraints: Mapping[str, Any]
    (
        "What virtual clusters have to know of the policy: for their argument `policy`, in this stack or "
        "another one. No secret is in it."
    )
    namespaces: pulumi.Output[Sequence[str]]
    """The namespaces, in the order of the arguments; there once all is in place."""

    def __init__(
        self, name: str, args: VirtualClusterPolicyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Registers the policy.

        Args:
            name: Name of the resource; of the policy, too, unless `policy_name` names it.
            args: See `VirtualClusterPolicyArgs`.
            opts: Options of the component; children inherit the kubernetes provider.

        Raises:
            VirtualClusterPolicyInputError: Bad arguments; nothing is registered then.
        """
        args = plain(args)
        spec = _parse(name, args, args.get("namespaces"))
        super().__init__(TYPE, name, dict(args), opts)
        self.constraints = spec.constraints
        given = list(args.get("namespaces") or ())
        titles = [f"{name}[{_key(index, each)}]" for index, each in enumerate(given)]
        checked = self._read(name, spec, args, given, titles)
        made: list[pulumi.Resource] = [
            # One of each kind.
            KubernetesObject.make(name, manifest, pulumi.ResourceOptions(parent=self))
            for manifest in cluster_objects(spec)
        ]
        for index, title in enumerate(titles):
            made += self._bind(spec, title, given[index], checked)
        self.namespaces = pulumi.Output.all(checked, *(each.urn for each in made)).apply(
            lambda known: known[0]
        )
        self.register_outputs({"constraints": self.constraints, "namespaces": self.namespaces})

    def _read(
        self,
        name: str,
        spec: "VirtualClusterPolicySpec",
        args: VirtualClusterPolicyArgs,
        given: Sequence[pulumi.Input[str]],
        titles: Sequence[str],
    ) -> pulumi.Output[Sequence[str]]:
        """The namespaces' names, once it is known that the policy can be bound to all of them."""
        names = [when_made(each) for each in given]
        read = [ExistingNamespace(title, each, self) for title, each in zip(titles, names, strict=True)]

        def check(known: Sequence[Any]) -> Sequence[str]:
            values, found = known[: len(names)], known[len(names) :]
            try:
                _parse(name, args, values)
                problems = [
                    line
                    for namespace, metadata in zip(values, found, strict=True)
                    for line in obstacles(spec, namespace, metadata)
                ]
                if problems:
                    raise InputError(f"VirtualClusterPolicy {name!r}", problems)
            except InputError as error:
                raise ended(error) from None
            return values

        return pulumi.Output.all(*names, *(each.metadata for each in read)).apply(check)

    def _bind(
        self,
        spec: "VirtualClusterPolicySpec",
        title: str,
        given: pulumi.Input[str],
        checked: pulumi.Output[Sequence[str]],
    ) -> list[pulumi.Resource]:
        """Sets the fields of a Namespace, and makes the objects in it, which go before the fields do."""
        namespace = _own_name(given, checked)
        fields = place(namespace_fields(spec, PLACEHOLDER), _shown(namespace))
        patch = KubernetesObject.make(title, fields, pulumi.ResourceOptions(parent=self), patch=True)
        opts = pulumi.ResourceOptions(parent=self, depends_on=[patch])
        return [
            patch,
            *(
                KubernetesObject.make(_suffixed(title, spec.name, manifest), place(manifest, namespace), opts)
                for manifest in namespace_objects(spec, PLACEHOLDER)
            ),
        ]


def _own_name(given: pulumi.Input[str], checked: pulumi.Output[Sequence[str]]) -> pulumi.Output[str]:
    """The name of one namespace, in a deployment once all are there and free.

    It depends on no other one: an object whose namespace is unknown in a preview is shown as replaced.

    Args:
        given: As in the arguments.
        checked: The names of all, known when the namespaces are there and free.
    """

    async def own() -> pulumi.Input[str]:
        if pulumi.runtime.is_dry_run():
            await checked.is_known()
        else:
            await checked.future()
        return given

    return cast("pulumi.Output[str]", pulumi.Output.from_input(own()))


def _shown(namespace: pulumi.Output[str]) -> pulumi.Output[str]:
    """The name of a patched object, which the provider wants to have in every preview."""

    async def shown() -> pulumi.Input[str]:
        known = not pulumi.runtime.is_dry_run() or await namespace.is_known()
        return namespace if known else _NOT_KNOWN_YET

    return cast("pulumi.Output[str]", pulumi.Output.from_input(shown()))


def _key(index: int, given: pulumi.Input[str]) -> str:
    """What a namespace is called in URNs: its name, or its place in the list where it is an Output.

    Brackets keep names apart that would run together: no name has one. A name may be a number.
    """
    if not isinstance(given, str):
        return str(index)
    return repr(given) if given.isdigit() else given


def _suffixed(title: str, policy: str, manifest: Mapping[str, Any]) -> str:
    """An object's name in its URN: what its name has beyond the policy's, after the namespace's title."""
    return f"{title}{manifest['metadata']['name'].removeprefix(policy)}"


def _parse(
    name: str, args: VirtualClusterPolicyArgs, namespaces: Sequence[Any] | None
) -> "VirtualClusterPolicySpec":
    """The specification; what is known only later has a placeholder for its name.

    Raises:
        VirtualClusterPolicyInputError: Bad arguments.
    """
    if isinstance(namespaces, list | tuple):
        namespaces = [
            f"{PLACEHOLDER}{index}" if is_later(each) else each for index, each in enumerate(namespaces)
        ]
    known = {**args, "namespaces": namespaces}
    refused = partial(VirtualClusterPolicyInputError, f"VirtualClusterPolicy {name!r}")
    return parsed(model.VirtualClusterPolicySpec.parse, name, known, "policy_name", refused)
