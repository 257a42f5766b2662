"""What the parts of a virtual cluster may do on the host, asked of the host's API server."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import View

# Verb, resource (with its group and subresource), and where: the namespace of the workloads, of the control
# plane, in a foreign one, or in the whole cluster.
KUBELET_MAY = [
    "create pods in workloads",
    "get pods/log in workloads",
    "patch pods/ephemeralcontainers in workloads",
    "patch pods/resize in workloads",
    "create pods/exec in workloads",
    "create secrets in workloads",
    "list events in workloads",
    "list resourcequotas in workloads",
    "patch services in workloads",
    "create endpointslices.discovery.k8s.io in workloads",
    "create persistentvolumeclaims in workloads",
    "create poddisruptionbudgets.policy in workloads",
    "create networkpolicies.networking.k8s.io in workloads",
    "delete ingresses.networking.k8s.io in workloads",
    "list pods.metrics.k8s.io in workloads",
]
KUBELET_MAY_NOT = [
    "update pods/ephemeralcontainers in workloads",
    "update pods/resize in workloads",
    "patch pods/resize in control-plane",
    "create serviceaccounts/token in workloads",
    "create rolebindings.rbac.authorization.k8s.io in workloads",
    "update roles.rbac.authorization.k8s.io in workloads",
    "patch resourcequotas in workloads",
    "create ingresses.networking.k8s.io in workloads",
    "create httproutes.gateway.networking.k8s.io in workloads",
    "update services in workloads",
    "delete networkpolicies.networking.k8s.io in control-plane",
    "create services in control-plane",
    "delete persistentvolumeclaims in control-plane",
    "get secrets in control-plane",
    "list secrets in control-plane",
    "create pods in control-plane",
    "create pods/exec in control-plane",
    "patch statefulsets.apps in control-plane",
    "list pods in kube-system",
    "get secrets in kube-system",
    "list pods in cluster",
    "list namespaces in cluster",
    "list nodes in cluster",
    "list services in cluster",
    "list persistentvolumes in cluster",
    "list storageclasses.storage.k8s.io in cluster",
    "list priorityclasses.scheduling.k8s.io in cluster",
    "get nodes/proxy in cluster",
    "list pods.metrics.k8s.io in cluster",
    "list nodes.metrics.k8s.io in cluster",
]
NOBODY_MAY = ["get secrets in workloads", "list pods in workloads", "get configmaps in control-plane"]


def reviews(view: View, account: str, actions: list[str]) -> list[dict[str, object]]:
    """A SubjectAccessReview for each action of a service account in the namespace it lives in."""
    names = {
        "workloads": view.workloads.namespace,
        "control-plane": view.control_plane.namespace,
        "cluster": "",
    }
    home = names["workloads" if account == "workload" else "control-plane"]
    made = []
    for action in actions:
        verb, resource, _, where = action.split()
        resource, _, subresource = resource.partition("/")
        resource, _, group = resource.partition(".")
        attributes = {
            "namespace": names.get(where, where),
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
        }
        user = f"system:serviceaccount:{home}:{view.name}-{account}"
        made.append(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "resourceAttributes": attributes},
            }
        )
    return made


@pytest.mark.parametrize(
    ("account", "allowed", "denied"),
    [
        ("kubelet", KUBELET_MAY, KUBELET_MAY_NOT),
        ("server", [], NOBODY_MAY),
        ("workload", [], NOBODY_MAY),
    ],
)
def test_rights_on_the_host(
    host: Host, cluster: View, account: str, allowed: list[str], denied: list[str]
) -> None:
    asked = reviews(cluster, account, allowed + denied)
    # One request each, but one command: a review is answered as it is created.
    stdin = "\n---\n".join(map(json.dumps, asked)).encode()
    answers = host.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}{'\\n'}", stdin=stdin)
    found = dict(zip(allowed + denied, answers.split(), strict=True))
    assert found == {**dict.fromkeys(allowed, "true"), **dict.fromkeys(denied, "false")}
