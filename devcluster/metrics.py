"""metrics.k8s.io: metrics-server, so that `kubectl top` and CPU autoscaling work on the host.

As its own manifests (manifests/base of its repository) but for what a dev cluster can do better:
the kubelets' certificates are checked, samples are taken as often as they can be, and it asks for little.
"""

from __future__ import annotations

from devcluster.api import Manifest

NAMESPACE = "kube-system"
NAME = "metrics-server"
IMAGE = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
PORT = 10250
RESOLUTION = "10s"  # as often as kubelets measure; metrics-server allows no less
_CA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"  # signs the kubelets' certificates, too
_RBAC = "rbac.authorization.k8s.io"
_LABELS = {"k8s-app": NAME}


def manifests() -> list[Manifest]:
    """Its objects in the order in which they can be applied."""
    return [
        _object("v1", "ServiceAccount", NAME, NAMESPACE),
        *_rights(),
        _object(
            "v1",
            "Service",
            NAME,
            NAMESPACE,
            spec={"selector": _LABELS, "ports": [{"name": "https", "port": 443, "targetPort": PORT}]},
        ),
        _object("apps/v1", "Deployment", NAME, NAMESPACE, spec=_deployment()),
        _object(
            "apiregistration.k8s.io/v1",
            "APIService",
            "v1beta1.metrics.k8s.io",
            spec={
                "service": {"name": NAME, "namespace": NAMESPACE},
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        ),
    ]


def _object(version: str, kind: str, name: str, namespace: str = "", **rest: object) -> Manifest:
    metadata = {"name": name, "labels": _LABELS} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _rights() -> list[Manifest]:
    rbac = f"{_RBAC}/v1"
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
    read = ["get", "list", "watch"]
    own = [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": read},
    ]
    readers = _object(
        rbac,
        "ClusterRole",
        "system:aggregated-metrics-reader",
        rules=[{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": read}],
    )
    aggregated = (f"{_RBAC}/aggregate-to-{role}" for role in ("view", "edit", "admin"))
    readers["metadata"]["labels"] = {**_LABELS, **dict.fromkeys(aggregated, "true")}

    def reference(kind: str, name: str) -> Manifest:
        return {"apiGroup": _RBAC, "kind": kind, "name": name}

    return [
        readers,
        _object(rbac, "ClusterRole", f"system:{NAME}", rules=own),
        _object(
            rbac,
            "ClusterRoleBinding",
            f"system:{NAME}",
            roleRef=reference("ClusterRole", f"system:{NAME}"),
            subjects=subjects,
        ),
        _object(
            rbac,
            "ClusterRoleBinding",
            f"{NAME}:system:auth-delegator",
            roleRef=reference("ClusterRole", "system:auth-delegator"),
            subjects=subjects,
        ),
        _object(
            rbac,
            "RoleBinding",
            f"{NAME}-auth-reader",
            NAMESPACE,
            roleRef=reference("Role", "extension-apiserver-authentication-reader"),
            subjects=subjects,
        ),
    ]


def _deployment() -> Manifest:
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--cert-dir=/tmp",
            f"--secure-port={PORT}",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-use-node-status-port",
            f"--kubelet-certificate-authority={_CA}",
            f"--metric-resolution={RESOLUTION}",
            "--kubelet-request-timeout=9s",  # must be shorter than the resolution
        ],
        "ports": [{"name": "https", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"},
            "periodSeconds": 5,
        },
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "allowPrivilegeEscalation": False,
            "seccompProfile": {"type": "RuntimeDefault"},
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}
