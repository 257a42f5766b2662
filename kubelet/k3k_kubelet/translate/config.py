"""ConfigMaps and Secrets: the copies that pods on the host use."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.objects import Cluster, Object

_KEPT_TYPES = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson", "kubernetes.io/tls")
"""Types that somebody on the host looks at. All others become Opaque: a service-account-token Secret above
all, which the host's controllers would fill with a token of the host or delete."""

ROOT_CA = "kube-root-ca.crt"


def config_map_to_host(obj: Mapping[str, Any], cluster: Cluster) -> Object:
    """The host's copy of a ConfigMap.

    `immutable` is not carried: who makes the object anew under the same name may give it other data.
    """
    copy: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(obj, cluster)}
    return copy | {key: dict(obj[key]) for key in ("data", "binaryData") if obj.get(key)}


def secret_to_host(obj: Mapping[str, Any], cluster: Cluster) -> Object:
    """The host's copy of a Secret; `immutable` is not carried."""
    kind = obj.get("type")
    copy: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(obj, cluster),
        "type": kind if kind in _KEPT_TYPES else "Opaque",
    }
    return copy | {key: dict(obj[key]) for key in ("data",) if obj.get(key)}


def root_ca(cluster: Cluster, namespace: str, certificate: str) -> Object:
    """The host's copy of a namespace's `kube-root-ca.crt`, also before the namespace has it.

    Args:
        cluster: the virtual cluster.
        namespace: the namespace inside.
        certificate: CA certificate of the virtual API server, PEM.
    """
    metadata = {"name": ROOT_CA, "namespace": namespace}
    return config_map_to_host({"metadata": metadata, "data": {"ca.crt": certificate}}, cluster)


def _metadata(obj: Mapping[str, Any], cluster: Cluster) -> Object:
    metadata = obj["metadata"]
    return {
        "name": names.host_name(cluster.name, metadata["namespace"], metadata["name"]),
        "namespace": cluster.namespace,
        "labels": identity.labels(cluster.name, metadata["namespace"]),
        "annotations": identity.annotations(cluster.name, obj),
        "ownerReferences": [dict(cluster.owner)],
    }
