"""What the kubelet image issues or copies in a server pod: the specs of `k3k-kubelet certificates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import pods
from k3k_pulumi.manifests.services import SERVER_PORT
from k3k_pulumi.model import networks

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

TLS = "/run/k3k/tls"
"""Where issued certificates lie: a folder for each component of the pod."""
SERVER, CONTROLLER_MANAGER, ETCD = "kube-apiserver", "kube-controller-manager", "etcd"
FRONT_PROXY = "front-proxy-client"
API_ADDRESS = "API_SERVICE_HOST"
"""Environment variable of the containers here with the ClusterIP of the API's Service."""
AUTHORITIES = "authorities"
"""Name of the volume with the CAs."""

_AUTHORITIES_FOLDER = "/etc/k3k/authorities"
_SPEC = "/etc/k3k/certificates"
_ROOT_CA = "/etc/k3k/trust/server-ca.crt"
"""The server CA as kube-controller-manager's container sees it."""
_K3S_AUTHORITIES = ("server-ca", "client-ca", "request-header-ca")
_SIZES = pods.sizes("10m", "32Mi", "128Mi")

_WIDEST = 12
"""Prefix of the largest IPv4 range that every kube-apiserver takes for Services."""
_SERVICE_CIDRS_SINCE = 33
"""First minor version of Kubernetes whose ranges for Services can grow at run time (KEP-1880)."""


def kubernetes(spec: VirtualClusterSpec) -> dict[str, Any]:
    """The spec for the distribution `kubernetes`: every leaf certificate of the pod."""
    server, manager = f"{TLS}/{SERVER}", f"{TLS}/{CONTROLLER_MANAGER}"
    dns_names, ip_addresses = serving_names(spec, f"${API_ADDRESS}")
    return {
        "addresses": [_service_address(spec)],
        "certificates": [
            certificate(
                "server",
                f"{server}/serving",
                "server-ca",
                "kube-apiserver",
                ["server"],
                dns_names=dns_names,
                ip_addresses=ip_addresses,
            ),
            certificate(
                "kubelet-client",
                f"{server}/kubelet-client",
                "client-ca",
                "kube-apiserver-kubelet-client",
                ["client"],
                # Kubelets of real machines ask the API whether their caller may: this group always may.
                organizations=["system:masters"],
            ),
            certificate(
                "front-proxy", f"{server}/front-proxy-client", "request-header-ca", FRONT_PROXY, ["client"]
            ),
            certificate("etcd-client", f"{server}/etcd-client", "etcd-ca", "kube-apiserver", ["client"]),
            certificate(
                "etcd",
                f"{TLS}/{ETCD}/serving",
                "etcd-ca",
                "etcd",
                ["server", "client"],
                dns_names=["localhost"],
                ip_addresses=["127.0.0.1"],
            ),
            certificate(
                "controller-manager",
                f"{manager}/client",
                "client-ca",
                "system:kube-controller-manager",
                ["client"],
            ),
        ],
        "kubeconfigs": [
            {
                "out": f"{manager}/kubeconfig",
                "server": f"https://127.0.0.1:{SERVER_PORT}",
                "ca_certificate": _ROOT_CA,
                "certificate": f"{manager}/client.crt",
                "key": f"{manager}/client.key",
            }
        ],
    }


def k3s(spec: VirtualClusterSpec, target: str) -> dict[str, Any]:
    """The spec for the distribution `k3s`: real files in `target`, where K3s writes its own too.

    A certificate without its key would be replaced by one of K3s' own without a word, so pairs are whole.
    """
    names = [f"{authority}.{kind}" for authority in _K3S_AUTHORITIES for kind in ("crt", "key")]
    names.append("service.key")
    copies = [copied(name, f"{target}/{name}") for name in names]
    return {"addresses": [_service_address(spec)], "copy": copies}


def service_range(spec: VirtualClusterSpec) -> str:
    """The range of the API server's Services, as a flag of its container.

    Services have the addresses of the host's. By default it is the largest block that an API server takes
    around one of these: the host's own range, which is no larger, lies in it.
    """
    if spec.service_cidr is not None:
        return str(spec.service_cidr)
    return f"$({spec.names.api_host_variable})/{_WIDEST}"


def _service_address(spec: VirtualClusterSpec) -> dict[str, str]:
    """What has to be so of the host's Services for this range, and what to tell where it is not."""
    cidr, found = spec.service_cidr, "{address}, an address of the host's Services,"
    if cidr is None:
        within = "0.0.0.0/0"
        fix = "is none of IPv4: set it to the host's range of Services, /108 at most"
    elif spec.version.minor >= _SERVICE_CIDRS_SINCE:
        within = "0.0.0.0/0" if cidr.version == 4 else "::/0"
        fix = f"is of another IP family than {cidr}: leave service_cidr out, or set it to the host's range"
    else:
        within = str(cidr)
        fix = f"is not in {cidr}: leave service_cidr out, or set it to the host's range of Services"
    return {"address": f"${API_ADDRESS}", "within": within, "otherwise": f"service_cidr: {found} {fix}"}


def issuing_containers(spec: VirtualClusterSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """The init container that issues all certificates of a pod, and the container that renews them."""
    issue = _container(spec, {"name": "tls", "mountPath": TLS})
    return issue, {**issue, "name": "certificates-renewal", "args": [*issue["args"], "--watch"]}


def copying_container(spec: VirtualClusterSpec, target: dict[str, Any]) -> dict[str, Any]:
    """The init container that copies the CAs into a volume; `target` is its mount."""
    return _container(spec, target)


def authorities(spec: VirtualClusterSpec) -> dict[str, Any]:
    """The volume with the CAs and their keys, for the containers above alone."""
    names = spec.names
    secrets = {
        "server-ca": names.server_ca,
        "client-ca": names.client_ca,
        "request-header-ca": names.request_header_ca,
    }
    if spec.distribution == "kubernetes":
        secrets["etcd-ca"] = names.etcd_ca
    files = [
        (secret, f"tls.{kind}", f"{authority}.{kind}")
        for authority, secret in secrets.items()
        for kind in ("crt", "key")
    ]
    if spec.distribution == "k3s":
        files.append((names.service_account_key, "service.key", "service.key"))
    return {"name": AUTHORITIES, **pods.secret_files(*files)}


def serving_names(spec: VirtualClusterSpec, api_address: str) -> tuple[list[str], list[str]]:
    """DNS names and addresses of the API server, by which pods, components and users call it.

    Args:
        spec: The cluster.
        api_address: The environment variable with the API Service's ClusterIP, as its reader writes it.
    """
    api, namespace = spec.names.api, spec.control_plane_namespace
    dns_names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    dns_names.append(f"kubernetes.default.svc.{spec.cluster_domain}")
    dns_names += [api, f"{api}.{namespace}", f"{api}.{namespace}.svc"]
    ip_addresses = ["127.0.0.1", api_address]
    if spec.service_cidr is not None:
        # That of `default/kubernetes` until the kubelet has given it the one that leads here.
        ip_addresses.append(str(spec.service_cidr[1]))
    host = spec.expose.host
    if host is not None:
        (ip_addresses if networks.is_address(host) else dns_names).append(host)
    return dns_names, ip_addresses


def _container(spec: VirtualClusterSpec, target: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "certificates",
        "image": spec.kubelet_image,
        "args": ["certificates", "--spec", f"{_SPEC}/certificates.json"],
        "env": [{"name": API_ADDRESS, "value": f"$({spec.names.api_host_variable})"}],
        "resources": _SIZES,
        # So that who looks at the pod reads why it does not start.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": _SPEC, "readOnly": True},
            {"name": AUTHORITIES, "mountPath": _AUTHORITIES_FOLDER, "readOnly": True},
            target,
        ],
    }


def copied(name: str, target: str) -> dict[str, str]:
    """An entry of a spec: a file of the volume with the CAs, and where it is copied to."""
    return {"from": f"{_AUTHORITIES_FOLDER}/{name}", "to": target}


def certificate(
    name: str, out: str, authority: str, common_name: str, usages: list[str], **rest: list[str]
) -> dict[str, Any]:
    """An entry of a spec: a certificate of a year; `authority` is the name of a CA's files."""
    return {
        "name": name,
        "out": out,
        "ca_certificate": f"{_AUTHORITIES_FOLDER}/{authority}.crt",
        "ca_key": f"{_AUTHORITIES_FOLDER}/{authority}.key",
        "common_name": common_name,
        "usages": usages,
        "days": 365,
        **rest,
    }
