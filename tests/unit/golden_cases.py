"""What the golden files hold. Anew: `.venv/bin/python -m tests.unit.golden_cases`, then read the diff.

An object's name, or an immutable field, that changes here replaces what runs at the users' sites.
"""

from __future__ import annotations

import sys
from typing import Any

from k3k_pulumi.render import render
from tests.unit.support import GOLDEN, manifests

CASES: dict[str, dict[str, Any]] = {
    "kubernetes": {"distribution": "kubernetes"},
    "k3s": {"distribution": "k3s"},
    "k3s-1.21": {"distribution": "k3s", "version": "v1.21.2-k3s1"},
    "kubernetes-all": {
        "distribution": "kubernetes",
        "version": "v1.33.1",
        "control_plane_namespace": "planes",
        "create_namespace": False,
        "create_control_plane_namespace": False,
        "images": {
            "server": "mirror.example.com/kube-apiserver:v1.33.1",
            "controller_manager": "mirror.example.com/kube-controller-manager:v1.33.1",
            "etcd": "mirror.example.com/etcd:3.6.4",
            "kubelet": "mirror.example.com/kubelet:0.1.0",
            "dns": "mirror.example.com/coredns:1.15.0",
        },
        "kubelet_replicas": 2,
        "image_pull_secrets": ["registry"],
        "service_cidr": "fd00:43::/112",
        "cluster_domain": "cluster.example",
        "dns": {
            "replicas": 2,
            "upstreams": ["192.0.2.53", "[2001:db8::53]:5353"],
            "stub_zones": {"corp.example": ["10.0.0.53"], "10.in-addr.arpa": ["10.0.0.53", "10.0.1.53"]},
            "host_names": ["registry.infra", "*.databases"],
            "host_domain": "host.example",
            "source_cidrs": ["198.51.100.0/24"],
        },
        "expose": {
            "type": "LoadBalancer",
            "host": "api.example.com",
            "node_port": 31000,
            "source_cidrs": ["0.0.0.0/0", "2001:db8::/32"],
            "annotations": {"example.com/pool": "public"},
        },
        "persistence": {"size": "20Gi", "storage_class": "fast"},
        "egress": "internet",
        "egress_cidrs": ["192.168.7.0/24", "fd00::/16"],
        "require_network_policy": True,
        "host_cidrs": ["198.51.100.0/24", "2001:db8:1::/48"],
        "resources": {
            "server": {"requests": {"cpu": 1}, "limits": {"memory": "4Gi"}},
            "kubelet": {"requests": {"memory": "64Mi"}},
            "dns": {"limits": {"memory": "170Mi"}},
        },
        "node_selector": {"node-role.example.com/tenant": ""},
        "tolerations": [{"key": "tenant", "operator": "Exists", "toleration_seconds": 60}],
        "affinity": {
            "pod_anti_affinity": {
                "preferred_during_scheduling_ignored_during_execution": [
                    {"weight": 1, "pod_affinity_term": {"topology_key": "kubernetes.io/hostname"}}
                ]
            }
        },
        "priority_class": "platform",
        "runtime_class": "kata",
        "host_users": False,
        "security_context": {"run_as_user": 2000, "fs_group": 3000, "supplemental_groups": [4000]},
        "pods": {"host_pid": True, "volumeTypes": ["secret"]},
        "labels": {"cost-center": "42"},
        "annotations": {"example.com/owner": "team"},
    },
}


def rendered(case: str) -> str:
    return render(manifests("c", **CASES[case]))


if __name__ == "__main__":
    for name in CASES:
        (GOLDEN / f"{name}.yaml").write_text(rendered(name))
        sys.stdout.write(f"{GOLDEN / name}.yaml\n")
