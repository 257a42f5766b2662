"""Policies without an engine, before a real API server: the rights that they need, and what they remove."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi import direct
from tests.unit.direct.conftest import Host

pytestmark = pytest.mark.xdist_group("direct")  # one API server for all of them

RULES: dict[str, Any] = {
    "quotas": {"compute": {"hard": {"pods": "10"}}},
    "limits": [{"type": "Container", "default": {"memory": "64Mi"}}],
}
VERBS = ["get", "list", "create", "patch", "delete"]
NAMESPACES = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]}
INSIDE = [
    {"apiGroups": [""], "resources": ["resourcequotas", "limitranges"], "verbs": VERBS},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": VERBS},
]


def objects(host: Host, namespace: str) -> set[tuple[str, str]]:
    """What a policy may have made in a namespace."""
    kinds = "resourcequotas,limitranges,networkpolicies.networking.k8s.io"
    found = host.plane.kubectl("get", kinds, "-n", namespace, "-o", "name")
    return {
        (kind.partition(".")[0], name) for kind, _, name in (line.partition("/") for line in found.split())
    }


def test_the_rights_in_the_docs_suffice_to_bind_and_to_delete(host: Host) -> None:
    kubeconfig = host.deployer("binder", [NAMESPACES, *INSIDE])
    here = host.namespace("rights")
    direct.apply_policy("p", kubeconfig=kubeconfig, namespaces=[here], **RULES)
    assert {kind for kind, _ in objects(host, here)} == {"resourcequota", "limitrange", "networkpolicy"}
    direct.apply_policy("p", kubeconfig=kubeconfig, namespaces=[here], quotas=RULES["quotas"])
    assert {kind for kind, _ in objects(host, here)} == {"resourcequota", "networkpolicy"}
    direct.delete_policy("p", [here], kubeconfig=kubeconfig)
    assert objects(host, here) == set()
    metadata = host.api("GET", f"/api/v1/namespaces/{here}")["metadata"]
    assert "k3k-pulumi.io/policy" not in {**metadata["labels"], **metadata.get("annotations", {})}


def test_tenants_that_a_shared_mode_namespace_no_longer_has_lose_their_view(host: Host) -> None:
    def views() -> str:
        return host.plane.kubectl("get", "rolebindings", "-n", "shared", "-o", "name")

    tenants = [{"kind": "Group", "name": "team"}]
    direct.apply_shared_mode_namespace("shared", kubeconfig=host.admin, tenants=tenants)
    assert "shared-tenants" in views()
    direct.apply_shared_mode_namespace("shared", kubeconfig=host.admin)
    assert views() == ""
