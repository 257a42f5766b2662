"""NetworkPolicies as data; what they do to packets is proved in tests/e2e."""

import ipaddress
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


RANGES = ["192.168.7.0/24", "fd00::/16"]


@pytest.mark.parametrize("egress", ["internet", "none"])
def test_egress_cidrs_are_open_beside_what_egress_allows_but_for_metadata_addresses(egress: str) -> None:
    before = rules("c-workload-egress", "team", "egress", egress=egress)
    *first, named = rules("c-workload-egress", "team", "egress", egress=egress, egress_cidrs=RANGES)
    assert first == before
    assert named == {
        "to": [
            {"ipBlock": {"cidr": "192.168.7.0/24"}},
            {"ipBlock": {"cidr": "fd00::/16", "except": ["fd00:ec2::/32"]}},
        ]
    }
    assert rules("c-server", CONTROL_PLANE, "egress", egress=egress, egress_cidrs=RANGES)[-1] == named


def test_a_metadata_address_is_open_where_it_is_named() -> None:
    named = rules("c-workload-egress", "team", "egress", egress_cidrs=["169.254.169.254/32"])[-1]
    assert named == {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}


def config(**args: Any) -> dict[str, Any]:
    text = find(manifests("c", **args), "ConfigMap", "c-kubelet", CONTROL_PLANE)["data"]["config.json"]
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize("egress", ["internet", "none"])
def test_what_egress_cidrs_open_is_denied_to_nobody(egress: str) -> None:
    before, denied = (
        [ipaddress.ip_network(cidr) for cidr in config(egress=egress, egress_cidrs=given)["deniedCidrs"]]
        for given in ([], RANGES)
    )

    def held(address: str, ranges: list[Any]) -> bool:
        return any(ipaddress.ip_address(address) in each for each in ranges)

    for opened in ("192.168.7.9", "fd00:1::9"):
        assert held(opened, before)
        assert not held(opened, denied)
    for closed in ("192.168.8.9", "169.254.169.254", "fd00:ec2::254", "fd01::9"):
        assert held(closed, denied)


def test_the_host_has_to_be_where_internet_does_not_lead() -> None:
    ranges = config(host_cidrs=["198.51.100.0/24"], egress_cidrs=["203.0.113.0/24"])["hostRanges"]
    assert {"10.0.0.0/8", "fc00::/7", "198.51.100.0/24", "203.0.113.0/24"} <= set(ranges)
    assert config(egress="none")["hostRanges"] == []
    assert config(egress="all")["hostRanges"] == []


def test_the_probe_may_use_one_port_in_both_directions_and_two_in_one() -> None:
    peer = pods("network-probe")
    (ingress,) = rules("c-network-probe", "team", "ingress", require_network_policy=True)
    (egress,) = rules("c-network-probe", "team", "egress", require_network_policy=True)
    assert (ingress["from"], egress["to"]) == ([peer], [peer])
    into, out = ({each["port"] for each in rule["ports"]} for rule in (ingress, egress))
    made = manifests("c", require_network_policy=True)
    asked = {
        each["name"]: each["targetPort"] for each in find(made, "Service", "c-network-probe")["spec"]["ports"]
    }
    assert into == {asked["open"], asked["no-egress"]}
    assert out == {asked["open"], asked["no-ingress"]}
