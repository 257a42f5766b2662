"""Who a host object belongs to: labels for selectors, annotations for the truth."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from k3k_kubelet.translate.names import DOMAIN

CLUSTER = f"{DOMAIN}/cluster"
NAMESPACE = f"{DOMAIN}/namespace"
COMPONENT = f"{DOMAIN}/component"
NAME = f"{DOMAIN}/name"
UID = f"{DOMAIN}/uid"
HOST_POD_UID = f"{DOMAIN}/host-pod-uid"
"""Annotation of ours on a bound virtual pod, see `copy_mark`: hidden from the tenant's downward API."""

ISOLATED: Mapping[str, str] = {
    "Ingress": f"{DOMAIN}/isolated-ingress",
    "Egress": f"{DOMAIN}/isolated-egress",
}
"""Labels of host pods that NetworkPolicies of the tenant isolate in a direction.

The library's own policies leave them out: only pods without may do all that the cluster may.
"""

Component = Literal["workload", "token"]
"""`workload`: the copy of a tenant's object. `token`: the Secret with a pod's service-account tokens."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The virtual object that a host object stands for."""

    cluster: str
    namespace: str
    name: str
    uid: str


def labels(cluster: str, namespace: str, component: Component = "workload") -> dict[str, str]:
    """Labels of every host object of a virtual namespace; set last, over anything else."""
    return {CLUSTER: cluster, NAMESPACE: namespace, COMPONENT: component}


def isolation(directions: Iterable[str]) -> dict[str, str]:
    """Labels of a host pod that is isolated in these directions, `Ingress` and `Egress`."""
    return {ISOLATED[direction]: "true" for direction in directions}


def isolated(host_pod: Mapping[str, Any]) -> frozenset[str]:
    """The directions in which a host pod is isolated, by its labels."""
    found = host_pod["metadata"].get("labels") or {}
    return frozenset(direction for direction, label in ISOLATED.items() if label in found)


def annotations(cluster: str, obj: Mapping[str, Any]) -> dict[str, str]:
    """Annotations that tie a host object to the virtual object `obj`."""
    metadata = obj["metadata"]
    return {
        CLUSTER: cluster,
        NAME: metadata["name"],
        NAMESPACE: metadata.get("namespace", ""),
        UID: metadata.get("uid", ""),
    }


def owner_of(host_object: Mapping[str, Any]) -> Identity | None:
    """The virtual object that a host object stands for.

    Returns:
        None when the annotations do not say: then the object is not ours and must not be touched.
    """
    found = host_object.get("metadata", {}).get("annotations") or {}
    try:
        return Identity(found[CLUSTER], found[NAMESPACE], found[NAME], found[UID])
    except KeyError:
        return None


def is_token(host_object: Mapping[str, Any]) -> bool:
    """Whether a host Secret holds a pod's tokens rather than the copy of a Secret of the tenant."""
    found = host_object.get("metadata", {}).get("labels") or {}
    return bool(found.get(COMPONENT) == "token")


def copy_mark(pod: Mapping[str, Any], host_pod: Mapping[str, Any]) -> dict[str, str]:
    """The annotation of a bound pod which says that it has this copy on the host.

    It has the pod's own uid too, since annotations are brought along: by backups, `kubectl replace --force`,
    `kubectl debug --copy-to`. A pod that has it and no copy has lost it, and has failed.
    """
    return {HOST_POD_UID: f"{host_pod['metadata']['uid']}/{pod['metadata']['uid']}"}


def uid_of_copy(pod: Mapping[str, Any]) -> str | None:
    """The copy's uid as `copy_mark` of this very pod says it; None if it has had no copy."""
    mark = str((pod["metadata"].get("annotations") or {}).get(HOST_POD_UID, ""))
    copy, _, own = mark.partition("/")
    return copy if own == pod["metadata"]["uid"] else None
