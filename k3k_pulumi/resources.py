"""Kubernetes objects as Pulumi resources, with the options that their kinds need.

The resources are generic ones of the kubernetes provider: importing the typed classes of core/v1 takes most
of a second, and they give the same state.
"""

from __future__ import annotations

import base64
import functools
import importlib.metadata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from k3k_pulumi.inputs import as_secret
from k3k_pulumi.manifests import Manifest, waits_for_address, waits_for_ready
from k3k_pulumi.manifests.objects import COMPONENT, KUBELET

if TYPE_CHECKING:
    from k3k_pulumi.identity import Identity
    from k3k_pulumi.model.names import Names

_DATA = {"ConfigMap": "data", "Secret": "stringData"}
"""Fields whose change makes the provider replace an object, unless the field is filled in by a patch."""
_HOLD_DATA = {"Namespace", "PersistentVolumeClaim", "StatefulSet"}
SECRET_OUTPUTS = ["data", "metadata"]
"""Outputs of a Secret that are secret: `kubectl apply` writes all its data into an annotation, too."""
_SKIP_AWAIT, _WAIT_FOR = "pulumi.com/skipAwait", "pulumi.com/waitFor"
PLACEHOLDER = "k3k0ns"
"""Stands in manifests, also within other text, for a namespace that is an Output: the shape of everything is
known before the namespace is."""


class KubernetesObject(pulumi.CustomResource):
    """A resource of the kubernetes provider.

    Attributes:
        metadata: As the host has it.
        spec: As the host has it: what it allocated is in there as well.
        status: Of a Service, as of the last deployment.
    """

    if TYPE_CHECKING:  # Pulumi would read annotations anew for each object
        metadata: pulumi.Output[Any]
        spec: pulumi.Output[Any]
        status: pulumi.Output[Any]

    @classmethod
    def make(
        cls, name: str, body: Mapping[str, Any], opts: pulumi.ResourceOptions, *, patch: bool = False
    ) -> KubernetesObject:
        """Registers the resource.

        No constructor: Pulumi takes the line that calls the third one for the resource's place in the source,
        which is so the user's, where he makes the component.

        Args:
            name: Logical name.
            body: The object in camelCase; may hold Outputs.
            opts: Options of the resource; are given the provider's version.
            patch: Whether the object is there already, and `body` holds only the fields to set in it.
        """
        api_version, kind = body["apiVersion"], body["kind"]
        group = api_version if "/" in api_version else f"core/{api_version}"
        # None declares an output that is no input.
        props = {**body, "status": None} if kind == "Service" else body
        opts.version = provider_version()
        return cls(f"kubernetes:{group}:{kind}{'Patch' if patch else ''}", name, props, opts)


class ExistingNamespace(pulumi.CustomResource):
    """A Namespace of the host that somebody else made, read in previews as well.

    Attributes:
        metadata: As the host has it.
    """

    metadata: pulumi.Output[Any]

    def __init__(self, name: str, namespace: pulumi.Input[str], parent: pulumi.Resource) -> None:
        """Reads it. A namespace that is not there ends the program.

        Args:
            name: Logical name.
            namespace: Name of the Namespace. While it is unknown, so is the metadata.
            parent: The component that reads it.
        """
        opts = pulumi.ResourceOptions(parent=parent, id=namespace, version=provider_version())
        super().__init__("kubernetes:core/v1:Namespace", name, {"metadata": None}, opts)


@functools.cache
def provider_version() -> str:
    """Version of the provider that belongs to the installed SDK; the SDK's own classes ask for the same."""
    return importlib.metadata.version("pulumi-kubernetes")


def place(fragment: Any, namespace: pulumi.Output[str]) -> Any:
    """The fragment with the namespace in place of `PLACEHOLDER`.

    Args:
        fragment: Plain data, which may hold Outputs; these stay as they are.
        namespace: The namespace.

    Returns:
        A copy whose strings with the placeholder are Outputs. All else is plain, and known in a preview even
        where the namespace is not.
    """
    if isinstance(fragment, str) and PLACEHOLDER in fragment:
        return namespace.apply(lambda name: fragment.replace(PLACEHOLDER, name))
    if isinstance(fragment, Mapping):
        return {key: place(value, namespace) for key, value in fragment.items()}
    if isinstance(fragment, list | tuple):
        return [place(value, namespace) for value in fragment]
    return fragment


def held(body: Mapping[str, Any], identity: Identity) -> Mapping[str, Any]:
    """The object, which a deployment has only when its component is known to be the one that it was."""
    metadata = body["metadata"]
    return {**body, "metadata": {**metadata, "name": identity.held(metadata["name"])}}


class Objects:
    """The host objects of one component, registered one by one in the order of its manifests.

    Objects in a namespace that is made here depend on it and go with it. Workloads depend on all that is
    registered before the first of them: their pods find it when they start, and it outlives them.
    """

    def __init__(self, parent: pulumi.Resource, name: str, names: Names, identity: Identity) -> None:
        """Nothing is registered yet.

        Args:
            parent: The component.
            name: The component's name. Logical names begin with it, and names of objects with the cluster's:
                a component that is renamed, with an alias, keeps its objects, as the engine takes the old
                name for the new one at the beginning of its children's names, too.
            names: Names of the objects as the manifests have them; some in the workload namespace have
                namesakes in that of the control plane.
            identity: Of the component: what holds data waits until it is known to be the same one.
        """
        self._parent = parent
        self._name = name
        self._names = names
        self._identity = identity
        self._namespaces: dict[str, pulumi.Resource] = {}
        self._needed: list[pulumi.Resource] = []

    def register(
        self,
        manifest: Manifest,
        body: Mapping[str, Any],
        wait: pulumi.ResourceOptions | None = None,
    ) -> KubernetesObject:
        """Registers an object.

        Args:
            manifest: The object, its metadata plain: it says what the resource is called and what it needs.
            body: What to create: the manifest itself, or what `place` made of it.
            wait: Options that say how it is awaited.
        """
        kind, metadata = manifest["kind"], manifest["metadata"]
        is_workload = waits_for_ready(manifest)
        namespace = self._namespaces.get(metadata.get("namespace", ""))
        before = [] if namespace is None else [namespace]
        opts = pulumi.ResourceOptions(
            parent=self._parent,
            depends_on=before + self._needed if is_workload else before,
            deleted_with=None if _must_end_first(manifest) else namespace,
            ignore_changes=_fields_of_others(manifest),
            aliases=_earlier_names(manifest),
            additional_secret_outputs=SECRET_OUTPUTS if kind == "Secret" else None,
        )
        if kind in _HOLD_DATA:
            body = held(body, self._identity)
        data = _DATA.get(kind)
        shell = {key: value for key, value in body.items() if key != data}
        opts = pulumi.ResourceOptions.merge(opts, wait) if wait is not None else opts
        made = KubernetesObject.make(self._logical_name(manifest), _awaited(manifest, shell), opts)
        if kind == "Namespace":
            self._namespaces[metadata["name"]] = made
        if not is_workload:
            self._needed.append(made)
        if data is not None and data in body:
            self._needed.append(self._fill(manifest, body, body[data], made, namespace))
        return made

    def _fill(
        self,
        manifest: Manifest,
        body: Mapping[str, Any],
        data: Mapping[str, Any],
        shell: pulumi.Resource,
        namespace: pulumi.Resource | None,
    ) -> KubernetesObject:
        """Gives a Secret or ConfigMap its data: in a change of the patch the object stays the same one."""
        is_secret = manifest["kind"] == "Secret"
        opts = pulumi.ResourceOptions(
            parent=self._parent,
            depends_on=[shell],
            deleted_with=namespace or shell,
            additional_secret_outputs=SECRET_OUTPUTS if is_secret else None,
        )
        patch = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {key: body["metadata"][key] for key in ("name", "namespace")},
            # stringData would be taken for a field of its own, and a key that is left out would stay.
            "data": {key: _base64(value) for key, value in data.items()} if is_secret else data,
        }
        return KubernetesObject.make(self._logical_name(manifest), patch, opts, patch=True)

    def _logical_name(self, manifest: Manifest) -> str:
        """Its name in the URN: unique among the objects of its kind in the stack."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind == "Namespace":
            half = "workloads" if metadata["name"] == self._names.namespace else "control-plane"
            return f"{self._name}-{half}"
        if "namespace" not in metadata:
            part = "admission" if kind.startswith("ValidatingAdmission") else "nodes"
            return f"{self._name}-{part}"
        if kind == "PersistentVolumeClaim":
            volume, _, server = metadata["name"].partition(f"-{self._names.cluster}-")
            return f"{self._name}-{volume}-{server}"
        name = self._name + metadata["name"].removeprefix(self._names.cluster)
        return f"{name}-workloads" if metadata["namespace"] == self._names.namespace else name


def _earlier_names(manifest: Manifest) -> list[pulumi.Alias] | None:
    """What the object was called in stacks of earlier versions."""
    if manifest["kind"] == "PersistentVolumeClaim":
        return [pulumi.Alias(name=manifest["metadata"]["name"])]
    return None


def _must_end_first(manifest: Manifest) -> bool:
    """Whether a destroy waits for the object's end before it goes on, rather than leave it to the namespace.

    The virtual kubelet has to be gone before the anchor goes: it would make the pods again.
    """
    kind: str = manifest["kind"]
    return kind == "Deployment"


def _fields_of_others(manifest: Manifest) -> list[str] | None:
    """Fields that others write once the object is there."""
    labels = manifest["metadata"]["labels"]
    if manifest["kind"] == "Service" and labels[COMPONENT] == KUBELET:
        return ["spec.ports"]  # the virtual kubelet adds one for each node
    return None


def _awaited(manifest: Manifest, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body, with a wait for the address in place of no wait at all where it is a load balancer."""
    if not waits_for_address(manifest):
        return body
    annotations = {key: value for key, value in body["metadata"]["annotations"].items() if key != _SKIP_AWAIT}
    annotations[_WAIT_FOR] = "jsonpath={.status.loadBalancer.ingress}"
    return {**body, "metadata": {**body["metadata"], "annotations": annotations}}


def _base64(text: str | pulumi.Output[str]) -> pulumi.Output[str]:
    def encoded(plain: str) -> str:
        return base64.b64encode(plain.encode()).decode()

    return as_secret(text.apply(encoded) if isinstance(text, pulumi.Output) else encoded(text))
