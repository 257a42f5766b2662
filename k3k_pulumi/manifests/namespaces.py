"""The two host namespaces, and the anchor that ties the host objects of the workload one to the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import Manifest, annotate, make

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec


def namespaces(spec: VirtualClusterSpec) -> list[Manifest]:
    """Those of the two namespaces that are to be made."""
    made = []
    if spec.create_namespace:
        # Baseline, so that a plain `kubectl run nginx` inside works.
        made.append(_namespace(spec, spec.namespace, objects.WORKLOAD, "baseline"))
    if spec.create_control_plane_namespace:
        namespace = _namespace(spec, spec.control_plane_namespace, objects.SERVER, "restricted")
        made.append(annotate(namespace, {objects.WORKLOAD_NAMESPACE: spec.namespace}))
    return made


def anchor(spec: VirtualClusterSpec) -> Manifest:
    """The controller owner of every host object that the kubelet makes: deleting it removes them all.

    It has no data, which Pulumi would replace it for; what it says is in annotations.
    """
    manifest = make(spec, "ConfigMap", spec.names.anchor, objects.ANCHOR, spec.namespace)
    return annotate(manifest, {objects.CONTROL_PLANE_NAMESPACE: spec.control_plane_namespace})


def _namespace(spec: VirtualClusterSpec, name: str, component: str, level: str) -> Manifest:
    manifest = make(spec, "Namespace", name, component, None)
    for mode in ("enforce", "warn", "audit"):
        manifest["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] = level
    return manifest
