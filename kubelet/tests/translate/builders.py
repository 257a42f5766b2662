"""Objects for the tests of translation."""

import copy
from typing import Any

from k3k_kubelet import policy
from k3k_kubelet.translate import Cluster, HostPod
from k3k_kubelet.translate import pod as pods

OWNER = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "team-anchor",
    "uid": "anchor-uid",
    "controller": True,
    "blockOwnerDeletion": False,
}
CLUSTER = Cluster("team", "tenants", OWNER, "team-workload", "cluster.local", "10.96.7.7", 443, "10.96.7.10")
BASELINE = policy.Policy()

LINKS = {"configMapRef": {"name": "service-links-default-gnrxybc2o3sxigr6"}}
"""The variables of the Services in `default`: the first source of envFrom of every container."""


def allowing(**pods_policy: Any) -> policy.Policy:
    """A policy whose `pods` part says this, in JSON's names."""
    return policy.load(policy.msgspec.json.encode({"apiVersion": "k3k-pulumi.io/v1", "pods": pods_policy}))


def pod(
    spec: dict[str, Any] | None = None, container: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A pod `default/web` with one container `main`, with more fields of spec, container and metadata."""
    main = {"name": "main", "image": "nginx:1", **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "pod-uid", **metadata},
        "spec": {"containers": [main], **(spec or {})},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def to_host(pod: dict[str, Any], policy: policy.Policy = BASELINE) -> HostPod:
    """Translate, and see that the input stays as it was."""
    before = copy.deepcopy(pod)
    made = pods.to_host(pod, CLUSTER, policy)
    assert pod == before
    return made


def host_spec(pod: dict[str, Any], policy: policy.Policy = BASELINE) -> dict[str, Any]:
    """The host pod's spec."""
    spec: dict[str, Any] = to_host(pod, policy).manifest["spec"]
    return spec


def on_host(pod: dict[str, Any], policy: policy.Policy = BASELINE) -> dict[str, Any]:
    """The host pod as the host's API server has it."""
    manifest = copy.deepcopy(to_host(pod, policy).manifest)
    manifest["metadata"] |= {"uid": "host-uid", "resourceVersion": "7"}
    return manifest


def syncing(**kinds: Any) -> policy.Policy:
    """A policy whose `sync.toHost` part says this, in JSON's names."""
    document = {"apiVersion": "k3k-pulumi.io/v1", "sync": {"toHost": kinds}}
    return policy.load(policy.msgspec.json.encode(document))


def service(*ports: dict[str, Any], metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Service `default/web` for the pods with app=web, port 80, with more fields of spec and metadata."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "service-uid", **(metadata or {})},
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": "web"},
            "ports": list(ports) or [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            **spec,
        },
        "status": {"loadBalancer": {}},
    }
