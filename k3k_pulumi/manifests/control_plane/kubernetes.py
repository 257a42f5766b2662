"""The control plane from the official images: etcd, kube-apiserver, kube-controller-manager in one pod.

Certificates are issued in the pod, by the kubelet image: the serving one names the API Service's ClusterIP,
which only the pod's environment knows, and all of them are renewed while the pod runs. kube-apiserver, etcd
and client-go read their files anew when these change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import pods
from k3k_pulumi.manifests.control_plane import certificates
from k3k_pulumi.manifests.control_plane.certificates import CONTROLLER_MANAGER, ETCD, SERVER, TLS
from k3k_pulumi.manifests.control_plane.workload import DATA
from k3k_pulumi.manifests.services import SERVER_PORT

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

_CONFIG, _TRUST = "/etc/k3k/config", "/etc/k3k/trust"
_DATA = "/var/lib/etcd"
_ETCD_HEALTH_PORT, _CONTROLLER_MANAGER_PORT = 2381, 10257
_HEALTH_PATHS = ("/readyz", "/livez")
_SIZES = {
    "kube-apiserver": pods.sizes("100m", "256Mi", "2Gi"),
    "kube-controller-manager": pods.sizes("20m", "64Mi", "512Mi"),
    "etcd": pods.sizes("50m", "64Mi", "1Gi"),
}


def config(spec: VirtualClusterSpec) -> dict[str, str]:
    """File name -> content of what the containers read at their start."""
    return {
        "authentication.json": _json(_authentication(spec)),
        "certificates.json": _json(certificates.kubernetes(spec)),
    }


def pod(spec: VirtualClusterSpec) -> dict[str, Any]:
    """The rest of a server pod's spec, without the volume `data`."""
    issue, renew = certificates.issuing_containers(spec)
    return {
        "terminationGracePeriodSeconds": 30,
        # Native sidecars: each is up before the next container starts, and ends after those that need it.
        "initContainers": [issue, {**renew, "restartPolicy": "Always"}, _etcd(spec)],
        "containers": [_api_server(spec), _controller_manager(spec)],
        "volumes": _volumes(spec),
    }


def _authentication(spec: VirtualClusterSpec) -> dict[str, Any]:
    """Anonymous requests are let in where probes go, alone. --anonymous-auth must not be given then."""
    return {
        "apiVersion": f"apiserver.config.k8s.io/{'v1' if spec.version.minor >= 34 else 'v1beta1'}",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in _HEALTH_PATHS]},
    }


def _api_server(spec: VirtualClusterSpec) -> dict[str, Any]:
    tls, names = f"{TLS}/{SERVER}", spec.names
    flags = {
        "advertise-address": "$(POD_IP)",
        "secure-port": str(SERVER_PORT),
        "tls-cert-file": f"{tls}/serving.crt",
        "tls-private-key-file": f"{tls}/serving.key",
        "client-ca-file": f"{_TRUST}/client-ca.crt",
        "authentication-config": f"{_CONFIG}/authentication.json",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        # Whether a volume can grow is for the host to say: StorageClasses are not needed inside.
        "disable-admission-plugins": "PersistentVolumeClaimResize",
        "allow-privileged": "true",
        "etcd-servers": "https://127.0.0.1:2379",
        "etcd-cafile": f"{_TRUST}/etcd-ca.crt",
        "etcd-certfile": f"{tls}/etcd-client.crt",
        "etcd-keyfile": f"{tls}/etcd-client.key",
        "kubelet-certificate-authority": f"{_TRUST}/kubelet-serving-ca.crt",
        "kubelet-client-certificate": f"{tls}/kubelet-client.crt",
        "kubelet-client-key": f"{tls}/kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "proxy-client-cert-file": f"{tls}/front-proxy-client.crt",
        "proxy-client-key-file": f"{tls}/front-proxy-client.key",
        "requestheader-client-ca-file": f"{_TRUST}/request-header-ca.crt",
        "requestheader-allowed-names": certificates.FRONT_PROXY,
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        # Straight to pod addresses: virtual ClusterIPs mean nothing to this pod's network.
        "enable-aggregator-routing": "true",
        "service-account-issuer": names.service_account_issuer,
        "api-audiences": f"{names.service_account_issuer},https://kubernetes.default.svc.{spec.cluster_domain}",
        "service-account-key-file": f"{_TRUST}/service-account.key",
        "service-account-signing-key-file": f"{_TRUST}/service-account.key",
        "service-cluster-ip-range": certificates.service_range(spec),
        # So that any port which the host allocates is valid inside.
        "service-node-port-range": "1-65535",
        # Open watches and logs would hold a server that is to end for a minute.
        "shutdown-watch-termination-grace-period": "2s",
        "shutdown-send-retry-after": "true",
        "profiling": "false",
    }
    resources = spec.resources.server or _SIZES["kube-apiserver"]
    live = pods.http_probe(SERVER_PORT, "/livez", https=True)
    return {
        "name": "kube-apiserver",
        "image": spec.server_image,
        "command": ["kube-apiserver"],
        "args": _arguments(flags),
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *pods.go_memory_limit(resources),
        ],
        "ports": [{"name": "https", "containerPort": SERVER_PORT, "protocol": "TCP"}],
        "startupProbe": pods.startup(live, 300),
        "readinessProbe": pods.readiness(pods.http_probe(SERVER_PORT, "/readyz", https=True)),
        "livenessProbe": pods.liveness(live),
        "resources": resources,
        # The official binary carries this as a file capability and cannot be executed without it.
        "securityContext": pods.container_security(add=["NET_BIND_SERVICE"]),
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
            {"name": "server-trust", "mountPath": _TRUST, "readOnly": True},
            _tls_mount(SERVER),
        ],
    }


def _controller_manager(spec: VirtualClusterSpec) -> dict[str, Any]:
    tls = f"{TLS}/{CONTROLLER_MANAGER}"
    flags = {
        "kubeconfig": f"{tls}/kubeconfig",
        "use-service-account-credentials": "true",
        # Volumes are attached by the host.
        "controllers": "*,-persistentvolume-attach-detach-controller",
        "allocate-node-cidrs": "false",
        "leader-elect": "false" if spec.servers == 1 else "true",
        "root-ca-file": f"{_TRUST}/server-ca.crt",
        "service-account-private-key-file": f"{_TRUST}/service-account.key",
        "profiling": "false",
    }
    for signer, authority in (
        ("kube-apiserver-client", "client-ca"),
        ("kubelet-client", "client-ca"),
        ("kubelet-serving", "kubelet-serving-ca"),
    ):
        flags[f"cluster-signing-{signer}-cert-file"] = f"{_TRUST}/{authority}.crt"
        flags[f"cluster-signing-{signer}-key-file"] = f"{_TRUST}/{authority}.key"
    live = pods.http_probe(_CONTROLLER_MANAGER_PORT, "/healthz", https=True)
    return {
        "name": "kube-controller-manager",
        "image": spec.controller_manager_image,
        "command": ["kube-controller-manager"],
        "args": _arguments(flags),
        "env": pods.go_memory_limit(_SIZES["kube-controller-manager"]),
        "startupProbe": pods.startup(live, 120),
        "livenessProbe": pods.liveness(live),
        "resources": _SIZES["kube-controller-manager"],
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "controller-manager-trust", "mountPath": _TRUST, "readOnly": True},
            _tls_mount(CONTROLLER_MANAGER),
        ],
    }


def _etcd(spec: VirtualClusterSpec) -> dict[str, Any]:
    tls, peer = f"{TLS}/{ETCD}", "https://127.0.0.1:2380"
    flags = {
        "name": "$(POD_NAME)",
        "data-dir": f"{_DATA}/etcd",
        "listen-client-urls": "https://127.0.0.1:2379",
        "advertise-client-urls": "https://127.0.0.1:2379",
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"$(POD_NAME)={peer}",
        "listen-metrics-urls": f"http://0.0.0.0:{_ETCD_HEALTH_PORT}",
        "cert-file": f"{tls}/serving.crt",
        "key-file": f"{tls}/serving.key",
        "trusted-ca-file": f"{_TRUST}/etcd-ca.crt",
        "client-cert-auth": "true",
        "peer-cert-file": f"{tls}/serving.crt",
        "peer-key-file": f"{tls}/serving.key",
        "peer-trusted-ca-file": f"{_TRUST}/etcd-ca.crt",
        "peer-client-cert-auth": "true",
    }
    if spec.persistence.type == "ephemeral":
        # A crash of the process loses nothing by it, and what the node's own end would lose is not to last.
        flags["unsafe-no-fsync"] = "true"
    return {
        "name": "etcd",
        "image": spec.etcd_image,
        "restartPolicy": "Always",
        "command": ["etcd"],
        "args": _arguments(flags),
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *pods.go_memory_limit(_SIZES["etcd"]),
        ],
        "startupProbe": pods.startup(pods.http_probe(_ETCD_HEALTH_PORT, "/readyz"), 300),
        "livenessProbe": pods.liveness(pods.http_probe(_ETCD_HEALTH_PORT, "/livez")),
        "resources": _SIZES["etcd"],
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": DATA, "mountPath": _DATA},
            {"name": "etcd-trust", "mountPath": _TRUST, "readOnly": True},
            _tls_mount(ETCD),
        ],
    }


def _volumes(spec: VirtualClusterSpec) -> list[dict[str, Any]]:
    names = spec.names
    service_account = (names.service_account_key, "service.key", "service-account.key")
    server = pods.secret_files(
        (names.client_ca, "tls.crt", "client-ca.crt"),
        (names.request_header_ca, "tls.crt", "request-header-ca.crt"),
        (names.kubelet_serving_ca, "tls.crt", "kubelet-serving-ca.crt"),
        (names.etcd_ca, "tls.crt", "etcd-ca.crt"),
        service_account,
    )
    controller_manager = pods.secret_files(
        (names.server_ca, "tls.crt", "server-ca.crt"),
        (names.client_ca, "tls.crt", "client-ca.crt"),
        (names.client_ca, "tls.key", "client-ca.key"),
        (names.kubelet_serving_ca, "tls.crt", "kubelet-serving-ca.crt"),
        (names.kubelet_serving_ca, "tls.key", "kubelet-serving-ca.key"),
        service_account,
    )
    return [
        {"name": "config", "configMap": {"name": names.server}},
        certificates.authorities(spec),
        pods.memory_volume("tls", "4Mi"),
        {"name": "server-trust", **server},
        {"name": "controller-manager-trust", **controller_manager},
        {"name": "etcd-trust", **pods.secret_files((names.etcd_ca, "tls.crt", "etcd-ca.crt"))},
    ]


def _tls_mount(component: str) -> dict[str, Any]:
    """A component sees its own certificates alone, and those as a folder, where renewed files appear."""
    return {"name": "tls", "mountPath": f"{TLS}/{component}", "subPath": component, "readOnly": True}


def _arguments(flags: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _json(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"
