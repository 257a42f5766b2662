"""The Services of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import Manifest, annotate, make

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

API_PORT = 443
"""Port of the API's Service: what the environment of workloads says."""
SERVER_PORT = 6443
"""Port of the API server in its pod: what NetworkPolicies name, which see packets after DNAT."""
KUBELET_FIRST_PORT, KUBELET_LAST_PORT = 10250, 11249
"""Ports of the virtual kubelet: one for each virtual node."""
EXTENSION_PORT = 9443
"""Port of the virtual kubelet for the virtual API server's aggregator."""
DNS_PORT = 1053
"""Port of CoreDNS in its pod; its Service has 53."""


def services(spec: VirtualClusterSpec) -> list[Manifest]:
    """All of them. They exist before the pods, whose environment carries their ClusterIPs."""
    return [_api(spec), _server(spec), _kubelet(spec), _dns(spec)]


def _api(spec: VirtualClusterSpec) -> Manifest:
    port: dict[str, Any] = {"name": "https", "port": API_PORT, "targetPort": SERVER_PORT, "protocol": "TCP"}
    if spec.expose.node_port is not None:
        port["nodePort"] = spec.expose.node_port
    body: dict[str, Any] = {
        "type": spec.expose.type,
        "selector": objects.selector(spec, objects.SERVER),
        "ports": [port],
    }
    if spec.expose.type != "ClusterIP":
        body["externalTrafficPolicy"] = spec.expose.external_traffic_policy or "Cluster"
    if spec.expose.type == "LoadBalancer":
        # Load balancers and kube-proxy look at who connects before a node puts its own address there.
        body["loadBalancerSourceRanges"] = [str(cidr) for cidr in spec.expose.source_cidrs]
    service = make(spec, "Service", spec.names.api, objects.SERVER, spec.control_plane_namespace, spec=body)
    # Pulumi would wait for endpoints, which come only after the StatefulSet that is made after this.
    return annotate(service, {**spec.expose.annotations, "pulumi.com/skipAwait": "true"})


def _server(spec: VirtualClusterSpec) -> Manifest:
    """Names of the server pods, for each other: before they are ready."""
    return make(
        spec,
        "Service",
        spec.names.server,
        objects.SERVER,
        spec.control_plane_namespace,
        spec={
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": objects.selector(spec, objects.SERVER),
            "ports": [{"name": "https", "port": SERVER_PORT, "targetPort": SERVER_PORT, "protocol": "TCP"}],
        },
    )


def _kubelet(spec: VirtualClusterSpec) -> Manifest:
    """InternalIP of every virtual node; the kubelet adds a port for each further one.

    Pulumi must ignore changes of its ports.
    """
    ports = {"extension": EXTENSION_PORT, "node-0": KUBELET_FIRST_PORT}
    service = make(
        spec,
        "Service",
        spec.names.kubelet,
        objects.KUBELET,
        spec.control_plane_namespace,
        spec={
            "type": "ClusterIP",
            # With two, only those that serve; one alone answers for itself.
            "publishNotReadyAddresses": spec.kubelet_replicas == 1,
            "selector": objects.selector(spec, objects.KUBELET),
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
                for name, port in ports.items()
            ],
        },
    )
    return annotate(service, {"pulumi.com/skipAwait": "true"})


def _dns(spec: VirtualClusterSpec) -> Manifest:
    """The name server of the cluster's pods; its ports are called as those of every cluster's kube-dns."""
    service = make(
        spec,
        "Service",
        spec.names.dns,
        objects.DNS,
        spec.control_plane_namespace,
        spec={
            "type": "ClusterIP",
            "selector": objects.selector(spec, objects.DNS),
            "ports": [
                {"name": name, "port": 53, "targetPort": DNS_PORT, "protocol": protocol}
                for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
            ],
        },
    )
    return annotate(service, {"pulumi.com/skipAwait": "true"})
