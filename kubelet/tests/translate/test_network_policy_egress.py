"""Where a tenant's NetworkPolicies lead outside his pods: the control plane, and what `egress` allows."""

import ipaddress
from typing import Any

import pytest
from k3k_kubelet.translate import Refused
from k3k_kubelet.translate.rules.network_policy import MAX_RANGES

from kubelet.tests.translate.builders import CLUSTER
from kubelet.tests.translate.test_network_policy import (
    ALL,
    DENIED,
    NONE,
    OWN,
    WEB,
    Rule,
    egress,
    server,
)

API = {"to": [server("server")], "ports": [{"protocol": "TCP", "port": 6443}]}
UDP, TCP = {"protocol": "UDP", "port": 1053}, {"protocol": "TCP", "port": 1053}
DNS = {"to": [server("dns")], "ports": [UDP, TCP]}
NAME_SERVERS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
WORLD = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(DENIED[:3])}},
    {"ipBlock": {"cidr": "::/0", "except": [DENIED[3]]}},
]


def test_whom_a_rule_for_everybody_leads_to_is_whom_the_cluster_reaches() -> None:
    assert egress({}) == [{"to": [OWN]}, API, DNS, {"to": WORLD}, {"ports": NAME_SERVERS}]
    assert egress({}, NONE) == [{"to": [OWN]}, API, DNS]
    assert egress({}, ALL) == [{"to": [OWN]}, API, DNS, {}]


@pytest.mark.parametrize(
    ("ports", "rules"),
    [
        ([{"port": 80}], ["own", "world"]),
        ([{"protocol": "TCP", "port": 443}], ["own", "api", "world"]),
        ([{"port": 6443}], ["own", "api", "world"]),
        ([{"port": 6000, "endPort": 7000}], ["own", "api", "world"]),
        ([{"port": 6000, "endPort": 6100}], ["own", "world"]),
        ([{"protocol": "UDP", "port": 443}], ["own", "world"]),
        ([{"protocol": "UDP", "port": 53}], ["own", UDP, "world", 53]),
        ([{"protocol": "UDP", "port": 1, "endPort": 60}], ["own", UDP, "world", 53]),
        ([{"port": "dns-tcp"}], ["own", TCP]),
        ([{"port": "http"}], ["own"]),
        ([{"protocol": "SCTP"}], ["own", "world"]),
    ],
)
def test_ports_of_the_control_plane_are_those_that_other_clusters_have(
    ports: list[Rule], rules: list[Any]
) -> None:
    found: list[Any] = []
    for rule in egress({"ports": ports}):
        to = rule.get("to")
        if to == [OWN]:
            assert rule["ports"] == ports
            found.append("own")
        elif to == WORLD:
            assert rule["ports"] == ports
            found.append("world")
        elif to == [server("server")]:
            assert rule["ports"] == API["ports"]
            found.append("api")
        elif to == [server("dns")]:
            found += rule["ports"]
        else:
            assert to is None
            found += [port["port"] for port in rule["ports"]]
    assert found == rules


@pytest.mark.parametrize(
    ("peer", "asked"),
    [
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}, True),
        (
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            },
            True,
        ),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}, True),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "other"}}}, False),
        ({"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
        ({"ipBlock": {"cidr": f"{CLUSTER.dns_host}/32"}}, True),
    ],
)
def test_who_means_the_pods_of_kube_dns_means_the_cluster_s_own(peer: Rule, asked: bool) -> None:
    found = egress({"to": [peer], "ports": [{"protocol": "UDP", "port": 53}]})
    assert ({"to": [server("dns")], "ports": [UDP]} in found) is asked


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"cidr": f"{CLUSTER.api_host}/32"}, True),
        ({"cidr": "10.96.0.0/12"}, True),
        ({"cidr": "0.0.0.0/0"}, True),
        ({"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}, False),
        ({"cidr": "::/0"}, False),
        ({"cidr": "192.0.2.0/24"}, False),
    ],
)
def test_who_names_the_api_server_s_address_reaches_it(block: Rule, named: bool) -> None:
    assert (API in egress({"to": [{"ipBlock": block}]})) is named


@pytest.mark.parametrize(
    ("block", "left"),
    [
        ({"cidr": "203.0.113.0/24"}, {"cidr": "203.0.113.0/24"}),
        ({"cidr": " 203.0.113.9/24"}, {"cidr": "203.0.113.0/24"}),
        ({"cidr": "0.0.0.0/0"}, WORLD[0]["ipBlock"]),
        ({"cidr": "8.0.0.0/6"}, {"cidr": "8.0.0.0/6", "except": ["10.0.0.0/8"]}),
        (
            {"cidr": "0.0.0.0/0", "except": ["10.1.0.0/16", "8.8.8.0/24"]},
            {"cidr": "0.0.0.0/0", "except": ["8.8.8.0/24", *DENIED[:3]]},
        ),
        (
            {"cidr": "128.0.0.0/1", "except": ["160.0.0.0/4"]},
            {"cidr": "128.0.0.0/1", "except": ["160.0.0.0/4", "192.168.0.0/16"]},
        ),
        ({"cidr": "10.1.0.0/16"}, None),
        ({"cidr": "169.254.169.254/32"}, None),
        ({"cidr": "192.0.2.0/24", "except": ["192.0.2.0/24"]}, None),
        ({"cidr": "2001:db8::/32"}, {"cidr": "2001:db8::/32"}),
        ({"cidr": "fc00::/6"}, {"cidr": "fc00::/6", "except": ["fc00::/7"]}),
        ({"cidr": "fd00::/64"}, None),
        ({"cidr": "::/0"}, {"cidr": "::/0", "except": ["fc00::/7"]}),
        ({"cidr": "::ffff:0:0/95"}, {"cidr": "::fffe:0:0/95"}),
    ],
)
def test_blocks_lead_nowhere_that_is_denied(block: Rule, left: Rule | None) -> None:
    (*_, found) = [[], *(rule["to"] for rule in egress({"to": [{"ipBlock": block}], "ports": WEB}))]
    outside = [peer for peer in found if "ipBlock" in peer]
    assert outside == ([] if left is None else [{"ipBlock": left}])
    for each in (peer["ipBlock"] for peer in outside):
        whole = ipaddress.ip_network(each["cidr"])
        assert all(ipaddress.ip_network(text).subnet_of(whole) for text in each.get("except", []))  # type: ignore[arg-type]
    assert egress({"to": [{"ipBlock": block}], "ports": WEB}, NONE) == (
        [{"to": [OWN], "ports": WEB}] if block == {"cidr": "0.0.0.0/0"} else []
    )


def test_name_servers_are_asked_wherever_the_cluster_may_ask_them_and_nowhere_else() -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.1.1.1/32"}}], "ports": [{"protocol": "UDP", "port": 53}]}
    assert egress(rule) == [{"to": [{"ipBlock": {"cidr": "10.1.1.1/32"}}], "ports": [NAME_SERVERS[0]]}]
    assert egress(rule, NONE) == []
    assert egress({**rule, "ports": WEB}) == []
    assert egress({"to": rule["to"]}) == [{"to": rule["to"], "ports": NAME_SERVERS}]


def blocks(number: int) -> list[Rule]:
    return [{"ipBlock": {"cidr": f"8.{n >> 8}.{n & 255}.0/24"}} for n in range(number)]


def test_the_host_gets_so_many_ranges_and_no_more() -> None:
    most = blocks(MAX_RANGES)
    (rule,) = egress({"to": most, "ports": WEB})
    assert rule["to"] == most
    with pytest.raises(Refused, match=r"^spec: means 2001 ranges .*; 2000 are allowed"):
        egress({"to": blocks(MAX_RANGES + 1), "ports": WEB})


def test_ranges_that_are_left_out_count_whoever_named_them() -> None:
    without = [each["ipBlock"]["cidr"] for each in blocks(MAX_RANGES)]
    whole = {"cidr": "0.0.0.0/0", "except": without}
    (rule,) = egress({"to": [{"ipBlock": {**whole, "except": without[4:]}}], "ports": WEB})
    assert len(rule["to"][0]["ipBlock"]["except"]) == MAX_RANGES - 1
    with pytest.raises(Refused, match="means 2001 ranges"):
        egress({"to": [{"ipBlock": {**whole, "except": without[3:]}}], "ports": WEB})


def test_equal_peers_are_one() -> None:
    (rule,) = egress({"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}] * (MAX_RANGES + 1), "ports": WEB})
    assert rule == {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": WEB}
