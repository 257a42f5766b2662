"""A host without nodes: namespaces that come and go, and users with a few rights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubelet.tests.controlplane import ControlPlane
from tests.e2e.support.polling import eventually
from tests.e2e.support.raw import Raw

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class Host:
    """The API server and who asks it."""

    plane: ControlPlane
    api: Raw

    @property
    def admin(self) -> Path:
        """The administrator's kubeconfig."""
        return self.plane.pki / "admin.kubeconfig"

    def namespace(self, name: str, **labels: str) -> str:
        self.api("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        return name

    def namespaces(self) -> set[str]:
        return {each["metadata"]["name"] for each in self.api("GET", "/api/v1/namespaces")["items"]}

    def deployer(self, name: str, rules: Sequence[Mapping[str, Any]]) -> Path:
        """The kubeconfig of a ServiceAccount that has these rights everywhere, and no other.

        Args:
            name: Unique on the host.
            rules: As of a ClusterRole; the last verb of the last one is waited for.
        """
        self.api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
        self.api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
        subject = {"kind": "ServiceAccount", "namespace": "default", "name": name}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        self.api("POST", f"{RBAC}/clusterrolebindings", binding)
        last = rules[-1]
        wanted = {
            "group": last["apiGroups"][-1],
            "resource": last["resources"][-1],
            "verb": last["verbs"][-1],
        }
        eventually(lambda: self.plane.may(f"system:serviceaccount:default:{name}", **wanted))
        return self.kubeconfig(name, self.plane.port, self.plane.kubectl("create", "token", name))

    def kubeconfig(self, name: str, port: int, token: str = "") -> Path:
        """A kubeconfig: of a token, for what listens on a port of this machine."""
        path = self.plane.directory / f"{name}.kubeconfig"
        ca = str(self.plane.pki / "server-ca.crt")
        where = {"server": f"https://127.0.0.1:{port}", "certificate-authority": ca}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": where}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        path.write_text(json.dumps(document))
        return path


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    plane = ControlPlane(tmp_path_factory.mktemp("host"), controllers=["namespace-controller"])
    try:
        plane.start()
        yield Host(plane, Raw(plane.pki / "admin.kubeconfig"))
    finally:
        plane.stop()
