"""A virtual cluster and a host, both real API servers, and the kubelet as a process between them.

The host has no nodes: the tests are its scheduler and kubelets. What nodes do with pods is tested end to end.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kubelet.tests.controlplane import ADDRESS, ControlPlane, free_ports

CLUSTER, NAMESPACE, CONTROL_PLANE = "vc", "tenant", "tenant-vc-control-plane"
PORTS = 50
"""Of the Nodes of one kubelet, at most."""
DNS_HOST = "10.43.0.10"
"""Address of the virtual cluster's DNS, in its range of Services."""

_RULES_NAMESPACE = [
    {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods/ephemeralcontainers", "pods/resize"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {
        "apiGroups": [""],
        "resources": ["pods/exec", "pods/attach", "pods/portforward"],
        "verbs": ["get", "create"],
    },
    {
        "apiGroups": [""],
        "resources": ["configmaps", "secrets"],
        "verbs": ["get", "list", "watch", "create", "update", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["list", "watch"]},
    {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": ["list"]},
    *(
        {
            "apiGroups": [group],
            "resources": [resource],
            "verbs": ["get", "list", "watch", "delete", "create", "patch"],
        }
        for group, resource in (
            ("", "services"),
            ("discovery.k8s.io", "endpointslices"),
            ("", "persistentvolumeclaims"),
            ("networking.k8s.io", "ingresses"),
            ("gateway.networking.k8s.io", "httproutes"),
            ("policy", "poddisruptionbudgets"),
            ("networking.k8s.io", "networkpolicies"),
        )
    ),
]
"""Those of a policy that has every kind copied."""
_RULES_CLASSES = [
    {"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]}
    for group, resource in (
        ("storage.k8s.io", "storageclasses"),
        ("networking.k8s.io", "ingressclasses"),
        ("scheduling.k8s.io", "priorityclasses"),
    )
]
_RULES_CONTROL_PLANE = [
    {
        "apiGroups": [""],
        "resources": ["services"],
        "resourceNames": [f"{CLUSTER}-kubelet"],
        "verbs": ["get", "patch"],
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [f"{CLUSTER}-kubelet"],
        "verbs": ["get", "update", "patch"],
    },
]


def _object(kind: str, name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    version = "rbac.authorization.k8s.io/v1" if "Role" in kind else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _host_objects(*, mirror_host_nodes: bool) -> list[dict[str, Any]]:
    """What the library would have made on the host."""
    kubelet = f"{CLUSTER}-kubelet"
    subject = {"kind": "ServiceAccount", "name": kubelet, "namespace": CONTROL_PLANE}
    objects = [_object("Namespace", name) for name in (NAMESPACE, CONTROL_PLANE)]
    for namespace, rules in ((NAMESPACE, _RULES_NAMESPACE), (CONTROL_PLANE, _RULES_CONTROL_PLANE)):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": kubelet}
        objects += [
            _object("Role", kubelet, namespace, rules=rules),
            _object("RoleBinding", kubelet, namespace, roleRef=reference, subjects=[subject]),
        ]
    name = f"k3k-pulumi:{CONTROL_PLANE}:{CLUSTER}"
    nodes = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    objects += [
        _object("ClusterRole", name, rules=[*_RULES_CLASSES, *([nodes] if mirror_host_nodes else [])]),
        _object("ClusterRoleBinding", name, roleRef=reference, subjects=[subject]),
    ]
    anchor = _object("ConfigMap", f"{CLUSTER}-anchor", NAMESPACE)
    anchor["metadata"]["labels"] = {"k3k-pulumi.io/cluster": CLUSTER}
    port = {"name": "node-0", "port": 12000, "targetPort": 12000}
    return [
        *objects,
        _object("ServiceAccount", kubelet, CONTROL_PLANE),
        _object("ServiceAccount", f"{CLUSTER}-workload", NAMESPACE),
        anchor,
        _object("Service", kubelet, CONTROL_PLANE, spec={"ports": [port]}),
        _object("Service", f"{CLUSTER}-api", CONTROL_PLANE, spec={"ports": [{"port": 443}]}),
    ]


def _range_of_ports() -> socket.socket:
    """Takes a range of ports for Nodes that no other kubelet of this machine's tests has.

    Returns:
        What holds its last port, and the range with it, until it is closed.
    """
    for last in range(12000 + PORTS - 1, 32000, PORTS):
        held = socket.socket()
        try:
            held.bind((ADDRESS, last))
        except OSError:
            held.close()
        else:
            return held
    raise RuntimeError("no range of ports is free")


class Clusters:
    """The two clusters and the kubelet's process.

    Args:
        directory: An empty folder.
        virtual_flags: Further flags of the virtual kube-apiserver.
        mirror_host_nodes: Whether the kubelet may read the host's Nodes, and shows them.
    """

    def __init__(
        self, directory: Path, virtual_flags: Sequence[str] = (), *, mirror_host_nodes: bool = False
    ) -> None:
        self.directory = directory
        self.mirror_host_nodes = mirror_host_nodes
        (directory / "host").mkdir()
        (directory / "virtual").mkdir()
        # Without nodes on the host, its pod GC would delete every pod that the tests have scheduled. Where
        # tests make Nodes, they say what its node lifecycle controller would find.
        host = (
            "*",
            "-persistentvolume-attach-detach-controller",
            "-pod-garbage-collector-controller",
            "-node-lifecycle-controller",
            "-taint-eviction-controller",
        )
        self.host = ControlPlane(directory / "host", controllers=host)
        virtual = ("*", "-persistentvolume-attach-detach-controller")
        self.virtual = ControlPlane(
            directory / "virtual",
            controllers=virtual,
            api_server_flags=["--disable-admission-plugins=PersistentVolumeClaimResize", *virtual_flags],
        )
        self.health_port, self.extension_port = free_ports(2)
        self._ports = _range_of_ports()
        self.first_port = self._ports.getsockname()[1] - PORTS + 1
        self.kubelet: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts both control planes and makes what the kubelet needs; not the kubelet."""
        self.host.start()
        self.virtual.start()
        self.host.kubectl(
            "apply", "-f", "-", stdin=_json_list(_host_objects(mirror_host_nodes=self.mirror_host_nodes))
        )
        self._write_files()

    def stop(self) -> None:
        """Ends everything."""
        self.stop_kubelet(signal.SIGKILL)
        self.virtual.stop()
        self.host.stop()
        self._ports.close()

    def environment(self) -> dict[str, str]:
        """Variables of the kubelet's process."""
        return {
            **os.environ,
            "KUBERNETES_SERVICE_HOST": ADDRESS,
            "KUBERNETES_SERVICE_PORT": str(self.host.port),
            "K3K_API_HOST": ADDRESS,
            "K3K_API_PORT": str(self.virtual.port),
            "K3K_DNS_HOST": DNS_HOST,
            "POD_NAME": "kubelet-0",
        }

    def kubelet_command(self) -> list[str]:
        """Command line of the kubelet's process."""
        return [sys.executable, "-m", "k3k_kubelet", "run", "--config", str(self.directory / "config.json")]

    def start_kubelet(self) -> None:
        """Starts the kubelet's process."""
        with (self.directory / "kubelet.log").open("ab") as log:
            self.kubelet = subprocess.Popen(self.kubelet_command(), env=self.environment(), stderr=log)

    def stop_kubelet(self, number: int = signal.SIGTERM) -> int | None:
        """Ends the kubelet's process by a signal; returns its exit code."""
        if self.kubelet is None:
            return None
        self.kubelet.send_signal(number)
        code = self.kubelet.wait(timeout=60)
        self.kubelet = None
        return code

    def set_policy(self, *, sync: dict[str, Any] | None = None, **pods: Any) -> None:
        """Writes the tenant's policy: what it has below `pods` and `sync`."""
        file = self.directory / "policy" / "policy.json"
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps({"apiVersion": "k3k-pulumi.io/v1", "pods": pods, "sync": sync or {}}))
        temporary.replace(file)

    @property
    def api_address(self) -> str:
        """The ClusterIP of the virtual API server's Service, to which nothing answers."""
        service = ("-n", CONTROL_PLANE, "get", "service", f"{CLUSTER}-api")
        return self.host.kubectl(*service, "-o", "jsonpath={.spec.clusterIP}")

    def log(self) -> str:
        """What the kubelet has logged."""
        return (self.directory / "kubelet.log").read_text()

    def _write_files(self) -> None:
        folders = {name: self.directory / name for name in ("tls", "policy", "run", "credentials")}
        for folder in folders.values():
            folder.mkdir()
        files = ["client-ca.key", "kubelet-serving-ca.key"]
        files += [f"{name}-ca.crt" for name in ("server", "client", "kubelet-serving", "request-header")]
        for name in files:
            shutil.copy(self.virtual.pki / name, folders["tls"] / name)
        shutil.copy(self.host.pki / "server-ca.crt", folders["credentials"] / "ca.crt")
        account = f"{CLUSTER}-kubelet"
        token = self.host.kubectl("-n", CONTROL_PLANE, "create", "token", account, "--duration=24h")
        (folders["credentials"] / "token").write_text(token)
        self.set_policy()
        config = {
            "cluster": CLUSTER,
            "namespace": NAMESPACE,
            "controlPlaneNamespace": CONTROL_PLANE,
            "anchor": f"{CLUSTER}-anchor",
            "service": account,
            "lease": account,
            "serviceAccount": f"{CLUSTER}-workload",
            "clusterDomain": "cluster.local",
            "version": "v1.34.4",
            "deniedCidrs": ["10.0.0.0/8", "fc00::/7"],
            "paths": {name: str(folder) for name, folder in folders.items()},
            "healthPort": self.health_port,
            "extensionPort": self.extension_port,
            "extensionAddress": ADDRESS,
            "apiAddress": self.api_address,
            "admissionSeconds": 8,  # longer than a busy machine holds up whoever has just been answered
            "firstPort": self.first_port,
            "unusedNodeSeconds": 5,
            "mirrorHostNodes": self.mirror_host_nodes,
        }
        (self.directory / "config.json").write_text(json.dumps(config))


@contextlib.contextmanager
def started(directory: Path, **options: Any) -> Iterator[Clusters]:
    """The two clusters and the kubelet for as long as the block runs; arguments are those of Clusters."""
    both = Clusters(directory, **options)
    try:
        both.start()
        both.start_kubelet()
        yield both
    finally:
        both.stop()


def _json_list(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def decoded(data: dict[str, str]) -> dict[str, str]:
    """A Secret's data in clear."""
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
