"""Files and command lines of the control plane, which runs as processes of node 1."""

from __future__ import annotations

import json
from pathlib import Path

from devcluster import audit
from devcluster.config import Instance
from devcluster.pki import Pair, Pki

KUBERNETES = "/var/lib/kubernetes"  # inside a node: keys, kubeconfigs, configuration
AUDIT_LOG = "/var/log/kubernetes/audit.log"

# Without credentials nothing but health: the API server's defaults would show more, RBAC permitting.
AUTHENTICATION = {
    "apiVersion": "apiserver.config.k8s.io/v1beta1",
    "kind": "AuthenticationConfiguration",
    "anonymous": {
        "enabled": True,
        "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")],
    },
}


def write(instance: Instance, keys: Pki, folder: Path) -> None:
    """Writes what the control plane reads.

    Args:
        instance: The instance.
        keys: Its keys.
        folder: `KUBERNETES` as the machine sees it.
    """
    (folder / "audit-policy.yaml").write_text(json.dumps(audit.POLICY))
    (folder / "authentication.yaml").write_text(json.dumps(AUTHENTICATION))
    addresses = [str(family.node(1)) for family in instance.families]
    addresses += [str(family.service_api) for family in instance.families]
    names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    etcd, front = keys.etcd_ca, keys.front_proxy_ca
    pairs = [
        keys.ca,
        keys.issue(
            "apiserver",
            "kube-apiserver",
            names=[*names, "localhost", "127.0.0.1", *addresses],
            server=True,
            client=False,
        ),
        keys.issue(
            "apiserver-kubelet-client", "kube-apiserver-kubelet-client", organizations=["system:masters"]
        ),
        keys.issue("etcd", "etcd", names=["localhost", "127.0.0.1"], authority=etcd, server=True),
        keys.issue("apiserver-etcd-client", "kube-apiserver-etcd-client", authority=etcd),
        keys.issue("front-proxy-client", "front-proxy-client", authority=front),
    ]
    copy(folder, *pairs)
    for authority in (etcd, front):
        (folder / authority.crt.name).write_bytes(authority.crt.read_bytes())
    secret(folder / "service-account.key", keys.service_account.read_bytes())
    for name in ("controller-manager", "scheduler"):
        pair = keys.issue(name, f"system:kube-{name}")
        secret(folder / f"{name}.kubeconfig", keys.kubeconfig(pair).encode())


def copy(folder: Path, *pairs: Pair) -> None:
    """Copies certificates and keys into a node."""
    for pair in pairs:
        (folder / pair.crt.name).write_bytes(pair.crt.read_bytes())
        secret(folder / pair.key.name, pair.key.read_bytes())


def secret(path: Path, content: bytes) -> None:
    """Writes a file that only root can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def commands(instance: Instance) -> dict[str, list[str]]:
    """The processes, name -> command line, in the order in which they start."""
    return {
        "etcd": _etcd(),
        "kube-apiserver": _apiserver(instance),
        "kube-controller-manager": _controller_manager(instance),
        "kube-scheduler": _scheduler(),
    }


def _flags(program: str, values: dict[str, str]) -> list[str]:
    return [program, *(f"--{name}={value}" for name, value in values.items())]


def _etcd() -> list[str]:
    return _flags("etcd", {
        "data-dir": "/var/lib/etcd",
        "listen-client-urls": "https://127.0.0.1:2379",
        "advertise-client-urls": "https://127.0.0.1:2379",
        "listen-peer-urls": "http://127.0.0.1:2380",
        "client-cert-auth": "true",
        "trusted-ca-file": f"{KUBERNETES}/etcd-ca.crt",
        "cert-file": f"{KUBERNETES}/etcd.crt",
        "key-file": f"{KUBERNETES}/etcd.key",
        # Only a crash of the whole machine could lose something, and a dev cluster does not outlive that.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    })  # fmt: skip


def _apiserver(instance: Instance) -> list[str]:
    return _flags("kube-apiserver", {
        "advertise-address": str(instance.ipv4.node(1)),
        "secure-port": "6443",
        "etcd-servers": "https://127.0.0.1:2379",
        "etcd-cafile": f"{KUBERNETES}/etcd-ca.crt",
        "etcd-certfile": f"{KUBERNETES}/apiserver-etcd-client.crt",
        "etcd-keyfile": f"{KUBERNETES}/apiserver-etcd-client.key",
        "client-ca-file": f"{KUBERNETES}/ca.crt",
        "tls-cert-file": f"{KUBERNETES}/apiserver.crt",
        "tls-private-key-file": f"{KUBERNETES}/apiserver.key",
        "authentication-config": f"{KUBERNETES}/authentication.yaml",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "service-cluster-ip-range": ",".join(str(family.services) for family in instance.families),
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": f"{KUBERNETES}/service-account.key",
        "service-account-signing-key-file": f"{KUBERNETES}/service-account.key",
        "kubelet-certificate-authority": f"{KUBERNETES}/ca.crt",
        "kubelet-client-certificate": f"{KUBERNETES}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{KUBERNETES}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "requestheader-client-ca-file": f"{KUBERNETES}/front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": f"{KUBERNETES}/front-proxy-client.crt",
        "proxy-client-key-file": f"{KUBERNETES}/front-proxy-client.key",
        "audit-policy-file": f"{KUBERNETES}/audit-policy.yaml",
        "audit-log-path": AUDIT_LOG,
        "audit-log-maxsize": "200",
        "audit-log-maxbackup": "4",
    })  # fmt: skip


def _controller_manager(instance: Instance) -> list[str]:
    kubeconfig = f"{KUBERNETES}/controller-manager.kubeconfig"
    return _flags("kube-controller-manager", {
        "bind-address": "127.0.0.1",
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": f"{KUBERNETES}/ca.crt",
        "service-account-private-key-file": f"{KUBERNETES}/service-account.key",
        "cluster-signing-cert-file": f"{KUBERNETES}/ca.crt",
        "cluster-signing-key-file": f"{KUBERNETES}/ca.key",
        "cluster-cidr": ",".join(str(family.pods) for family in instance.families),
        "service-cluster-ip-range": ",".join(str(family.services) for family in instance.families),
        # The nodes' pod ranges are part of the address plan (config.py), as are the routes to them.
        "allocate-node-cidrs": "false",
    })  # fmt: skip


def _scheduler() -> list[str]:
    kubeconfig = f"{KUBERNETES}/scheduler.kubeconfig"
    return _flags("kube-scheduler", {
        "bind-address": "127.0.0.1",
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
    })  # fmt: skip
