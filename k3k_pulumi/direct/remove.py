"""Finding and removing virtual clusters by what is on the host alone: no arguments, no keys, no state."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

from k3k_pulumi.direct.steps import OnStep, silent
from k3k_pulumi.host import DirectError, ForbiddenError, Host, Object, Ref, UnknownKindError
from k3k_pulumi.model.names import PREFIX, Names, default_control_plane_namespace

CLUSTER = f"{PREFIX}cluster"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "k3k-pulumi"
ANCHORS = f"{MANAGED_BY}={MANAGER},{PREFIX}component=anchor"

_ADMISSION, _RBAC = "admissionregistration.k8s.io/v1", "rbac.authorization.k8s.io/v1"

# The namespaced kinds that `manifests` and the virtual kubelet make, in the order of their removal: what
# makes pods, pods, what pods use, and last the NetworkPolicies that confine the pods.
_WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"))
_KINDS = (
    *_WORKLOADS,
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    (_RBAC, "RoleBinding"),
    (_RBAC, "Role"),
    ("v1", "ServiceAccount"),
    ("coordination.k8s.io/v1", "Lease"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
)


class Found(NamedTuple):
    """A virtual cluster on the host."""

    namespace: str
    name: str
    control_plane_namespace: str


def find(host: Host) -> list[Found]:
    """The virtual clusters of the host, by namespace and name: each that has its anchor.

    Args:
        host: needs the right to list ConfigMaps in all namespaces.
    """
    anchors = host.list("v1", "ConfigMap", labels=ANCHORS)
    return sorted(_found(anchor["metadata"]["namespace"], anchor) for anchor in anchors)


def is_ours(found: Object, name: str) -> bool:
    """Whether an object was made for the cluster of that name."""
    labels: dict[str, str] = found["metadata"].get("labels", {})
    return labels.get(MANAGED_BY) == MANAGER and labels.get(CLUSTER) == name


def remove(
    host: Host,
    name: str,
    namespace: str,
    *,
    control_plane_namespace: str | None = None,
    grace_period: int | None = None,
    timeout: float = 180.0,
    on_step: OnStep = silent,
) -> None:
    """Removes a cluster and waits until nothing of it is left; fine when there is nothing.

    The virtual kubelet stops first, so that nobody replaces the pods that go next. A namespace goes when it
    carries the cluster's label, which it has from the one who made it; in others the cluster's objects go.

    Args:
        host: where it is.
        name: name of the cluster.
        namespace: host namespace of its workloads.
        control_plane_namespace: needed only when it is not the default one and the anchor is gone already.
        grace_period: seconds for each workload pod to end; its own by default.
        timeout: seconds.
        on_step: shows progress.

    Raises:
        DirectError: something is still there after `timeout`, may not be deleted, or the namespace to delete
            holds other clusters; nothing is deleted then.
    """
    deadline = time.monotonic() + timeout
    anchor = host.get(Ref("v1", "ConfigMap", namespace, Names(name, namespace, "").anchor))
    if anchor is not None and not is_ours(anchor, name):
        anchor = None
    elsewhere = control_plane_namespace or default_control_plane_namespace(namespace, name)
    if anchor is not None:
        elsewhere = _found(namespace, anchor).control_plane_namespace
    _check_alone(host, name, namespace)
    try:
        with on_step("Stop the virtual kubelet"):
            control_plane = _of_cluster(host, name, elsewhere, _WORKLOADS)
            _delete(host, control_plane, propagation="Foreground")
            kubelet = Names(name, namespace, elsewhere).kubelet
            _wait_until_gone(host, [each for each in control_plane if each.name == kubelet], deadline)
        with on_step("Remove the workloads and the control plane"):
            if anchor is not None:
                host.delete(Ref.of(anchor), propagation="Foreground")
            pods = _of_cluster(host, name, namespace, [("v1", "Pod")])
            _delete(host, pods, grace_period=grace_period)
            _wait_until_gone(host, [*pods, *control_plane], deadline)
        with on_step("Remove what is left"):
            remove_cluster_scoped(host, Names(name, namespace, elsewhere))
            # Not before the pods are gone: a namespace may lose its NetworkPolicies before its pods.
            left = [*_remove_namespace(host, name, namespace), *_remove_namespace(host, name, elsewhere)]
            _wait_until_gone(host, left, deadline)
    except TimeoutError as error:
        raise DirectError(
            f"virtual cluster {namespace}/{name}: {error} is still there after {timeout:g} s; its finalizers "
            "and conditions say why (kubectl get -o yaml); then delete the cluster again"
        ) from error


def remove_cluster_scoped(host: Host, names: Names, keep: Collection[Ref] = ()) -> None:
    """Takes away what a cluster has outside of namespaces: rights to read, and its admission policy.

    Who may not look for it has not given it either: users who hold namespaced rights alone pass.

    Args:
        host: where it is.
        names: of the cluster.
        keep: what stays.
    """
    for api_version, kind, name in (
        (_RBAC, "ClusterRoleBinding", names.cluster_reader),
        (_RBAC, "ClusterRole", names.cluster_reader),
        (_ADMISSION, "ValidatingAdmissionPolicyBinding", names.admission_policy),
        (_ADMISSION, "ValidatingAdmissionPolicy", names.admission_policy),
    ):
        ref = Ref(api_version, kind, "", name)
        if ref in keep:
            continue
        try:
            found = host.get(ref)
        except (ForbiddenError, UnknownKindError):  # an older host has no admission policies
            continue
        if found is not None and is_ours(found, names.cluster):
            host.delete(ref)


def _check_alone(host: Host, name: str, namespace: str) -> None:
    """Refuses to take a namespace down in which other clusters live."""
    found = host.get(Ref("v1", "Namespace", "", namespace))
    if found is None or not is_ours(found, name):
        return
    anchors = host.list("v1", "ConfigMap", namespace, labels=ANCHORS)
    if others := sorted({anchor["metadata"]["labels"][CLUSTER] for anchor in anchors} - {name}):
        raise DirectError(
            f"virtual cluster {namespace}/{name}: its namespace would take the virtual clusters "
            f"{', '.join(others)} with it; delete those first"
        )


def _found(namespace: str, anchor: Object) -> Found:
    name = anchor["metadata"]["labels"][CLUSTER]
    named = anchor["metadata"].get("annotations", {}).get(f"{PREFIX}control-plane-namespace")
    return Found(namespace, name, named or default_control_plane_namespace(namespace, name))


def _of_cluster(host: Host, name: str, namespace: str, kinds: Iterable[tuple[str, str]]) -> list[Ref]:
    """What of these kinds in the namespace carries the cluster's label."""
    labels = f"{CLUSTER}={name}"
    return [Ref.of(found) for kind in kinds for found in host.list(*kind, namespace, labels=labels)]


def _remove_namespace(host: Host, name: str, namespace: str) -> list[Ref]:
    """Deletes the namespace if it is the cluster's, else the cluster's objects in it; what has to vanish."""
    ref = Ref("v1", "Namespace", "", namespace)
    found = host.get(ref)
    if found is None:
        return []
    gone = [ref] if is_ours(found, name) else _of_cluster(host, name, namespace, _KINDS)
    _delete(host, gone)
    return gone


def _delete(
    host: Host, refs: Iterable[Ref], *, propagation: str = "Background", grace_period: int | None = None
) -> None:
    for ref in refs:
        host.delete(ref, propagation=propagation, grace_period=grace_period)


def _wait_until_gone(host: Host, refs: Iterable[Ref], deadline: float) -> None:
    for ref in refs:
        host.wait_for(ref, lambda found: found is None, deadline)
