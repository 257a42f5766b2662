"""A real device plugin on the host's nodes (devcluster/tools/device-plugin)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devcluster.devices import IMAGE
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually
from tests.run import locked

NAMESPACE = "k3k-tests-devices"
RESOURCE = "example.com/gpu"
VARIABLE = "GPU_DEVICES"
"""The variable in which a container finds the names of its devices; each is a file in /dev, too."""
PER_NODE = 2
SOCKETS = "/var/lib/kubelet/device-plugins"


def shared_devices(folder: Path, host: Path) -> None:
    """Has every node of the host advertise devices; whoever comes first starts the plugin.

    Args:
        folder: the run's.
        host: kubeconfig of the host cluster.
    """
    kubectl = Kubectl(host, NAMESPACE)
    with locked(folder, "device-plugin"):
        made = folder / "device-plugin"
        if not made.exists():
            made.write_text(str(host))
            kubectl.apply(*_manifests())

    def advertised() -> bool:
        found = {
            node["metadata"]["name"]: node["status"]["allocatable"].get(RESOURCE)
            for node in kubectl.get("nodes")
        }
        assert set(found.values()) == {str(PER_NODE)}, found
        return True

    eventually(advertised)


def remove(folder: Path) -> None:
    """Removes what `shared_devices` made. Nodes say then that they have none of the resource."""
    made = folder / "device-plugin"
    if made.exists():
        Kubectl(Path(made.read_text()))("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=120)


def _manifests() -> list[dict[str, Any]]:
    labels = {"app": "device-plugin"}
    container = {
        "name": "device-plugin",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [f"-resource={RESOURCE}", f"-devices={PER_NODE}", f"-folder={SOCKETS}"],
        "volumeMounts": [{"name": "sockets", "mountPath": SOCKETS}],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "device-plugin", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "automountServiceAccountToken": False,
                        "terminationGracePeriodSeconds": 1,
                        "containers": [container],
                        "volumes": [{"name": "sockets", "hostPath": {"path": SOCKETS}}],
                    },
                },
            },
        },
    ]
