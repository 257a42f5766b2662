"""The control plane from the K3s image: one agentless server process, with SQLite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from k3k_pulumi.cluster_pki import ClusterPki
from k3k_pulumi.manifests import pods
from k3k_pulumi.manifests.control_plane import certificates
from k3k_pulumi.manifests.control_plane.workload import DATA
from k3k_pulumi.manifests.services import SERVER_PORT
from k3k_pulumi.model import Version

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

Value = TypeVar("Value")

_CONFIG, _TRUST, _TOKENS = "/etc/k3k/config", "/etc/k3k/trust", "/etc/k3k/tokens"
_RANCHER = "/var/lib/rancher"
_DATA_DIR = f"{_RANCHER}/k3s"
_SIZES = pods.sizes("100m", "384Mi", "2Gi")

_SINCE = {
    # Without it the API server looks for kubelets at the far end of agents' tunnels (k3s-io/k3s#5577).
    "egress-selector-mode": ((22, 10), (23, 7), (24, 1)),
}
"""Keys of the configuration file that K3s did not always know: an unknown one ends the server.

For each, the first release that knows it as (minor, patch) of every release branch; later branches all do.
"""

_CONTROLLER_NAMES_SINCE = 28
"""First minor version of Kubernetes with today's names of the controllers."""


def config(spec: VirtualClusterSpec) -> dict[str, str]:
    """File name -> content of what the containers read at their start."""
    return {
        "config.yaml": _json(_server(spec)),
        "certificates.json": _json(certificates.k3s(spec, f"{_DATA_DIR}/server/tls")),
    }


def pod(spec: VirtualClusterSpec, pki: ClusterPki[Value]) -> dict[str, Any]:
    """The rest of a server pod's spec, without the volume `data`."""
    names = spec.names
    trust = pods.secret_files((names.kubelet_serving_ca, "tls.crt", "kubelet-serving-ca.crt"))
    tokens = pods.secret_files(
        (names.join_token, "token", "join-token"), (names.probe_token, "tokens.csv", "tokens.csv")
    )
    return {
        "terminationGracePeriodSeconds": 30,
        "initContainers": [certificates.copying_container(spec, {"name": DATA, "mountPath": _RANCHER})],
        "containers": [_container(spec, pki)],
        "volumes": [
            {"name": "config", "configMap": {"name": names.server}},
            certificates.authorities(spec),
            {"name": "trust", **trust},
            {"name": "tokens", **tokens},
            pods.memory_volume("scratch", "64Mi"),
        ],
    }


def _server(spec: VirtualClusterSpec) -> dict[str, Any]:
    """K3s' configuration file; what depends on the pod's environment is in its arguments."""
    known = {
        "data-dir": _DATA_DIR,
        "https-listen-port": SERVER_PORT,
        "token-file": f"{_TOKENS}/join-token",
        "cluster-domain": spec.cluster_domain,
        "disable-agent": True,
        "disable-scheduler": True,
        "disable-cloud-controller": True,
        "disable-helm-controller": True,
        "disable-network-policy": True,
        "disable": ["coredns", "servicelb", "traefik", "local-storage", "metrics-server"],
        "egress-selector-mode": "disabled",
        "kube-apiserver-arg": _api_server(spec),
        "kube-controller-manager-arg": _controller_manager(spec),
    }
    return {key: value for key, value in known.items() if _is_known(key, spec.version)}


def _is_known(key: str, version: Version) -> bool:
    releases = dict(_SINCE.get(key, ()))
    if version.minor in releases:
        return version.patch >= releases[version.minor]
    return version.minor > max(releases, default=0)


def _api_server(spec: VirtualClusterSpec) -> list[str]:
    issuer = spec.names.service_account_issuer
    return [
        f"token-auth-file={_TOKENS}/tokens.csv",
        f"kubelet-certificate-authority={_TRUST}/kubelet-serving-ca.crt",
        "kubelet-preferred-address-types=InternalIP",
        # Straight to pod addresses: virtual ClusterIPs mean nothing to this pod's network.
        "enable-aggregator-routing=true",
        f"service-account-issuer={issuer}",
        f"api-audiences={issuer},https://kubernetes.default.svc.{spec.cluster_domain},k3s",
        # Whether a volume can grow is for the host to say: StorageClasses are not needed inside.
        "disable-admission-plugins=PersistentVolumeClaimResize",
        # So that any port which the host allocates is valid inside.
        "service-node-port-range=1-65535",
    ]


def _controller_manager(spec: VirtualClusterSpec) -> list[str]:
    attach_detach = (
        "persistentvolume-attach-detach-controller"
        if spec.version.minor >= _CONTROLLER_NAMES_SINCE
        else "attachdetach"
    )
    return [
        # Volumes are attached by the host; tokencleaner is what K3s itself adds to the default.
        f"controllers=*,tokencleaner,-{attach_detach}",
        # Nodes have no pod ranges here, of which there would be 256 at most.
        "allocate-node-cidrs=false",
    ]


def _container(spec: VirtualClusterSpec, pki: ClusterPki[Value]) -> dict[str, Any]:
    dns_names, ip_addresses = certificates.serving_names(
        spec, api_address=f"$({spec.names.api_host_variable})"
    )
    headers = [{"name": "Authorization", "value": pki.probe_token.authorization}]
    ready = pods.http_probe(SERVER_PORT, "/readyz", https=True, headers=headers)
    live = pods.http_probe(SERVER_PORT, "/livez", https=True, headers=headers)
    resources = spec.resources.server or _SIZES
    return {
        "name": "k3s",
        "image": spec.server_image,
        "command": ["/bin/k3s"],
        "args": [
            "server",
            f"--config={_CONFIG}/config.yaml",
            "--advertise-address=$(POD_IP)",
            "--node-ip=$(POD_IP)",
            f"--service-cidr={certificates.service_range(spec)}",
            *(f"--tls-san={name}" for name in (*dns_names, *ip_addresses)),
        ],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 (a volume of the pod's own)
            *pods.go_memory_limit(resources),
        ],
        "ports": [{"name": "https", "containerPort": SERVER_PORT, "protocol": "TCP"}],
        "startupProbe": pods.startup(live, 300),
        "readinessProbe": pods.readiness(ready),
        "livenessProbe": pods.liveness(live),
        "resources": resources,
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
            {"name": "trust", "mountPath": _TRUST, "readOnly": True},
            {"name": "tokens", "mountPath": _TOKENS, "readOnly": True},
            {"name": DATA, "mountPath": _RANCHER},
            # K3s writes a node password here even without an agent, and retries for ever where it cannot.
            {"name": "scratch", "mountPath": "/etc/rancher", "subPath": "etc-rancher"},
            {"name": "scratch", "mountPath": "/run", "subPath": "run"},
            {"name": "scratch", "mountPath": "/tmp", "subPath": "tmp"},  # noqa: S108
        ],
    }


def _json(document: Any) -> str:
    """JSON, which is YAML as well."""
    return json.dumps(document, indent=2) + "\n"
