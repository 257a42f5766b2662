"""Who may do what on the host: the kubelet's Roles, tokens, and the keys that sign."""

from typing import Any

import pytest

from tests.unit.support import CONTROL_PLANE, DISTRIBUTIONS, containers, find, manifests, templates


@DISTRIBUTIONS
def test_only_the_kubelet_has_a_token_of_the_host(distribution: str) -> None:
    objects = manifests(distribution=distribution)
    mounted = {
        component: template["spec"]["automountServiceAccountToken"]
        for component, template in templates(objects).items()
    }
    assert mounted == {"server": False, "kubelet": True, "dns": False}
    assert not any(
        each["automountServiceAccountToken"] for each in objects if each["kind"] == "ServiceAccount"
    )


@DISTRIBUTIONS
def test_ca_keys_are_mounted_only_where_something_is_signed(distribution: str) -> None:
    objects = manifests(distribution=distribution)
    found = set()
    for component, template in templates(objects).items():
        keys = {
            volume["name"]: {
                item["path"]
                for source in volume["projected"]["sources"]
                for item in source["secret"]["items"]
                if item["path"].endswith("ca.key")
            }
            for volume in template["spec"]["volumes"]
            if "projected" in volume
        }
        for name, container in containers(template).items():
            for mount in container["volumeMounts"]:
                found |= {(component, name, key) for key in keys.get(mount["name"], ())}
    certificates = ("certificates", "certificates-renewal")
    copied = {("server", "certificates", f"{ca}-ca.key") for ca in ("server", "client", "request-header")}
    both = {("kubelet", "kubelet", f"{ca}-ca.key") for ca in ("client", "kubelet-serving")}
    both |= {("dns", name, "client-ca.key") for name in certificates}
    if distribution == "k3s":
        assert found == copied | both
    else:
        issued = {(*each[1:],) for each in copied} | {("certificates", "etcd-ca.key")}
        assert found == both | {("server", name, key) for name in certificates for _, key in issued} | {
            ("server", "kube-controller-manager", "client-ca.key"),
            ("server", "kube-controller-manager", "kubelet-serving-ca.key"),
        }


def test_the_kubelets_rights_are_on_named_objects_in_the_control_plane_and_never_cluster_wide() -> None:
    objects = manifests()
    assert not [each for each in objects if each["kind"].startswith("ClusterRole")]
    rules = find(objects, "Role", "c-kubelet", CONTROL_PLANE)["rules"]
    named = [rule for rule in rules if rule["verbs"] != ["create"]]
    assert all(rule["resourceNames"] == ["c-kubelet"] for rule in named)
    assert {resource for rule in rules for resource in rule["resources"]} == {"services", "leases"}
    subjects = [each["subjects"] for each in objects if each["kind"] == "RoleBinding"]
    assert subjects == [[{"kind": "ServiceAccount", "name": "c-kubelet", "namespace": CONTROL_PLANE}]] * len(
        subjects
    )


def rights(resource: str, **sync: Any) -> set[str]:
    """What the kubelet may do with a resource in the workload namespace."""
    rules = find(manifests(sync=sync), "Role", "c-kubelet", "team")["rules"]
    return {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize(
    ("kind", "resource", "by_default"),
    [
        ("services", "services", True),
        ("endpointSlices", "endpointslices", True),
        ("persistentVolumeClaims", "persistentvolumeclaims", True),
        ("ingresses", "ingresses", False),
        ("httpRoutes", "httproutes", False),
        ("podDisruptionBudgets", "poddisruptionbudgets", True),
    ],
)
def test_copies_are_made_of_the_kinds_that_the_policy_has_and_removed_of_all(
    kind: str, resource: str, by_default: bool
) -> None:
    seen = {"get", "list", "watch", "delete"}
    made = {*seen, "create", "patch"}
    assert rights(resource) == (made if by_default else seen)
    assert rights(resource, toHost={kind: {"enabled": True}}) == made
    assert rights(resource, toHost={kind: {"enabled": False}}) == seen


def test_network_policies_are_made_for_the_tenant_s_own_and_where_something_can_be_exposed() -> None:
    off = {"enabled": False}
    seen = {"get", "list", "watch", "delete"}
    assert rights("networkpolicies") == {*seen, "create", "patch"}
    closed = {"services": off, "networkPolicies": off}
    assert rights("networkpolicies", toHost=closed) == seen
    for kind in ("ingresses", "httpRoutes", "services", "networkPolicies"):
        exposed = {**closed, kind: {"enabled": True}}
        assert rights("networkpolicies", toHost=exposed) == {*seen, "create", "patch"}


@pytest.mark.parametrize("kind", ["storageClasses", "ingressClasses", "priorityClasses"])
def test_classes_are_read_on_the_host_where_the_policy_has_them_shown(kind: str) -> None:
    def cluster_roles(**setting: Any) -> list[Any]:
        objects = manifests(sync={"fromHost": {kind: setting}})
        return [each["rules"] for each in objects if each["kind"] == "ClusterRole"]

    assert cluster_roles() == cluster_roles(names=["fast"]) == []
    [[rule]] = cluster_roles(enabled=True)
    assert (rule["resources"], rule["verbs"]) == ([kind.lower()], ["list", "watch"])
