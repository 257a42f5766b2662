"""Events: what the host says about a pod's copy, said of the tenant's pod."""

import hashlib
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.objects import Cluster, Object
from k3k_kubelet.translate.rewrite import rewriter

_COPIED = (
    "action",
    "count",
    "eventTime",
    "firstTimestamp",
    "lastTimestamp",
    "reason",
    "reportingComponent",
    "reportingInstance",
    "series",
    "source",
    "type",
)
_MAX_POD = 220


def name(host_event: Mapping[str, Any], virtual_pod: Mapping[str, Any]) -> str:
    """Name of the event inside: one for each of the host's, so that repeats are changes of it."""
    digest = hashlib.blake2b(host_event["metadata"]["uid"].encode(), digest_size=8).hexdigest()
    pod = virtual_pod["metadata"]["name"][:_MAX_POD].rstrip("-.")
    return f"{pod}.{digest}"


def to_virtual(host_event: Mapping[str, Any], virtual_pod: Mapping[str, Any], cluster: Cluster) -> Object:
    """The host's event about a pod's copy as one about the tenant's pod, with virtual names."""
    metadata = virtual_pod["metadata"]
    about = host_event["involvedObject"]
    rewrite = rewriter(virtual_pod, cluster.name, cluster.namespace, about.get("uid", ""))
    involved = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }
    if about.get("fieldPath"):
        involved["fieldPath"] = about["fieldPath"]
    event: Object = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name(host_event, virtual_pod), "namespace": metadata["namespace"]},
        "involvedObject": involved,
        "message": rewrite(host_event.get("message", "")),
    }
    return event | {key: host_event[key] for key in _COPIED if host_event.get(key) is not None}
