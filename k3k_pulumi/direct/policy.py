"""Policies without an engine: bound to namespaces, changed, and taken from them again.

The fields of a Namespace that a policy sets belong to a field manager of its own. What is to be given back is
so known to the host, and no state is kept here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from k3k_pulumi.direct.remove import ANCHORS
from k3k_pulumi.host import DirectError, ForbiddenError, Host, Object, Ref, UnknownKindError
from k3k_pulumi.manifests.objects import CLUSTER, MANAGED_BY, MANAGER, POLICY, Manifest
from k3k_pulumi.manifests.policy import (
    NAMESPACED_KINDS,
    SHARED_MODE_KINDS,
    cluster_objects,
    constraints_of,
    namespace_fields,
    namespace_objects,
    obstacles,
    own_managers,
    shared_mode_namespace,
)
from k3k_pulumi.model import SharedModeNamespaceSpec, VirtualClusterPolicySpec

CLUSTER_KINDS = (
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
)
"""The kinds of objects that a policy makes once on the host, in the order of their removal."""


def bind(host: Host, spec: VirtualClusterPolicySpec) -> None:
    """Binds a policy to its namespaces, or brings it up to date; safe to repeat.

    Raises:
        DirectError: a namespace is missing or is not free for this policy, nothing is changed then; or the
            host refused an object.
    """
    found = {name: _metadata(host, name) for name in spec.namespaces}
    problems = [line for name in found for line in obstacles(spec, name, found[name])]
    if problems:
        raise DirectError("\n".join(f"VirtualClusterPolicy {spec.name!r}: {line}" for line in problems))
    _replace(host, CLUSTER_KINDS, "", spec.name, cluster_objects(spec))
    for name, metadata in found.items():
        _set_fields(host, spec.name, metadata or {}, namespace_fields(spec, name))
        _replace(host, NAMESPACED_KINDS, name, spec.name, namespace_objects(spec, name))
    for namespace in _bound(host, spec.name):
        if namespace["name"] not in found:
            _unbind(host, spec.name, namespace)


def unbind(host: Host, name: str, namespaces: Sequence[str]) -> None:
    """Takes a policy from namespaces, and with the last one what it has once on the host.

    Fine when there is nothing.
    Its objects go, and the fields that it set in the Namespaces are given back: what another owner has set to
    the same value stays, and nothing that was there before comes back.
    """
    for namespace in namespaces:
        found = _metadata(host, namespace)
        if found is not None and field_manager(name) in own_managers(name, found):
            _unbind(host, name, found)
    _remove_from_host(host, name)


def make(host: Host, spec: SharedModeNamespaceSpec) -> None:
    """Makes a namespace for shared mode with its policy, or brings it up to date; safe to repeat.

    Raises:
        DirectError: the namespace was made by somebody else, nothing is changed then; or the host refused an
            object.
    """
    name, found = spec.policy.name, _metadata(host, spec.namespace)
    about = f"SharedModeNamespace {name!r}: namespace {spec.namespace!r}"
    if found is not None and not _is_of_policy(found, name):
        raise DirectError(
            f"{about} exists already and was not made for it: choose another name, or bind a "
            "VirtualClusterPolicy to it"
        )
    if found is not None and "deletionTimestamp" in found:
        raise DirectError(f"{about} is being deleted: wait until it is gone")
    _replace(host, CLUSTER_KINDS, "", name, cluster_objects(spec.policy))
    namespace, *objects = shared_mode_namespace(spec)
    host.apply(namespace)
    _replace(host, SHARED_MODE_KINDS, spec.namespace, name, objects)


def unmake(host: Host, name: str, namespace: str, deadline: float) -> None:
    """Deletes a namespace that was made for shared mode, and waits until it is gone; fine when it is.

    Raises:
        DirectError: it was made by somebody else, or virtual clusters live in it; nothing is deleted then.
        TimeoutError: it is still there.
    """
    found = _metadata(host, namespace)
    about = f"SharedModeNamespace {name!r}: namespace {namespace!r}"
    if found is not None:
        if not _is_of_policy(found, name):
            raise DirectError(f"{about} was not made for it: it stays")
        anchors = host.list("v1", "ConfigMap", namespace, labels=ANCHORS)
        if clusters := sorted(anchor["metadata"]["labels"][CLUSTER] for anchor in anchors):
            raise DirectError(
                f"{about} would take the virtual clusters {', '.join(clusters)} with it: delete those first"
            )
        host.delete(Ref("v1", "Namespace", "", namespace))
        host.wait_for(Ref("v1", "Namespace", "", namespace), lambda gone: gone is None, deadline)
    _remove_from_host(host, name)


def with_policy_of_namespace(host: Host, args: Mapping[str, Any]) -> dict[str, Any]:
    """A cluster's arguments with the constraints that a policy left on its namespace.

    Raises:
        DirectError: there is no such namespace, or no policy is bound to it.
    """
    namespace = str(args["namespace"])
    found = _metadata(host, namespace)
    if found is None:
        raise DirectError(f"policy_from_namespace: Namespace {namespace!r} does not exist: create it first")
    try:
        constraints = constraints_of(found, "policy_from_namespace")
    except ValueError as error:
        raise DirectError(str(error)) from None
    rest = {key: value for key, value in args.items() if key != "policy_from_namespace"}
    return {**rest, "policy": constraints}


def field_manager(name: str) -> str:
    """The manager of the fields that the policy of that name has in Namespaces."""
    return f"{MANAGER}-policy-{name}"


def _metadata(host: Host, namespace: str) -> Object | None:
    found = host.get(Ref("v1", "Namespace", "", namespace))
    return None if found is None else found["metadata"]


def _is_of_policy(metadata: Mapping[str, Any], name: str) -> bool:
    """Whether an object was made for the policy of that name."""
    labels = metadata.get("labels") or {}
    return bool(labels.get(MANAGED_BY) == MANAGER and labels.get(POLICY) == name)


def _bound(host: Host, name: str) -> list[Object]:
    """Metadata of the namespaces that the policy of that name is bound to by this path.

    Who may not list them has its own reasons: no namespace is taken from his policies then.
    """
    try:
        found = host.list("v1", "Namespace", labels=f"{POLICY}={name}")
    except ForbiddenError:
        return []
    bound = [each["metadata"] for each in found]
    return [each for each in bound if field_manager(name) in own_managers(name, each)]


def _remove_from_host(host: Host, name: str) -> None:
    """Removes what a policy has once on the host, unless a namespace may still need it.

    Who may not list namespaces cannot know: a wall that stays is safer than one that goes, and without a
    namespace it stands in nobody's way.
    """
    try:
        bound = host.list("v1", "Namespace", labels=f"{POLICY}={name}")
    except ForbiddenError:
        return
    if not bound:
        _replace(host, CLUSTER_KINDS, "", name, [])


def _unbind(host: Host, name: str, metadata: Mapping[str, Any]) -> None:
    """The objects first: as long as the Namespace has the policy's fields, this can be repeated."""
    _replace(host, NAMESPACED_KINDS, metadata["name"], name, [])
    nothing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": metadata["name"]}}
    _set_fields(host, name, metadata, nothing)


def _set_fields(host: Host, name: str, metadata: Mapping[str, Any], fields: Manifest) -> None:
    """Sets the fields of a Namespace that are the policy's, and gives back those that no longer are."""
    # With its uid a Namespace that has gone meanwhile is not made by this.
    named = {**fields["metadata"], "uid": metadata["uid"]}
    host.apply({**fields, "metadata": named}, field_manager=field_manager(name))


def _replace(
    host: Host, kinds: Iterable[tuple[str, str]], namespace: str, name: str, wanted: Sequence[Manifest]
) -> None:
    """Applies the policy's objects of one namespace, and deletes those that it no longer has."""
    for manifest in wanted:
        host.apply(manifest)
    kept = {Ref.of(manifest) for manifest in wanted}
    selector = f"{MANAGED_BY}={MANAGER},{POLICY}={name}"
    for kind in kinds:
        try:
            there = host.list(*kind, namespace, labels=selector)
        except (ForbiddenError, UnknownKindError):
            # Rights on cluster-scoped kinds, and a host that has them, need those who asked for such objects.
            if namespace or wanted:
                raise
            continue
        for found in there:
            if Ref.of(found) not in kept:
                host.delete(Ref.of(found))
