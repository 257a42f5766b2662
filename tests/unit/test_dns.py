"""The cluster's DNS: its arguments and its Corefile. What CoreDNS makes of one is tested end to end."""

from __future__ import annotations

from typing import Any

import pytest

from k3k_pulumi.errors import InputError
from k3k_pulumi.model.dns import resolver
from tests.unit.support import containers, find, manifests, spec, templates

NODES_RESOLVERS = "forward . /etc/resolv.conf {"


def problems(dns: Any, **args: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        spec(dns=dns, **args)
    return list(caught.value.problems)


ADDRESS = "must be an IP address, with a port like 192.0.2.1:5353 if that is not 53"
HOST_NAME = "must be <service>.<namespace> of the host, *.<namespace> or *"
DOMAIN = "must be a DNS domain in lower case, like cluster.local"


@pytest.mark.parametrize(
    ("dns", "line"),
    [
        ({"replicas": 3}, "dns.replicas: 3 must be 1 or 2"),
        ({"upstreams": ["dns.example"]}, f"dns.upstreams[0]: 'dns.example' {ADDRESS}"),
        ({"upstreams": ["192.0.2.1:0"]}, f"dns.upstreams[0]: '192.0.2.1:0' {ADDRESS}"),
        ({"upstreams": ["192.0.2.1:x"]}, f"dns.upstreams[0]: '192.0.2.1:x' {ADDRESS}"),
        ({"upstreams": ["1.1.1.1 {"]}, f"dns.upstreams[0]: '1.1.1.1 {{' {ADDRESS}"),
        ({"upstreams": ["[2001:db8::1"]}, f"dns.upstreams[0]: '[2001:db8::1' {ADDRESS}"),
        (
            {"upstreams": ["192.0.2.1"] * 16},
            f"dns.upstreams: {str(['192.0.2.1'] * 16)[:77]}... has 16 name servers for one zone: must be at "
            "most 15",
        ),
        ({"stub_zones": {"Corp": ["192.0.2.1"]}}, f"dns.stub_zones.Corp: 'Corp' {DOMAIN}"),
        ({"stub_zones": {"corp": ["x"]}}, f"dns.stub_zones.corp[0]: 'x' {ADDRESS}"),
        (
            {"stub_zones": {"corp": []}},
            "dns.stub_zones: {'corp': []} has no name server for 'corp': list the addresses to ask",
        ),
        (
            {"stub_zones": {"a.cluster.local": ["192.0.2.1"]}},
            "dns.stub_zones: has 'a.cluster.local', which lies in cluster_domain 'cluster.local': the "
            "cluster itself answers for it",
        ),
        ({"host_names": ["web"]}, f"dns.host_names[0]: 'web' {HOST_NAME}"),
        ({"host_names": ["web.*"]}, f"dns.host_names[0]: 'web.*' {HOST_NAME}"),
        ({"host_names": ["a.b.c"]}, f"dns.host_names[0]: 'a.b.c' {HOST_NAME}"),
        ({"source_cidrs": ["x"]}, "dns.source_cidrs[0]: 'x' must be a CIDR like 10.43.0.0/16"),
        ({"upstream": []}, "dns.upstream: unknown argument; did you mean 'upstreams'?"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(dns: dict[str, Any], line: str) -> None:
    assert problems(dns) == [line]


@pytest.mark.parametrize("field", ["upstreams", "host_names", "stub_zones"])
def test_nothing_is_forwarded_without_egress(field: str) -> None:
    value = {"upstreams": ["192.0.2.1"], "host_names": ["*"], "stub_zones": {"corp": ["192.0.2.1"]}}[field]
    assert problems({field: value}, egress="none") == [
        f"dns.{field}: has no use with egress 'none', which lets no query out: leave it out"
    ]


def test_the_clusters_domain_may_not_hide_below_the_hosts() -> None:
    assert problems({"host_names": ["*"]}, cluster_domain="team.cluster.local") == [
        "dns.host_names: cannot be used with cluster_domain 'team.cluster.local' below dns.host_domain "
        "'cluster.local': give the cluster another domain"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_name_server_may_have_a_port(text: str, found: tuple[str, int]) -> None:
    assert resolver(text) == found


def corefile(**args: Any) -> list[str]:
    """Lines of the Corefile, without indentation."""
    text = find(manifests(**args), "ConfigMap", "c-dns")["data"]["Corefile"]
    return [line.strip() for line in text.splitlines()]


def test_other_names_are_asked_of_the_nodes_resolvers() -> None:
    lines = corefile()
    assert "kubernetes cluster.local in-addr.arpa ip6.arpa {" in lines
    assert "fallthrough in-addr.arpa ip6.arpa" in lines
    assert [line for line in lines if line.startswith("forward")] == [NODES_RESOLVERS]
    assert templates(manifests())["dns"]["spec"]["dnsPolicy"] == "Default"


def test_upstreams_and_stub_zones_are_asked_in_place_of_them() -> None:
    lines = corefile(dns={"upstreams": ["192.0.2.1", "192.0.2.2:54"], "stub_zones": {"corp": ["192.0.2.3"]}})
    assert [line for line in lines if line.startswith("forward")] == [
        "forward corp 192.0.2.3 {",
        "forward . 192.0.2.1 192.0.2.2:54 {",
    ]


def test_without_egress_no_query_leaves_the_cluster() -> None:
    lines = corefile(egress="none")
    assert "file /etc/coredns/nowhere.zone . {" in lines
    assert not [line for line in lines if line.startswith(("forward", "fallthrough", "loop"))]
    assert "nowhere.zone" in find(manifests(egress="none"), "ConfigMap", "c-dns")["data"]
    assert "nowhere.zone" not in find(manifests(), "ConfigMap", "c-dns")["data"]


def test_the_clusters_domain_is_that_of_its_arguments() -> None:
    lines = corefile(cluster_domain="cluster.example")
    assert "kubernetes cluster.example in-addr.arpa ip6.arpa {" in lines
    assert "disable success cluster.example" in lines


def test_names_of_the_host_are_found_where_they_are_listed_alone() -> None:
    assert not [line for line in corefile() if "svc.host" in line]
    dns = {"host_names": ["registry.infra", "*.databases"]}
    lines = corefile(dns=dns)
    assert [line for line in lines if line.endswith(":1053 {")] == [
        ".:1053 {",
        "registry.infra.svc.host.internal:1053 {",
        "databases.svc.host.internal:1053 {",
    ]
    rewrite = "rewrite name suffix .svc.host.internal. .svc.cluster.local. answer auto"
    assert lines.count(rewrite) == 2
    assert "svc.host.internal:1053 {" in corefile(dns={"host_names": ["*"]})
    assert templates(manifests(dns=dns))["dns"]["spec"]["dnsPolicy"] == "ClusterFirst"


def test_the_hosts_name_server_is_not_asked_for_its_other_names() -> None:
    """It is the one that CoreDNS asks for all other names, too, unless there are upstreams."""
    dns = {"host_names": ["registry.infra"], "host_domain": "host.example"}
    assert "file /etc/coredns/nowhere.zone host.example {" in corefile(dns=dns)
    assert "fallthrough in-addr.arpa ip6.arpa" not in corefile(dns=dns)
    asked = corefile(dns={**dns, "upstreams": ["192.0.2.1"]})
    assert not [line for line in asked if "nowhere" in line]
    assert "fallthrough in-addr.arpa ip6.arpa" in asked


def test_the_kubelet_is_told_the_address_by_the_services_variable() -> None:
    objects = manifests("my-c")
    kubelet = containers(templates(objects)["kubelet"])["kubelet"]
    assert {"name": "K3K_DNS_HOST", "value": "$(MY_C_DNS_SERVICE_HOST)"} in kubelet["env"]
    ports = find(objects, "Service", "my-c-dns")["spec"]["ports"]
    assert [(each["port"], each["targetPort"], each["protocol"]) for each in ports] == [
        (53, 1053, "UDP"),
        (53, 1053, "TCP"),
    ]
