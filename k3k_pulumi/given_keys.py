"""Keys that a VirtualCluster gets instead of new ones: its user's, or those of the cluster as it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi

from k3k_pulumi.inputs import VirtualClusterInputError, ended, is_later, when_made
from k3k_pulumi.model.later import LATER
from k3k_pulumi.resources import SECRET_OUTPUTS, place, provider_version

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec
    from k3k_pulumi.running_keys import KeySecret

Text = pulumi.Output[str]


def without_outputs(pki: Any) -> Any:
    """The argument `pki` as the model reads it: values that are known later are checked later."""
    if not isinstance(pki, Mapping):
        return pki
    return {field: LATER if is_later(value) else value for field, value in pki.items()}


def hidden(pki: Any) -> Any:
    """The argument `pki` as the component's inputs in the state hold it: keys and tokens are secret."""
    if not isinstance(pki, Mapping):
        return pki
    shown = {"from_cluster", *(field for field in pki if field.endswith("_certificate"))}
    return {
        field: value if value is None or field in shown else pulumi.Output.secret(value)
        for field, value in pki.items()
    }


def given_keys(
    name: str,
    spec: VirtualClusterSpec,
    pki: Mapping[str, Any] | None,
    parent: pulumi.Resource,
    namespace: Text,
) -> dict[str, Text]:
    """The keys that are not to be made, by the fields of `Pki`; secret.

    Args:
        name: Name of the component.
        spec: The cluster.
        pki: The argument, which the model found possible.
        parent: The component.
        namespace: Host namespace of the workloads.
    """
    fields = list(spec.pki.given)
    known: pulumi.Output[Mapping[str, str]]
    secrets: list[KeySecret] = []
    if spec.pki.from_cluster:
        from k3k_pulumi.running_keys import key_secrets  # imports what makes keys

        secrets = key_secrets(spec)
        fields = [field for secret in secrets for field in secret.fields.values()]
        known = _running(name, spec, secrets, parent, namespace)
    elif fields:
        known = pulumi.Output.all(**{field: (pki or {})[field] for field in fields})
    else:
        return {}

    def checked(values: Mapping[str, str]) -> Mapping[str, str]:
        from k3k_pulumi.model.pem import problems  # reading keys takes a library that few programs need

        empty = [f"pki.{field}: must be a string" for field in fields if not isinstance(values[field], str)]
        if found := empty or problems(values):
            if secrets:
                from k3k_pulumi.running_keys import located

                found = [f"pki.from_cluster: {line}" for line in located(found, secrets)]
            raise ended(VirtualClusterInputError(f"VirtualCluster {name!r}", found))
        return values

    found: pulumi.Output[Mapping[str, str]] = pulumi.Output.secret(known.apply(checked))
    return {field: _item(found, field) for field in fields}


def _item(values: pulumi.Output[Mapping[str, str]], field: str) -> Text:
    return values.apply(lambda known: known[field])


class _RunningSecret(pulumi.CustomResource):
    """A Secret of the host, read in previews as well."""

    metadata: pulumi.Output[Any]
    data: pulumi.Output[Any]

    def __init__(self, name: str, id_: Text, parent: pulumi.Resource) -> None:
        opts = pulumi.ResourceOptions(
            parent=parent, id=id_, version=provider_version(), additional_secret_outputs=SECRET_OUTPUTS
        )
        super().__init__("kubernetes:core/v1:Secret", name, {"metadata": None, "data": None}, opts)


def _running(
    name: str,
    spec: VirtualClusterSpec,
    secrets: Sequence[KeySecret],
    parent: pulumi.Resource,
    namespace: Text,
) -> pulumi.Output[Mapping[str, str]]:
    """The keys of the cluster as it runs. A Secret that is not there ends the program."""
    from k3k_pulumi.running_keys import read

    parts: list[pulumi.Output[Any]] = []
    for secret in secrets:
        id_ = place(f"{secret.namespace}/{secret.name}", when_made(namespace))
        made = _RunningSecret(f"{name}-running-{secret.name.removeprefix(spec.name + '-')}", id_, parent)
        parts.append(pulumi.Output.secret(pulumi.Output.all(made.metadata, made.data)))

    def collect(found: Sequence[Sequence[Any]]) -> Mapping[str, str]:
        values: dict[str, str] = {}
        problems: list[str] = []
        for secret, (metadata, data) in zip(secrets, found, strict=True):
            held = read(spec, secret, metadata, data)
            values |= held.values
            problems += [f"pki.from_cluster: {line}" for line in held.problems + held.missing]
        if problems:
            raise ended(VirtualClusterInputError(f"VirtualCluster {name!r}", problems))
        return values

    return pulumi.Output.all(*parts).apply(collect)
