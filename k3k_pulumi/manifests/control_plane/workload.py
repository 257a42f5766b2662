"""The StatefulSet of the servers and its volumes, the same for both distributions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects, pods
from k3k_pulumi.manifests.objects import Manifest, annotate, make

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

DATA = "data"
"""Name of the volume with the datastore."""


def claims(spec: VirtualClusterSpec) -> list[Manifest]:
    """The servers' volumes, as objects of ours: they outlive the StatefulSet and end with the cluster.

    The StatefulSet takes them for its own by their names. Were they left to its templates, a destroyed
    cluster would leave them behind, and the next one of that name would find the data of another CA. Their
    size can grow, which a template's cannot.
    """
    if spec.persistence.type == "ephemeral":
        return []
    made = [
        make(
            spec,
            "PersistentVolumeClaim",
            spec.names.claim(server),
            objects.SERVER,
            spec.control_plane_namespace,
            spec=_claim(spec.persistence.size, spec.persistence.storage_class),
        )
        for server in range(spec.servers)
    ]
    # The StatefulSet waits for them. Pulumi would read the StorageClass, which takes a right on the whole
    # host, and would not take a claim that is bound already for a new one that is ready.
    return [annotate(claim, {"pulumi.com/skipAwait": "true"}) for claim in made]


def stateful_set(spec: VirtualClusterSpec, config: Iterable[str], pod: Mapping[str, Any]) -> Manifest:
    """The servers. What Kubernetes or Pulumi cannot change in place has one value for ever.

    Args:
        spec: The cluster.
        config: The texts that the pods read at their start.
        pod: The rest of the pod's spec; a volume named `data` is added to its volumes.
    """
    body: dict[str, Any] = {
        "replicas": spec.servers,
        "serviceName": spec.names.server,
        # Ordered starts deadlock when all members were down, and never recover from a bad image.
        "podManagementPolicy": "Parallel",
        "revisionHistoryLimit": 3,
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": objects.selector(spec, objects.SERVER)},
    }
    volumes = list(pod["volumes"])
    if spec.persistence.type == "dynamic":
        # The claims exist already (see `claims`), so this says nothing but their names, and never changes.
        body["volumeClaimTemplates"] = [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": DATA},
                "spec": _claim("1Gi", None),
            }
        ]
        body["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    else:
        volumes.append({"name": DATA, "emptyDir": {}})
    body["template"] = pods.template(
        spec,
        objects.SERVER,
        service_account=spec.names.server,
        mounts_token=False,
        config=config,
        pod={**pod, "volumes": volumes},
    )
    return make(
        spec, "StatefulSet", spec.names.server, objects.SERVER, spec.control_plane_namespace, spec=body
    )


def _claim(size: str, storage_class: str | None) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": size}},
    }
    return {**claim, "storageClassName": storage_class} if storage_class else claim
