"""A real API server with admission policies in force: no nodes, pods are created by dry runs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from k3k_pulumi.manifests.policy.admission import admission_policy
from k3k_pulumi.model import VirtualClusterPolicySpec
from kubelet.tests.controlplane import ControlPlane
from kubelet.tests.translate.builders import CLUSTER
from tests.e2e.support.polling import eventually
from tests.e2e.support.raw import Raw, RawError

KUBELET = f"system:serviceaccount:tenants-control-plane:{CLUSTER.name}-kubelet"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"

WIDE: dict[str, Any] = {
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "hostPorts": True,
    "hostProbes": True,
    "hostPaths": [{"path": "/var/log"}, {"path": "/data/shared", "readOnly": False}],
    "privileged": True,
    "capabilities": ["ALL", "CHOWN", "NET_BIND_SERVICE", "SYS_ADMIN", "sys_admin"],
    "procMounts": ["Default", "Unmasked"],
    "seccompProfiles": ["RuntimeDefault", "Unconfined", "Localhost/*"],
    "appArmorProfiles": ["RuntimeDefault", "Unconfined", "Localhost/own"],
    "seLinuxOptions": True,
    "sysctls": ["kernel.msgmax", "net/ipv4/tcp_syncookies", "net.ipv4.tcp_syncookies"],
    "priorityClasses": ["low"],
    "runtimeClasses": ["kata"],
    "resourceClaims": ["gpu"],
    "resourceClaimTemplates": ["gpus"],
    "allowedTolerations": [{"key": "pool", "operator": "Exists", "effect": "NoSchedule"}],
    "serviceAccounts": [{"namespace": "default", "name": "up", "hostServiceAccount": "uploader"}],
    "imageRegistries": None,
}
"""A document that allows what the default one does not."""
NARROW: dict[str, Any] = {
    "volumeTypes": ["configMap", "projected"],
    "capabilities": [],
    "alwaysPullImages": True,
    "imageRegistries": ["docker.io/library", "registry.example.com/team/"],
    "required": {
        "nodeSelector": {"pool": "tenants"},
        "priorityClass": "low",
        "runtimeClass": "kata",
        "hostUsers": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 7, "capabilities": {"drop": ["ALL"]}},
    },
}
"""One that takes from the default one."""


@dataclass(frozen=True)
class Host:
    """The API server, with a namespace for each of some documents, and policies that hold there."""

    api: Raw

    def create(self, namespace: str, pod: Mapping[str, Any], *, user: str = KUBELET, dry: bool = True) -> Any:
        """Creates a pod in a namespace, whatever it says itself."""
        body = copy.deepcopy(dict(pod))
        body["metadata"]["namespace"] = namespace
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry else "")
        path = f"/api/v1/namespaces/{namespace}/pods{query}"
        return self.api("POST", path, body, impersonate_user=user)

    def patch(
        self, pod: Mapping[str, Any], change: Mapping[str, Any], subresource: str = "", user: str = KUBELET
    ) -> Any:
        """Changes a pod by a strategic merge patch, as the kubelet does, in a dry run."""
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        path += f"/{subresource}?dryRun=All" if subresource else "?dryRun=All"
        kind = "application/strategic-merge-patch+json"
        return self.api("PATCH", path, change, content_type=kind, impersonate_user=user)

    def refusal(self, namespace: str, pod: Mapping[str, Any], *, user: str = KUBELET) -> str:
        """What the API server says to a pod that it does not take; empty if it does.

        An answer that is none of the admission policy's fails the test: such a pod shows nothing.
        """
        code, message = self.answer(namespace, pod, user=user)
        if code == 0:
            return ""
        assert (code, "ValidatingAdmissionPolicy" in message) == (403, True), message
        return message.partition("denied request: ")[2]

    def answer(self, namespace: str, pod: Mapping[str, Any], *, user: str = KUBELET) -> tuple[int, str]:
        """HTTP status and message of a refusal; 0 if the API server takes the pod."""
        try:
            self.create(namespace, pod, user=user)
        except RawError as error:
            return error.code, str(error.status.get("message"))
        return 0, ""


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    plane = ControlPlane(
        tmp_path_factory.mktemp("host"),
        api_server_flags=["--allow-privileged=true"],
        controllers=["validatingadmissionpolicy-status-controller"],
    )
    try:
        plane.start()
        yield _prepared(Raw(plane.pki / "admin.kubeconfig"))
    finally:
        plane.stop()


def _prepared(api: Raw) -> Host:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    binding = {"metadata": {"name": "everybody"}, "roleRef": role, "subjects": [group]}
    api("POST", f"/apis/{RBAC}/clusterrolebindings", binding)
    api("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "low"}, "value": 1})
    kata = {"metadata": {"name": "kata"}, "handler": "kata"}
    api("POST", "/apis/node.k8s.io/v1/runtimeclasses", kata)
    for name, pods in {"plain": {}, "wide": WIDE, "narrow": NARROW, "unbound": None}.items():
        labels = {"k3k-pulumi.io/policy": name}
        api("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        for account in ("default", CLUSTER.service_account, "uploader"):
            path = f"/api/v1/namespaces/{name}/serviceaccounts"
            api("POST", path, {"metadata": {"name": account}})
        if pods is None:
            continue
        args = {"namespaces": [name], "admission_policy": True, "pods": pods}
        for manifest in admission_policy(VirtualClusterPolicySpec.parse(name, args)):
            kind = "policies" if manifest["kind"].endswith("Policy") else "policybindings"
            api("POST", f"{ADMISSION}/validatingadmission{kind}", manifest)
    host = Host(api)
    bare = {"metadata": {"name": "bare"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    for name in ("plain", "wide", "narrow"):
        # Policies are in force a moment after they are there.
        eventually(lambda name=name: _is_refused(host, name, bare))
    # So are PriorityClasses; their admission has a watch of its own.
    low = {**bare, "spec": {**bare["spec"], "priorityClassName": "low"}}
    eventually(lambda: host.answer("unbound", low) == (0, ""))
    return host


def _is_refused(host: Host, namespace: str, pod: Mapping[str, Any]) -> bool:
    return bool(host.refusal(namespace, pod))
