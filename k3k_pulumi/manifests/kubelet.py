"""The virtual kubelet: one Deployment for all nodes of the cluster, and the files it reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import network, objects, pods
from k3k_pulumi.manifests.objects import Manifest, make
from k3k_pulumi.manifests.services import API_PORT, EXTENSION_PORT, KUBELET_FIRST_PORT
from k3k_pulumi.model.document import API_VERSION

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

_CONFIG, _RUN = "/etc/k3k-kubelet", "/run/k3k-kubelet"
_HEALTH_PORT = 8081
_SIZES = pods.sizes("50m", "64Mi", "1Gi")


def config_maps(spec: VirtualClusterSpec) -> list[Manifest]:
    """What the kubelet reads at its start, and the policy document, which it reads live."""
    given = {"pods": spec.pods, "sync": spec.sync}
    policy = {"apiVersion": API_VERSION, **{key: value for key, value in given.items() if value}}
    return [
        _config_map(spec, spec.names.kubelet, {"config.json": _config(spec)}),
        _config_map(spec, spec.names.policy, {"policy.json": _json(policy)}),
    ]


def deployment(spec: VirtualClusterSpec) -> Manifest:
    """The kubelet's Deployment. An update ends a pod before it starts another: a quota need not hold both.

    No PodDisruptionBudget: pods run on without the kubelet, and what an eviction ends is replaced in seconds.
    """
    pod = {
        "terminationGracePeriodSeconds": 30,
        **pods.apart(spec, objects.KUBELET, spec.kubelet_replicas),
        "containers": [_container(spec)],
        "volumes": _volumes(spec),
    }
    return make(
        spec,
        "Deployment",
        spec.names.kubelet,
        objects.KUBELET,
        spec.control_plane_namespace,
        spec={
            "replicas": spec.kubelet_replicas,
            "revisionHistoryLimit": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "selector": {"matchLabels": objects.selector(spec, objects.KUBELET)},
            "template": pods.template(
                spec,
                objects.KUBELET,
                service_account=spec.names.kubelet,
                mounts_token=True,
                config=[_config(spec)],
                pod=pod,
            ),
        },
    )


def _config(spec: VirtualClusterSpec) -> str:
    names = spec.names
    capacity = spec.node_capacity.model_dump(exclude_defaults=True)
    nodes: dict[str, Any] = {}
    if spec.mirror_host_nodes:
        nodes["mirrorHostNodes"] = True
    if capacity:
        nodes["nodeCapacity"] = {key.replace("_", "-"): _amount(value) for key, value in capacity.items()}
    return _json(
        {
            "cluster": spec.name,
            "namespace": spec.namespace,
            "controlPlaneNamespace": spec.control_plane_namespace,
            "anchor": names.anchor,
            "service": names.kubelet,
            "lease": names.kubelet,
            "serviceAccount": names.workload,
            "clusterDomain": spec.cluster_domain,
            "version": str(spec.version),
            "deniedCidrs": network.denied_cidrs(spec),
            "nameServers": spec.egress != "none",
            "hostRanges": network.host_ranges(spec),
            **nodes,
        }
    )


def _amount(value: Any) -> Any:
    """Quantities as the kubelet takes them: text."""
    return {name: str(amount) for name, amount in value.items()} if isinstance(value, dict) else str(value)


def _container(spec: VirtualClusterSpec) -> dict[str, Any]:
    ready, live = pods.http_probe(_HEALTH_PORT, "/readyz"), pods.http_probe(_HEALTH_PORT, "/livez")
    return {
        "name": "kubelet",
        "image": spec.kubelet_image,
        "args": ["run", "--config", f"{_CONFIG}/config.json"],
        "env": [
            {"name": "K3K_API_HOST", "value": f"$({spec.names.api_host_variable})"},
            {"name": "K3K_API_PORT", "value": str(API_PORT)},
            {"name": "K3K_DNS_HOST", "value": f"$({spec.names.dns_host_variable})"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            # What it may find to be no address of `hostRanges`.
            {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
            {"name": "HOME", "value": _RUN},
            {"name": "TMPDIR", "value": _RUN},
        ],
        "ports": [
            {"name": "kubelet", "containerPort": KUBELET_FIRST_PORT, "protocol": "TCP"},
            {"name": "extension", "containerPort": EXTENSION_PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": _HEALTH_PORT, "protocol": "TCP"},
        ],
        "startupProbe": pods.startup(live, 120),
        "readinessProbe": pods.readiness(ready),
        "livenessProbe": pods.liveness(live),
        # What keeps it from starting at all: shown by whoever waits for the Deployment.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": spec.resources.kubelet or _SIZES,
        "securityContext": pods.container_security(),
        "volumeMounts": [
            # One file alone: the two folders below could not be mounted into a read-only volume.
            {
                "name": "config",
                "mountPath": f"{_CONFIG}/config.json",
                "subPath": "config.json",
                "readOnly": True,
            },
            {"name": "policy", "mountPath": f"{_CONFIG}/policy", "readOnly": True},
            {"name": "tls", "mountPath": f"{_CONFIG}/tls", "readOnly": True},
            {"name": "run", "mountPath": _RUN},
        ],
    }


def _volumes(spec: VirtualClusterSpec) -> list[dict[str, Any]]:
    names = spec.names
    tls = pods.secret_files(
        (names.server_ca, "tls.crt", "server-ca.crt"),
        (names.client_ca, "tls.crt", "client-ca.crt"),
        (names.client_ca, "tls.key", "client-ca.key"),
        (names.kubelet_serving_ca, "tls.crt", "kubelet-serving-ca.crt"),
        (names.kubelet_serving_ca, "tls.key", "kubelet-serving-ca.key"),
        (names.request_header_ca, "tls.crt", "request-header-ca.crt"),
    )
    return [
        {"name": "config", "configMap": {"name": names.kubelet}},
        {"name": "policy", "configMap": {"name": names.policy}},
        {"name": "tls", **tls},
        pods.memory_volume("run", "64Mi"),
    ]


def _config_map(spec: VirtualClusterSpec, name: str, data: dict[str, str]) -> Manifest:
    return make(spec, "ConfigMap", name, objects.KUBELET, spec.control_plane_namespace, data=data)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
