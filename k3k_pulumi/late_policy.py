"""Virtual clusters whose policy is known only later: it comes from another stack, or from a Namespace.

Which objects there are is settled when the program runs, without the policy; what stands in them, when the
policy is known. A preview of a policy that is known by then (that of another stack, or of a Namespace that is
there) shows it all, and refuses what the policy does not allow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi

from k3k_pulumi.cluster_pki import ClusterPki, KeyPair, ProbeToken
from k3k_pulumi.errors import InputError
from k3k_pulumi.inputs import ended
from k3k_pulumi.manifests import Manifest, virtual_cluster
from k3k_pulumi.resources import PLACEHOLDER

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

_NOTHING = (
    "policy: is None: does the other stack have that output? `require_output` says so itself; without a "
    "policy, leave the argument out"
)
_METADATA = ("apiVersion", "kind", "metadata")
_NONE = KeyPair("", "")
_NO_KEYS = ClusterPki(
    server_ca=_NONE,
    client_ca=_NONE,
    request_header_ca=_NONE,
    kubelet_serving_ca=_NONE,
    etcd_ca=_NONE,
    service_account_key="",
    probe_token=ProbeToken("", ""),
    join_token="",
    admin=_NONE,
)

Parse = Callable[[Any], "VirtualClusterSpec"]


def late_bodies(
    shape: Sequence[Manifest],
    parse: Parse,
    policy: pulumi.Output[Any],
    keys: ClusterPki[pulumi.Output[str]],
    namespace: pulumi.Output[str],
    about: str,
) -> Callable[[Manifest], Mapping[str, Any]]:
    """What to create in place of each manifest, once the policy is known.

    Args:
        shape: The manifests without the policy: they say which objects there are.
        parse: Makes the cluster's specification with the given constraints.
        policy: The constraints.
        keys: Those of the cluster. Secrets hold them whatever the policy says.
        namespace: The workload namespace.
        about: What errors call the cluster.

    Returns:
        A function from a manifest of `shape` to the object with Outputs in it. Where the policy does not
        allow the cluster, or makes it one of other objects, resolving them ends the program.
    """

    def resolve(known: Sequence[Any]) -> dict[str, Any]:
        constraints, authorization, name = known
        try:
            if constraints is None:  # which would be no policy at all
                raise InputError(about, [_NOTHING])
            spec = parse(constraints)
            made = _made(spec, authorization)
            if _titles(made) != _titles(shape):
                raise InputError(about, _differences(parse(None), spec))
        except InputError as error:
            raise ended(error) from None
        # A namespace's name is the same text in JSON.
        return {_title(each): json.loads(json.dumps(each).replace(PLACEHOLDER, name)) for each in made}

    # The probe's token is the one key outside of Secrets, and no secret.
    resolved = pulumi.Output.all(policy, keys.probe_token.authorization, namespace).apply(resolve)

    def body(manifest: Manifest) -> Mapping[str, Any]:
        if manifest["kind"] == "Secret":
            return manifest
        title = _title(manifest)

        def late(field: str) -> pulumi.Output[Any]:
            return resolved.apply(lambda found: found[title][field])

        return {key: value if key in _METADATA else late(key) for key, value in manifest.items()}

    return body


def _differences(without: VirtualClusterSpec, spec: VirtualClusterSpec) -> list[str]:
    """The arguments by which the policy would change which objects a cluster has, a line for each."""
    before = _titles(_made(without))
    lines = []
    for field in type(spec).model_fields:
        value = getattr(spec, field)
        if value == getattr(without, field):
            continue
        after = _titles(_made(without.model_copy(update={field: value})))
        lines += [
            f"policy: what it says of {field} {'adds' if title in after else 'removes'} {title}, and which "
            f"objects there are has to be known before the policy is: set {field} on the cluster itself, or "
            "give `policy` as a plain value, as `constraints` of a component in the same program is"
            for title in sorted(before ^ after)
        ]
    return lines or ["policy: it changes which objects there are: give it as a plain value"]


def _made(spec: VirtualClusterSpec, authorization: str = "") -> list[Manifest]:
    return virtual_cluster(spec, dataclasses.replace(_NO_KEYS, probe_token=ProbeToken(authorization, "")))


def _titles(manifests: Sequence[Manifest]) -> set[str]:
    return {_title(manifest) for manifest in manifests}


def _title(manifest: Manifest) -> str:
    """What tells an object from all others of its cluster."""
    metadata = manifest["metadata"]
    return " ".join((manifest["kind"], *filter(None, [metadata.get("namespace")]), metadata["name"]))
