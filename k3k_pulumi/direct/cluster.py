"""A virtual cluster as its user sees it: endpoint, kubeconfig and a client."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kubernetes import client, config


@dataclass(frozen=True)
class Cluster:
    """A virtual cluster that answers.

    Attributes:
        name: name of the cluster.
        namespace: host namespace of its workloads.
        control_plane_namespace: host namespace of its control plane.
        endpoint: URL of its API server, as reached from here.
        kubeconfig: administrator's kubeconfig as JSON, which is YAML too; a secret.
    """

    name: str
    namespace: str
    control_plane_namespace: str
    endpoint: str
    kubeconfig: str = field(repr=False)

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="k3k-pulumi-")

    @cached_property
    def kubeconfig_path(self) -> Path:
        """The kubeconfig in a file only this user reads; it goes with this object or the process."""
        path = Path(self._folder.name) / f"{self.name}.kubeconfig"
        write_private(path, self.kubeconfig)
        return path

    def api_client(self) -> client.ApiClient:
        """A new client of the virtual cluster with an administrator's rights."""
        return config.new_client_from_config_dict(json.loads(self.kubeconfig), persist_config=False)

    def close(self) -> None:
        """Removes the kubeconfig's file, if there is one."""
        if "_folder" in self.__dict__:
            self._folder.cleanup()


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, also when it was there before with other rights."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
