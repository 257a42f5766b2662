"""What a policy sets in a Namespace that is there, what it makes in it, and what stands in its way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import POLICY, Manifest, make_of_policy

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterPolicySpec

NAMESPACED_KINDS = (
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
)
"""The kinds of objects that a policy makes in a namespace, in the order of their removal."""

_POD_SECURITY = "pod-security.kubernetes.io/"
_ABOUT = "VirtualClusterPolicy"


def namespace_fields(spec: VirtualClusterPolicySpec, namespace: str) -> Manifest:
    """The fields of a Namespace that are the policy's, and no other: its identity and Pod Security levels.

    The versions are always said: one that somebody else has set would change what the levels mean.
    """
    security = spec.pod_security
    labels = {POLICY: spec.name}
    for mode in ("enforce", "warn", "audit"):
        labels[f"{_POD_SECURITY}{mode}"] = getattr(security, mode)
        labels[f"{_POD_SECURITY}{mode}-version"] = security.version
    annotations = {POLICY: json.dumps(spec.constraints, sort_keys=True, separators=(",", ":"))}
    metadata = {"name": namespace, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def namespace_objects(spec: VirtualClusterPolicySpec, namespace: str) -> list[Manifest]:
    """The objects of a policy in one namespace, in a safe order to create them in; reversed, to delete them.

    The NetworkPolicy is about all pods, also those of no virtual cluster: what a cluster's pods may reach is
    added by the cluster. Names have a dot, as no cluster's, policy's or quota's has: a cluster may be called
    as its policy is, and no two policies' objects run together.
    """
    name = spec.name
    denied = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    made = [make_of_policy(spec, "NetworkPolicy", f"{name}.default-deny", namespace, spec=denied)]
    if spec.limits:
        limits = list(spec.limits)
        made.append(make_of_policy(spec, "LimitRange", name, namespace, spec={"limits": limits}))
    return made + [
        make_of_policy(spec, "ResourceQuota", f"{name}.{quota}", namespace, spec=_quota(body))
        for quota, body in spec.quotas.items()
    ]


def _quota(body: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a quota, its `scopes` as a selector of the same meaning.

    Kubernetes changes a selector in place, and `scopes` never: the quota would be missing for a moment.
    """
    made = {key: value for key, value in body.items() if key != "scopes"}
    if scopes := body.get("scopes"):
        given = list((body.get("scopeSelector") or {}).get("matchExpressions") or ())
        all_of = [*({"scopeName": scope, "operator": "Exists"} for scope in scopes), *given]
        made["scopeSelector"] = {"matchExpressions": all_of}
    return made


def constraints_of(found: Mapping[str, Any], about: str) -> dict[str, Any]:
    """The constraints that a policy left on a Namespace, as `VirtualClusterPolicySpec.constraints`.

    Args:
        found: Metadata of the Namespace, as the host has it.
        about: The argument that asks for it, for the error.

    Raises:
        ValueError: There is no policy, or what is there is not one's.
    """
    name, text = found["name"], (found.get("annotations") or {}).get(POLICY)
    if text is None:
        raise ValueError(
            f"{about}: Namespace {name!r} has no policy (annotation {POLICY}): bind a {_ABOUT} to it, or "
            f"leave {about} out"
        )
    try:
        constraints = json.loads(text)
    except ValueError:
        constraints = None
    if not isinstance(constraints, dict):
        raise ValueError(
            f"{about}: the annotation {POLICY} of Namespace {name!r} is not what a {_ABOUT} writes there (a "
            "JSON object): remove it, and deploy the policy again"
        )
    return constraints


def obstacles(spec: VirtualClusterPolicySpec, namespace: str, found: Mapping[str, Any] | None) -> list[str]:
    """Why the policy cannot be bound to a namespace, a line for each reason; none when it can.

    Nothing is ever taken from another owner: server-side apply could force it, and nobody would give the old
    value back. Whose a field is says `managedFields` of the Namespace.

    Args:
        spec: The policy.
        namespace: Name of the Namespace.
        found: Its metadata as the host has it; None when there is no such Namespace.
    """
    about = f"namespaces: {namespace!r}"
    if found is None:
        return [f"{about} does not exist on the host: create it first, or take a SharedModeNamespace"]
    if found.get("deletionTimestamp"):
        return [f"{about} is being deleted: wait until it is gone, and create it again"]
    labels: Mapping[str, str] = found.get("labels") or {}
    if labels.get(objects.COMPONENT) == objects.SERVER:
        return [
            f"{about} is the namespace of the control plane of virtual cluster "
            f"{labels.get(objects.CLUSTER)!r}, which a full quota would stop: bind the namespace of its "
            "workloads"
        ]
    if other := _other_policy(spec.name, found):
        return [
            f"{about} has the policy {other!r} already, and a namespace has one: take it from that "
            f"{_ABOUT}'s namespaces, or from this one's"
        ]
    return list(_foreign(spec, about, found))


def _other_policy(name: str, found: Mapping[str, Any]) -> str | None:
    """Name of another policy that the Namespace is bound to."""
    label = (found.get("labels") or {}).get(POLICY)
    if label not in (None, name):
        return str(label)
    if POLICY not in (found.get("annotations") or {}):
        return None
    try:
        annotated = str(constraints_of(found, "").get("name"))
    except ValueError:
        return None  # whose that is, its owner says
    return None if annotated == name else annotated


def _foreign(spec: VirtualClusterPolicySpec, about: str, found: Mapping[str, Any]) -> Iterator[str]:
    """The fields that others have set to something else than the policy would."""
    ours = own_managers(spec.name, found)
    wanted = namespace_fields(spec, "")["metadata"]
    for part, noun in (("labels", "label"), ("annotations", "annotation")):
        there = found.get(part) or {}
        for key, value in wanted[part].items():
            if key not in there or there[key] == value:
                continue
            owners = _managers(found, part, key)
            if owners and owners <= ours:
                continue
            who = ", ".join(sorted(owners - ours)) or "somebody unknown"
            if part == "annotations":
                yield f"{about} has another {noun} {key}, set by {who}: remove it there"
                continue
            yield (
                f"{about} has the {noun} {key}={there[key]}, set by {who}, and {_ABOUT} {spec.name!r} needs "
                f"{value}: remove it there, or change {_argument(key)}"
            )


def _argument(key: str) -> str:
    """The argument that a label comes from."""
    mode = key.removeprefix(_POD_SECURITY)
    return f"pod_security.{'version' if mode.endswith('-version') else mode}"


def own_managers(name: str, found: Mapping[str, Any]) -> set[str]:
    """The field managers by which the policy of that name is bound to a Namespace: those of its label.

    Args:
        name: Name of the policy.
        found: Metadata of the Namespace, as the host has it.
    """
    if (found.get("labels") or {}).get(POLICY) != name:
        return set()
    return _managers(found, "labels", POLICY)


def _managers(found: Mapping[str, Any], part: str, key: str) -> set[str]:
    """The field managers that own a label or annotation."""
    return {
        str(entry.get("manager"))
        for entry in found.get("managedFields") or ()
        if f"f:{key}" in (entry.get("fieldsV1") or {}).get("f:metadata", {}).get(f"f:{part}", {})
    }
