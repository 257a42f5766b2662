"""Pods: the tenant's to the host's, and changes of them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.policy import Pods, Policy
from k3k_kubelet.translate import downward, identity, names
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Cluster, HostPod, Object, Refused
from k3k_kubelet.translate.references import references, token_projections
from k3k_kubelet.translate.rules import scheduling
from k3k_kubelet.translate.table import POD_SPEC

__all__ = ["APPLIED", "references", "to_host", "token_projections", "update"]

APPLIED = f"{names.DOMAIN}/applied"
"""Annotation of the host pod: what we gave the host of the fields that may change later, as JSON.

Changes are found against this and never against the live spec, which the host's admission may have changed.
"""

MAX_ANNOTATIONS = 256 * 1024
"""Bytes of keys and values that Kubernetes lets one object's annotations have."""

_ROOT_CA = "kube-root-ca.crt"


def to_host(pod: Mapping[str, Any], cluster: Cluster, policy: Policy) -> HostPod:
    """The host's copy of a pod.

    Args:
        pod: the pod as the virtual API server has it.
        cluster: the virtual cluster.
        policy: what its pods may do.

    Raises:
        Refused: the pod has something that the host must not get; it names the field.
    """
    context = Context(cluster, policy.pods, pod)
    spec = POD_SPEC.copy(_without_ephemeral(pod["spec"]), context, "spec")
    labels, annotations = _metadata(pod, cluster, policy.pods)
    annotations[APPLIED] = _dump(_applied(pod, spec.get("tolerations", []), policy.pods))
    _check_size(annotations)
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": context.host_name(context.name),
            "namespace": cluster.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [dict(cluster.owner)],
        },
        "spec": spec,
    }
    return HostPod(
        manifest,
        context.references(context.config_maps),
        context.references(context.secrets),
        context.references(context.claims),
        tuple(context.tokens.values()),
        _ROOT_CA in context.config_maps,
        tuple(context.dropped),
    )


def update(
    pod: Mapping[str, Any], host_pod: Mapping[str, Any], cluster: Cluster, policy: Policy
) -> Object | None:
    """The change that the host's copy of a pod needs.

    Returns:
        A strategic merge patch for the host pod, tied to its uid; None if it needs no change. One with
        tolerations is tied to the resourceVersion too, as it carries the host's own: on 409 read the host pod
        again.

    Raises:
        Refused: the tenant's labels or annotations cannot be carried.
    """
    metadata = host_pod["metadata"]
    live_annotations = metadata.get("annotations") or {}
    last = _load(live_annotations.get(APPLIED))
    context = Context(cluster, policy.pods, pod)
    wanted = [dict(each) for each in pod["spec"].get("tolerations") or ()]
    wanted = scheduling.with_enforced(
        scheduling.tolerations(wanted, context, "spec.tolerations", {}), context
    )
    now = _applied(pod, wanted, policy.pods)
    spec = _spec_change(last, now, host_pod["spec"])

    labels, annotations = _metadata(pod, cluster, policy.pods)
    annotations[APPLIED] = _dump(now)
    _check_size(annotations)
    change: Object = {}
    for kind, desired in (("labels", labels), ("annotations", annotations)):
        difference = _difference(metadata.get(kind) or {}, desired, last.get(kind, ()))
        if difference:
            change[kind] = difference
    if not change and not spec:
        return None
    change["uid"] = metadata["uid"]
    if "tolerations" in spec:
        change["resourceVersion"] = metadata["resourceVersion"]
    return {"metadata": change, "spec": spec} if spec else {"metadata": change}


def _without_ephemeral(spec: Mapping[str, Any]) -> Object:
    """Ephemeral containers join a pod through their subresource only; a new pod cannot have any."""
    return {key: value for key, value in spec.items() if key != "ephemeralContainers"}


def _metadata(
    pod: Mapping[str, Any], cluster: Cluster, policy: Pods
) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of the host pod, without APPLIED. Ours come last."""
    metadata = pod["metadata"]
    own_labels: Mapping[str, str] = metadata.get("labels") or {}
    own_annotations: Mapping[str, str] = metadata.get("annotations") or {}
    labels = {key: own_labels[key] for key in _verbatim(own_labels, policy.labels)}
    labels |= {names.label_key(key): value for key, value in own_labels.items()}
    labels |= identity.labels(cluster.name, metadata["namespace"])
    annotations = {key: own_annotations[key] for key in _verbatim(own_annotations, policy.annotations)}
    annotations |= downward.annotations(pod)
    annotations |= identity.annotations(cluster.name, pod)
    return labels, annotations


def _verbatim(keys: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """The keys that the policy lets stand on the host as they are; never one of our domain."""
    exact = frozenset(allowed)
    prefixes = tuple(entry for entry in exact if entry.endswith("/"))
    return sorted(
        key
        for key in keys
        if (key in exact or (prefixes and key.startswith(prefixes))) and not names.is_reserved(key)
    )


def _applied(pod: Mapping[str, Any], tolerations: list[Object], policy: Pods) -> Object:
    spec, metadata = pod["spec"], pod["metadata"]
    images = {
        container["name"]: container.get("image", "")
        for kind in ("initContainers", "containers")
        for container in spec.get(kind) or ()
    }
    applied = {
        "activeDeadlineSeconds": spec.get("activeDeadlineSeconds"),
        "annotations": _verbatim(metadata.get("annotations") or {}, policy.annotations),
        "images": images,
        "labels": _verbatim(metadata.get("labels") or {}, policy.labels),
        "tolerations": tolerations,
    }
    return {key: value for key, value in applied.items() if value}


def _spec_change(last: Mapping[str, Any], now: Mapping[str, Any], live: Mapping[str, Any]) -> Object:
    """The patch of the host pod's spec from what was applied last to what is to be applied now."""
    change: Object = {}
    before = last.get("images", {})
    changed = {name: image for name, image in now.get("images", {}).items() if before.get(name) != image}
    for kind in ("initContainers", "containers"):
        entries = [
            {"name": each["name"], "image": changed[each["name"]]}
            for each in live.get(kind) or ()
            if each["name"] in changed
        ]
        if entries:
            change[kind] = entries
    deadline = now.get("activeDeadlineSeconds")
    if deadline is not None and deadline != last.get("activeDeadlineSeconds"):
        change["activeDeadlineSeconds"] = deadline
    present = list(live.get("tolerations") or ())
    added = [each for each in now.get("tolerations", ()) if each not in last.get("tolerations", ())]
    missing = [each for each in added if each not in present]
    if missing:
        replaced = [_unlimited(each) for each in missing]
        change["tolerations"] = [each for each in present if _unlimited(each) not in replaced] + missing
    return change


def _unlimited(toleration: Mapping[str, Any]) -> Object:
    """A toleration without its time, which alone may change."""
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _difference(
    live: Mapping[str, str], wanted: Mapping[str, str], verbatim: Iterable[str]
) -> dict[str, str | None]:
    """The patch of a map: only keys of our domain and those we copied earlier are ever removed."""
    change: dict[str, str | None] = {key: value for key, value in wanted.items() if live.get(key) != value}
    ours = {key for key in live if names.is_reserved(key)} | set(verbatim)
    change |= dict.fromkeys(key for key in ours if key in live and key not in wanted)
    return change


def _check_size(annotations: Mapping[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS:
        raise Refused(
            "metadata.annotations",
            f"what the downward API needs of the pod's labels and annotations takes {size} bytes on the host",
            f"at most {MAX_ANNOTATIONS} are possible: shorten them",
        )


def _dump(value: Object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _load(text: str | None) -> Object:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
