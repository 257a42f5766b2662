"""A host cluster made by kind, where a Docker engine runs. UNTESTED until somebody has run it there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devcluster import archives, audit, config, golang, kubectl, packages, shell
from devcluster.config import Instance
from devcluster.errors import DevclusterError
from devcluster.host import Status
from devcluster.progress import Progress

NODE_IMAGE = f"kindest/node:{config.KUBERNETES}"
LOG_FOLDER = "/var/log/kubernetes"  # inside the control plane's node
POLICY_FILE = "/etc/kubernetes/audit-policy.yaml"


class Kind:
    """An instance made by kind: the same interface, kind's own storage class and NetworkPolicies."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.cluster = f"k3k-{instance.name}"

    def up(self, progress: Progress, *, restart: bool) -> None:
        """Makes the cluster unless it is there; `restart` makes it anew."""
        program = _program(progress)
        kubectl.ensure(progress)
        if restart:
            shell.run(program, "delete", "cluster", "--name", self.cluster)
        if self.cluster not in shell.run(program, "get", "clusters").split():
            with progress.step(f"kind: {self.cluster}, {self.instance.nodes} nodes"):
                self._create(program)
        self.instance.kubeconfig.touch(mode=0o600)
        self.instance.kubeconfig.write_text(shell.run(program, "get", "kubeconfig", "--name", self.cluster))
        self._route_cluster_ips(program)
        files = archives.extra()
        if files:
            with progress.step("Images"):
                self.load(files)

    def _create(self, program: Path) -> None:
        folder = self.instance.folder
        (folder / "audit").mkdir(parents=True, exist_ok=True)
        (folder / "audit-policy.yaml").write_text(json.dumps(audit.POLICY))
        settings = folder / "kind.yaml"
        settings.write_text(json.dumps(self._settings(), indent=2))
        shell.run(
            program, "create", "cluster", "--name", self.cluster, "--config", settings,
            "--kubeconfig", self.instance.kubeconfig, "--wait", "5m",
        )  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        families = self.instance.families
        patch = {
            "kind": "ClusterConfiguration",
            "apiServer": {
                "extraArgs": {
                    "audit-policy-file": POLICY_FILE,
                    "audit-log-path": f"{LOG_FOLDER}/audit.log",
                },
                "extraVolumes": [
                    {
                        "name": "audit-policy",
                        "hostPath": POLICY_FILE,
                        "mountPath": POLICY_FILE,
                        "readOnly": True,
                    },
                    {"name": "audit-logs", "hostPath": LOG_FOLDER, "mountPath": LOG_FOLDER},
                ],
            },
        }
        kubelet = {"kind": "KubeletConfiguration", "maxPods": config.PODS_PER_NODE}
        server: dict[str, Any] = {
            "role": "control-plane",
            "extraMounts": [
                {"hostPath": f"{self.instance.folder}/audit", "containerPath": LOG_FOLDER},
                {"hostPath": f"{self.instance.folder}/audit-policy.yaml", "containerPath": POLICY_FILE},
            ],
        }
        workers: list[dict[str, Any]] = [{"role": "worker"}] * (self.instance.nodes - 1)
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {
                "ipFamily": "dual" if self.instance.ipv6 else "ipv4",
                "podSubnet": ",".join(str(family.pods) for family in families),
                "serviceSubnet": ",".join(str(family.services) for family in families),
            },
            "kubeadmConfigPatches": [json.dumps(patch), json.dumps(kubelet)],
            "nodes": [{**each, "image": NODE_IMAGE} for each in (server, *workers)],
        }

    def _route_cluster_ips(self, program: Path) -> None:
        """The machine's way to ClusterIPs and pods: through the control plane's node."""
        nodes = shell.run(program, "get", "nodes", "--name", self.cluster).split()
        first = next(node for node in nodes if node.endswith("control-plane"))
        networks = json.loads(shell.run("docker", "inspect", first))[0]["NetworkSettings"]["Networks"]
        gateway = networks["kind"]["IPAddress"]
        for target in (self.instance.ipv4.services, self.instance.ipv4.pods):
            shell.run("ip", "route", "replace", str(target), "via", gateway)

    def down(self, progress: Progress) -> None:
        """Removes the cluster and the machine's routes to it."""
        program = _program(progress)
        with progress.step(f"Remove {self.instance.name}"):
            shell.run(program, "delete", "cluster", "--name", self.cluster)
            for target in (self.instance.ipv4.services, self.instance.ipv4.pods):
                shell.attempt("ip", "route", "delete", str(target))
            shutil.rmtree(self.instance.folder)

    def load(self, files: Sequence[Path]) -> None:
        """Loads image archives into every node."""
        program = _program(Progress(quiet=True))
        for archive in files:
            shell.run(program, "load", "image-archive", "--name", self.cluster, archive)

    def status(self) -> Status:
        """What kind and the API server say."""
        nodes = kubectl.get(kubectl.ensure(Progress(quiet=True)), self.instance.kubeconfig, "nodes")["items"]
        return Status(
            up=bool(nodes),
            lines=[
                ("host", f"kind cluster {self.cluster} (untested)"),
                ("nodes", ", ".join(node["metadata"]["name"] for node in nodes)),
                ("kubeconfig", str(self.instance.kubeconfig)),
                ("audit log", str(self.audit_log())),
            ],
        )

    def audit_log(self) -> Path:
        """The API server's audit log."""
        return self.instance.folder / "audit/audit.log"


def _program(progress: Progress) -> Path:
    """The `kind` program: the machine's, else built from its Go module."""
    if not shell.works("docker", "info"):
        raise DevclusterError(
            "--host kind needs a Docker engine, and `docker info` fails; start it, or use --host parts"
        )
    packages.ensure([packages.Needed("iproute2", "ip")], progress)
    found = shutil.which("kind")
    return Path(found) if found else golang.build(golang.KIND, progress) / "kind"
