"""The host objects of a virtual cluster: pure functions from the model to Kubernetes objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from k3k_pulumi.cluster_pki import ClusterPki
from k3k_pulumi.manifests import control_plane, dns, kubelet, network_probe
from k3k_pulumi.manifests.namespaces import anchor, namespaces
from k3k_pulumi.manifests.network import network_policies
from k3k_pulumi.manifests.objects import Manifest
from k3k_pulumi.manifests.policy.admission import cluster_admission_policy
from k3k_pulumi.manifests.rbac import roles, service_accounts
from k3k_pulumi.manifests.secrets import secrets
from k3k_pulumi.manifests.services import services

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

__all__ = ["Manifest", "virtual_cluster", "waits_for_ready"]

Value = TypeVar("Value")


def virtual_cluster(spec: VirtualClusterSpec, pki: ClusterPki[Value]) -> list[Manifest]:
    """All host objects of a virtual cluster, in a safe order to create them in; reversed, to delete them.

    NetworkPolicies come before the pods they hold, Services before the pods whose environment carries their
    addresses. Values of `pki` are placed into `stringData` of Secrets and one probe header, never changed.
    """
    made = [
        *namespaces(spec),
        anchor(spec),
        *service_accounts(spec),
        *roles(spec),
        *cluster_admission_policy(spec),
        *network_policies(spec),
        *services(spec),
        *network_probe.services(spec),
        *secrets(spec, pki),
        *control_plane.config_maps(spec),
        *kubelet.config_maps(spec),
        *dns.config_maps(spec),
        *control_plane.claims(spec),
        control_plane.stateful_set(spec, pki),
        kubelet.deployment(spec),
        *dns.deployments(spec),
        *network_probe.jobs(spec),
    ]
    return [_unshared(manifest) for manifest in made]


def _unshared(value: Any) -> Any:
    """A copy that shares no map or list with the model, a constant or itself; other values stay the same."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def waits_for_ready(manifest: Manifest) -> bool:
    """Whether the cluster is ready only when this object is: its pods, not what they are made from."""
    return manifest["kind"] in {"Deployment", "Job", "StatefulSet"}


def waits_for_address(manifest: Manifest) -> bool:
    """Whether the host's load balancers give the object an address some time after it is made."""
    return bool(manifest["kind"] == "Service" and manifest["spec"].get("type") == "LoadBalancer")
