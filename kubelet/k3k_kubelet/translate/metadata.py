"""Labels and annotations of host objects."""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.policy import Pods
from k3k_kubelet.translate import downward, identity, names
from k3k_kubelet.translate.objects import Cluster, Object, Refused

MAX_ANNOTATIONS = 256 * 1024
"""Bytes of keys and values that Kubernetes lets one object's annotations have."""


def of_copy(
    pod: Mapping[str, Any], cluster: Cluster, policy: Pods, isolated: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of the host pod, without the record of `update`. Ours come last.

    Args:
        pod: the tenant's pod.
        cluster: the virtual cluster.
        policy: what its pods may do.
        isolated: directions in which NetworkPolicies of the tenant isolate the pod.
    """
    metadata = pod["metadata"]
    own_labels: Mapping[str, str] = metadata.get("labels") or {}
    own_annotations: Mapping[str, str] = metadata.get("annotations") or {}
    labels = {key: own_labels[key] for key in verbatim(own_labels, policy.labels)}
    labels |= {names.label_key(key): value for key, value in own_labels.items()}
    labels |= identity.labels(cluster.name, metadata["namespace"]) | identity.isolation(isolated)
    annotations = {key: own_annotations[key] for key in verbatim(own_annotations, policy.annotations)}
    annotations |= downward.annotations(pod)
    annotations |= identity.annotations(cluster.name, pod)
    return labels, annotations


def of_object(
    obj: Mapping[str, Any], cluster: Cluster, *, labels: Iterable[str] = (), annotations: Iterable[str] = ()
) -> Object:
    """Metadata of the copy of an object that is no pod.

    The tenant's labels have other keys there, his annotations stay inside, ours come last.

    Args:
        obj: the tenant's object.
        cluster: the virtual cluster.
        labels: keys of labels that the policy lets stand on the host as they are.
        annotations: the same for annotations.

    Raises:
        Refused: the annotations are too large for one object.
    """
    metadata = obj["metadata"]
    own_labels: Mapping[str, str] = metadata.get("labels") or {}
    own_annotations: Mapping[str, str] = metadata.get("annotations") or {}
    made_labels = {key: own_labels[key] for key in verbatim(own_labels, labels)}
    made_labels |= {names.label_key(key): value for key, value in own_labels.items()}
    made_annotations = {key: own_annotations[key] for key in verbatim(own_annotations, annotations)}
    made_annotations |= identity.annotations(cluster.name, obj)
    check_size(made_annotations)
    return {
        "name": names.host_name(cluster.name, metadata["namespace"], metadata["name"]),
        "namespace": cluster.namespace,
        "labels": made_labels | identity.labels(cluster.name, metadata["namespace"]),
        "annotations": made_annotations,
        "ownerReferences": [dict(cluster.owner)],
    }


def verbatim(keys: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """The keys that the policy lets stand on the host as they are; never one of our domain."""
    exact = frozenset(allowed)
    prefixes = tuple(entry for entry in exact if entry.endswith("/"))
    return sorted(
        key
        for key in keys
        if (key in exact or (prefixes and key.startswith(prefixes))) and not names.is_reserved(key)
    )


def check_size(annotations: Mapping[str, str]) -> None:
    """Raise Refused if an object cannot have these annotations."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS:
        raise Refused(
            "metadata.annotations",
            f"labels and annotations take {size} bytes of the copy's annotations on the host",
            f"at most {MAX_ANNOTATIONS} are possible: shorten them",
        )
