"""Files and command lines of what every node runs: containerd, kubelet, kube-proxy, NetworkPolicies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from devcluster.config import PODS_PER_NODE, Instance
from devcluster.control_plane import KUBERNETES, copy, secret
from devcluster.pki import Pki

PAUSE = "registry.k8s.io/pause:3.10.1"
RUNTIME_SOCKET = "/run/containerd/containerd.sock"
POLICY_SOCKET = "/run/network-policy.sock"
CNI_PROGRAMS = "/var/lib/cni/bin"
CNI_CONFIG = "/var/lib/cni/net.d"
DEBIAN_CNI = Path("/usr/lib/cni")


def write(instance: Instance, keys: Pki, index: int, var: Path, *, snapshotter: str) -> None:
    """Writes what the processes of node `index` read.

    Args:
        instance: The instance.
        keys: Its keys.
        index: The node's number, counted from 1.
        var: The node's /var as the machine sees it.
        snapshotter: containerd's, `overlayfs` or `native`.
    """
    node = instance.node_names[index - 1]
    folder = var / KUBERNETES.removeprefix("/var/")
    addresses = [str(family.node(index)) for family in instance.families]
    pair = keys.issue(
        node, f"system:node:{node}", organizations=["system:nodes"], names=[node, *addresses], server=True
    )
    copy(folder, pair)
    (folder / "ca.crt").write_bytes(keys.ca.crt.read_bytes())
    identities = {
        "kubelet": pair,
        "kube-proxy": keys.issue("kube-proxy", "system:kube-proxy"),
        "network-policy": keys.issue("network-policy", "devcluster:network-policy"),
    }
    for name, identity in identities.items():
        secret(folder / f"{name}.kubeconfig", keys.kubeconfig(identity).encode())
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(instance, node), indent=2))
    (folder / "kube-proxy.yaml").write_text(json.dumps(_kube_proxy(node), indent=2))
    (folder / "containerd.toml").write_text(_containerd(snapshotter))
    (folder / "resolv.conf").write_text(resolv_conf())
    _write_cni(instance, index, var)


def commands(instance: Instance, index: int) -> dict[str, list[str]]:
    """The processes, name -> command line, in the order in which they start."""
    node = instance.node_names[index - 1]
    addresses = ",".join(str(family.node(index)) for family in instance.families)
    found = {
        "containerd": ["containerd", "--config", f"{KUBERNETES}/containerd.toml"],
        "network-policy": [
            "network-policy",
            f"--kubeconfig={KUBERNETES}/network-policy.kubeconfig",
            f"--node={node}",
            f"--cni-socket={POLICY_SOCKET}",
        ],
        "kubelet": [
            "kubelet",
            f"--config={KUBERNETES}/kubelet.yaml",
            f"--kubeconfig={KUBERNETES}/kubelet.kubeconfig",
            f"--hostname-override={node}",
            f"--node-ip={addresses}",
        ],
        "kube-proxy": ["kube-proxy", f"--config={KUBERNETES}/kube-proxy.yaml"],
    }
    if not instance.network_policies:
        del found["network-policy"]
    return found


def _kubelet(instance: Instance, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{KUBERNETES}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{KUBERNETES}/{node}.crt",
        "tlsPrivateKeyFile": f"{KUBERNETES}/{node}.key",
        "containerRuntimeEndpoint": f"unix://{RUNTIME_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{instance.cgroup}/{node}/pods",
        "failSwapOn": False,
        "clusterDNS": [str(family.service_dns) for family in instance.families],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{KUBERNETES}/resolv.conf",
        "maxPods": PODS_PER_NODE,
        "podPidsLimit": -1,
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # The machine's disk is shared; only a full one is the nodes' business.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Loaded images cannot be pulled again: never collect them.
        "imageGCHighThresholdPercent": 100,
    }


def _kube_proxy(node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node,
        "clientConnection": {"kubeconfig": f"{KUBERNETES}/kube-proxy.kubeconfig"},
        # Connection tracking limits belong to the machine.
        "conntrack": {"maxPerCore": 0},
        # No clusterCIDR: nothing is masqueraded on its way to a ClusterIP (see network.py).
    }


def _containerd(snapshotter: str) -> str:
    # Format 2 is read by Debian's containerd 1.6 and by containerd 2 alike.
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "{RUNTIME_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Without CAP_SYS_RESOURCE (a machine that is itself a sandbox) lower values than the own cannot be set.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{CNI_CONFIG}"
"""


def _write_cni(instance: Instance, index: int, var: Path) -> None:
    programs = var / CNI_PROGRAMS.removeprefix("/var/")
    programs.mkdir(parents=True, exist_ok=True)
    links = {path.name: path for path in DEBIAN_CNI.iterdir()}
    links["network-policy"] = Path("/opt/kubernetes/bin/cni")
    for name, target in links.items():
        if not (programs / name).is_symlink():
            (programs / name).symlink_to(target)
    everywhere = {4: "0.0.0.0/0", 6: "::/0"}
    chain: dict[str, Any] = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                # Not a bridge: so that pods of one node, too, reach each other through the forward hook,
                # where NetworkPolicies are enforced.
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni/networks",
                    "ranges": [[{"subnet": str(family.pod_range(index))}] for family in instance.families],
                    "routes": [{"dst": everywhere[family.pods.version]} for family in instance.families],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "network-policy", "socket": POLICY_SOCKET},
        ],
    }
    if not instance.network_policies:
        chain["plugins"].pop()  # a pod would wait for its rules
    config = var / CNI_CONFIG.removeprefix("/var/")
    config.mkdir(parents=True, exist_ok=True)
    (config / "10-pods.conflist").write_text(json.dumps(chain, indent=2))


def resolv_conf() -> str:
    """The machine's resolver configuration with name servers that pods can reach, too."""
    # systemd-resolved's stub listens on a loopback address; the file beside it names the real servers.
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if not path.exists():
            continue
        text = path.read_text()
        servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
        if servers and not all(server.startswith("127.") or server == "::1" for server in servers):
            return text
    return ""
