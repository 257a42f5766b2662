"""The host Secret with a pod's service-account tokens."""

import base64
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.objects import Cluster, Object


def secret(pod: Mapping[str, Any], cluster: Cluster, tokens: Mapping[str, str]) -> Object:
    """The Secret that the pod's projected volumes read.

    Args:
        pod: the tenant's pod.
        cluster: the virtual cluster.
        tokens: key of the projection (`TokenProjection.key`) -> token.
    """
    metadata = pod["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.token_secret_name(cluster.name, namespace, name, uid),
            "namespace": cluster.namespace,
            "labels": identity.labels(cluster.name, namespace, "token"),
            "annotations": identity.annotations(cluster.name, pod),
            "ownerReferences": [dict(cluster.owner)],
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in tokens.items()},
    }
