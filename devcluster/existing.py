"""A host cluster that is there already, named by KUBECONFIG. It is checked, used, and left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devcluster import kubectl, shell
from devcluster.config import Instance
from devcluster.errors import DevclusterError
from devcluster.host import Status
from devcluster.progress import Progress


class Existing:
    """An instance that only points at a cluster of somebody else's."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def up(self, progress: Progress, *, restart: bool) -> None:
        """Copies the current context of KUBECONFIG and checks that the cluster answers."""
        if restart:
            raise DevclusterError("--restart: the nodes of an existing cluster are not ours to start anew")
        program = kubectl.ensure(progress)
        try:
            if not self.instance.kubeconfig.exists() or os.environ.get("KUBECONFIG"):
                self._take_over(program)
            with progress.step("Existing cluster") as step:
                ready = [node for node in self._nodes(program) if _ready(node)]
                if not ready:
                    raise DevclusterError("the existing cluster has no node that is Ready")
                versions = sorted({node["status"]["nodeInfo"]["kubeletVersion"] for node in ready})
                step.result = f"{len(ready)} nodes ready, Kubernetes {', '.join(versions)}"
        except DevclusterError:
            shutil.rmtree(self.instance.folder)
            raise

    def _take_over(self, program: Path) -> None:
        """Keeps a copy that holds everything itself: the user's may change its current context."""
        content = shell.attempt(program, "config", "view", "--flatten", "--minify", "--raw")
        if content.returncode:
            raise DevclusterError(
                "--host existing: KUBECONFIG names no usable context: "
                f"{content.stderr.strip()}; export KUBECONFIG=/path/to/kubeconfig"
            )
        self.instance.kubeconfig.touch(mode=0o600)
        self.instance.kubeconfig.write_text(content.stdout)

    def _nodes(self, program: Path) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = kubectl.get(program, self.instance.kubeconfig, "nodes")["items"]
        return nodes

    def down(self, progress: Progress) -> None:
        """Forgets the cluster, which stays as it is."""
        with progress.step(f"Forget {self.instance.name}; the cluster itself stays"):
            shutil.rmtree(self.instance.folder)

    def load(self, files: Sequence[Path]) -> None:
        """Refused: there is no common way into another cluster's nodes."""
        raise DevclusterError(
            f"{', '.join(path.name for path in files)} cannot be loaded into an existing cluster; push them "
            "to a registry it pulls from, or use its own means (minikube image load, k3s ctr images import)"
        )

    def status(self) -> Status:
        """What its API server says."""
        nodes = self._nodes(kubectl.ensure(Progress(quiet=True)))
        return Status(
            up=any(_ready(node) for node in nodes),
            lines=[
                ("host", "an existing cluster, left alone"),
                ("nodes", ", ".join(node["metadata"]["name"] for node in nodes)),
                ("kubeconfig", str(self.instance.kubeconfig)),
            ],
        )

    def audit_log(self) -> Path:
        """Refused: it belongs to the cluster's owner."""
        raise DevclusterError(f"{self.instance.name!r} is an existing cluster; its audit log is its owner's")


def _ready(node: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
