"""Labels and annotations of a host pod."""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.policy import Pods
from k3k_kubelet.translate import downward, identity, names
from k3k_kubelet.translate.objects import Cluster, Refused

MAX_ANNOTATIONS = 256 * 1024
"""Bytes of keys and values that Kubernetes lets one object's annotations have."""


def of_copy(pod: Mapping[str, Any], cluster: Cluster, policy: Pods) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of the host pod, without the record of `update`. Ours come last."""
    metadata = pod["metadata"]
    own_labels: Mapping[str, str] = metadata.get("labels") or {}
    own_annotations: Mapping[str, str] = metadata.get("annotations") or {}
    labels = {key: own_labels[key] for key in verbatim(own_labels, policy.labels)}
    labels |= {names.label_key(key): value for key, value in own_labels.items()}
    labels |= identity.labels(cluster.name, metadata["namespace"])
    annotations = {key: own_annotations[key] for key in verbatim(own_annotations, policy.annotations)}
    annotations |= downward.annotations(pod)
    annotations |= identity.annotations(cluster.name, pod)
    return labels, annotations


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
            f"what the downward API needs of the pod's labels and annotations takes {size} bytes on the host",
            f"at most {MAX_ANNOTATIONS} are possible: shorten them",
        )
