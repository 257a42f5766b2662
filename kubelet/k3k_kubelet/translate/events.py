"""Events: what the host says about the copy of an object, said of the tenant's object."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
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
_MAX_NAME = 220


def name(host_event: Mapping[str, Any], obj: Mapping[str, Any]) -> str:
    """Name of the event inside: one for each of the host's, so that repeats are changes of it."""
    digest = hashlib.blake2b(host_event["metadata"]["uid"].encode(), digest_size=8).hexdigest()
    about = obj["metadata"]["name"][:_MAX_NAME].rstrip("-.")
    return f"{about}.{digest}"


def to_virtual(
    host_event: Mapping[str, Any],
    obj: Mapping[str, Any],
    cluster: Cluster,
    others: Mapping[str, str] = MappingProxyType({}),
) -> Object:
    """The host's event about an object's copy as one about the tenant's object, with virtual names.

    Args:
        host_event: the event.
        obj: the object inside, of the same kind.
        cluster: the virtual cluster.
        others: names and uids on the host -> inside, of what the object has to do with.
    """
    metadata = obj["metadata"]
    about = host_event["involvedObject"]
    rewrite = rewriter(obj, cluster.name, cluster.namespace, about.get("uid", ""), others)
    involved = {
        "apiVersion": about.get("apiVersion") or "v1",
        "kind": about["kind"],
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }
    if about.get("fieldPath"):
        involved["fieldPath"] = about["fieldPath"]
    event: Object = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name(host_event, obj), "namespace": metadata["namespace"]},
        "involvedObject": involved,
        "message": rewrite(host_event.get("message", "")),
    }
    return event | {key: host_event[key] for key in _COPIED if host_event.get(key) is not None}
