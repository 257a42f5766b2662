"""NetworkPolicies as data; what they do to packets is proved in tests/e2e."""

import json
from typing import Any

import pytest

from tests.unit.support import find, manifests

CONTROL_PLANE = "team-c-control-plane"


def rules(name: str, namespace: str, direction: str, **args: Any) -> list[Any]:
    body = find(manifests("c", **args), "NetworkPolicy", name, namespace)["spec"]
    assert direction.title() in body["policyTypes"]
    found: list[Any] = body.get(direction, [])
    return found


def pods(component: str, namespace: str | None = None) -> dict[str, Any]:
    labels = {"k3k-pulumi.io/cluster": "c", "k3k-pulumi.io/component": component}
    peer: dict[str, Any] = {"podSelector": {"matchLabels": labels}}
    if namespace:
        peer["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return peer


API = [{"protocol": "TCP", "port": 6443}]
KUBELET = [{"protocol": "TCP", "port": 10250, "endPort": 11249}, {"protocol": "TCP", "port": 9443}]
DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
COREDNS = [{"protocol": "UDP", "port": 1053}, {"protocol": "TCP", "port": 1053}]


@pytest.mark.parametrize(
    ("namespace", "selected"),
    [
        ("team", {"k3k-pulumi.io/cluster": "c", "k3k-pulumi.io/component": "workload"}),
        (CONTROL_PLANE, {"k3k-pulumi.io/cluster": "c"}),
    ],
)
def test_everything_of_the_cluster_is_denied_by_default(namespace: str, selected: dict[str, str]) -> None:
    policy = find(manifests(), "NetworkPolicy", "c-default-deny", namespace)
    assert policy["spec"] == {
        "podSelector": {"matchLabels": selected},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_workloads_are_reached_by_their_own_cluster_alone() -> None:
    assert rules("c-workload", "team", "ingress") == [{"from": [pods("server", CONTROL_PLANE)]}]
    assert rules("c-workload-ingress", "team", "ingress") == [{"from": [pods("workload")]}]


def test_pods_that_a_tenant_isolates_keep_their_api_server_and_what_the_other_direction_allows() -> None:
    workloads = {"k3k-pulumi.io/cluster": "c", "k3k-pulumi.io/component": "workload"}
    made = {
        each["metadata"]["name"]: each["spec"]
        for each in manifests("c")
        if each["kind"] == "NetworkPolicy" and each["metadata"]["namespace"] == "team"
    }
    chosen = {
        name: (spec["policyTypes"], spec["podSelector"].get("matchExpressions", []))
        for name, spec in made.items()
    }
    assert chosen == {
        "c-default-deny": (["Ingress", "Egress"], []),
        "c-workload": (["Ingress"], []),
        "c-workload-ingress": (
            ["Ingress"],
            [{"key": "k3k-pulumi.io/isolated-ingress", "operator": "DoesNotExist"}],
        ),
        "c-workload-egress": (
            ["Egress"],
            [{"key": "k3k-pulumi.io/isolated-egress", "operator": "DoesNotExist"}],
        ),
    }
    assert all(spec["podSelector"]["matchLabels"] == workloads for spec in made.values())


def test_workloads_reach_their_own_cluster_and_outward_as_chosen() -> None:
    own = [
        {"to": [pods("workload")]},
        {"to": [pods("server", CONTROL_PLANE)], "ports": API},
        {"to": [pods("dns", CONTROL_PLANE)], "ports": COREDNS},
    ]
    assert rules("c-workload-egress", "team", "egress", egress="none") == own
    assert rules("c-workload-egress", "team", "egress", egress="all") == [*own, {}]
    *first, dns, internet = rules("c-workload-egress", "team", "egress", host_cidrs=["198.51.100.0/24"])
    assert first == own
    assert dns == DNS
    four, six = (peer["ipBlock"] for peer in internet["to"])
    assert four["cidr"] == "0.0.0.0/0"
    assert {"10.0.0.0/8", "169.254.0.0/16", "198.51.100.0/24"} <= set(four["except"])
    assert six["cidr"] == "::/0"
    assert {"fc00::/7", "64:ff9b::a00:0/104", "64:ff9b::c633:6400/120"} <= set(six["except"])


def test_servers_are_reached_on_the_api_port_alone_by_those_who_need_it() -> None:
    assert rules("c-server", CONTROL_PLANE, "ingress") == [
        {"from": [pods("workload", "team"), pods("kubelet"), pods("dns")], "ports": API}
    ]
    (rule,) = rules("c-server", CONTROL_PLANE, "ingress", expose={"source_cidrs": ["192.0.2.0/24"]})
    assert rule["from"][3:] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_servers_reach_no_more_than_workloads_but_the_kubelet() -> None:
    own = [{"to": [pods("kubelet")], "ports": KUBELET}, {"to": [pods("workload", "team")]}]
    assert rules("c-server", CONTROL_PLANE, "egress", egress="none") == own
    outward = rules("c-server", CONTROL_PLANE, "egress")[2:]
    assert outward == rules("c-workload-egress", "team", "egress")[3:]


def test_the_kubelet_is_reached_by_servers_alone_and_reaches_the_host() -> None:
    assert rules("c-kubelet", CONTROL_PLANE, "ingress") == [{"from": [pods("server")], "ports": KUBELET}]
    assert rules("c-kubelet", CONTROL_PLANE, "egress") == [{}]


def test_dns_is_reached_by_workloads_alone() -> None:
    (rule,) = rules("c-dns", CONTROL_PLANE, "ingress")
    assert rule == {"from": [pods("workload", "team")], "ports": COREDNS}
    (rule,) = rules("c-dns", CONTROL_PLANE, "ingress", dns={"source_cidrs": ["192.0.2.0/24"]})
    assert rule["from"][1:] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_dns_reaches_its_api_and_name_servers_if_queries_may_go_out() -> None:
    api = {"to": [pods("server")], "ports": API}
    assert rules("c-dns", CONTROL_PLANE, "egress", egress="none") == [api]
    assert rules("c-dns", CONTROL_PLANE, "egress") == [api, DNS]
    assert rules("c-dns", CONTROL_PLANE, "egress", egress="all") == [api, DNS]
    named = {"upstreams": ["192.0.2.1:5353"], "stub_zones": {"a.example": ["192.0.2.2", "192.0.2.3:54"]}}
    (_, outward) = rules("c-dns", CONTROL_PLANE, "egress", dns=named)
    assert [each["port"] for each in outward["ports"]] == [53, 53, 54, 54, 5353, 5353]


def test_every_selector_holds_labels_that_only_we_set() -> None:
    for policy in (each for each in manifests() if each["kind"] == "NetworkPolicy"):
        text = json.dumps(policy["spec"])
        assert text.count('"podSelector": {') == text.count('"k3k-pulumi.io/cluster": "c"')


@pytest.mark.parametrize("host_cidrs", [[], ["198.51.100.0/24", "2001:db8::/32"]])
def test_endpoint_slices_of_tenants_are_denied_what_their_workloads_are(host_cidrs: list[str]) -> None:
    def denied(egress: str) -> list[str]:
        made = manifests("c", egress=egress, host_cidrs=host_cidrs)
        config = find(made, "ConfigMap", "c-kubelet", CONTROL_PLANE)["data"]["config.json"]
        found: list[str] = json.loads(config)["deniedCidrs"]
        return found

    (internet,) = rules("c-workload-egress", "team", "egress", host_cidrs=host_cidrs)[-1:]
    assert denied("internet") == [cidr for peer in internet["to"] for cidr in peer["ipBlock"]["except"]]
    assert denied("none") == ["0.0.0.0/0", "::/0"]
    assert denied("all") == []
