"""dnsPolicy and dnsConfig: a pod gets the resolver that a node of the virtual cluster would give it."""

from typing import Any

import pytest

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

HOST_NETWORK = allowing(hostNetwork=True)
OURS = "10.96.7.10"
DOMAINS = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"]
NDOTS = {"name": "ndots", "value": "5"}
CLUSTER_DNS = {"nameservers": [OURS], "searches": DOMAINS, "options": [NDOTS]}
OWN = {"nameservers": ["192.0.2.1"], "searches": ["example.com"], "options": [{"name": "edns0"}]}


def resolver(policy: Any = HOST_NETWORK, **spec: Any) -> tuple[str, Any]:
    made = host_spec(pod(spec), policy)
    return made["dnsPolicy"], made.get("dnsConfig")


@pytest.mark.parametrize(
    ("spec", "on_host"),
    [
        ({}, ("None", CLUSTER_DNS)),
        ({"dnsPolicy": "ClusterFirst"}, ("None", CLUSTER_DNS)),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, ("None", CLUSTER_DNS)),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, ("None", CLUSTER_DNS)),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": False}, ("None", CLUSTER_DNS)),
        # A node falls back to its own resolver there: pkg/kubelet/network/dns, getPodDNSType.
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, ("Default", None)),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True, "dnsConfig": OWN}, ("Default", OWN)),
        ({"dnsPolicy": "Default"}, ("Default", None)),
        ({"dnsPolicy": "Default", "dnsConfig": OWN}, ("Default", OWN)),
        ({"dnsPolicy": "None", "dnsConfig": OWN}, ("None", OWN)),
        ({"dnsPolicy": "None", "hostNetwork": True, "dnsConfig": OWN}, ("None", OWN)),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_the_policy(spec: dict[str, Any], on_host: tuple[str, Any]) -> None:
    assert resolver(**spec) == on_host


@pytest.mark.parametrize(
    ("own", "merged"),
    [
        (OWN, {"nameservers": [OURS, "192.0.2.1"], "searches": [*DOMAINS, "example.com"],
               "options": [NDOTS, {"name": "edns0"}]}),
        ({"options": [{"name": "ndots", "value": "2"}]}, {"options": [{"name": "ndots", "value": "2"}]}),
        ({"options": [{"name": "ndots"}]}, {"options": [{"name": "ndots"}]}),
        (
            {"options": [{"name": "timeout", "value": "1"}, {"name": "timeout", "value": "3"}]},
            {"options": [NDOTS, {"name": "timeout", "value": "3"}]},
        ),
        ({"nameservers": [OURS]}, {}),
        ({"searches": ["svc.cluster.local", "a.b", "a.b"]}, {"searches": [*DOMAINS, "a.b"]}),
        ({}, {}),
    ],
)  # fmt: skip
def test_the_pods_own_settings_come_after_the_clusters(own: dict[str, Any], merged: dict[str, Any]) -> None:
    assert resolver(dnsConfig=own) == ("None", CLUSTER_DNS | merged)


def test_the_search_domains_are_those_of_the_pods_namespace() -> None:
    made = to_host(pod(namespace="team-a")).manifest["spec"]["dnsConfig"]
    assert made["searches"][0] == "team-a.svc.cluster.local"


def test_more_name_servers_than_the_host_takes_are_left_out_with_an_event() -> None:
    made = to_host(pod({"dnsConfig": {"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}}))
    assert made.manifest["spec"]["dnsConfig"]["nameservers"] == [OURS, "192.0.2.1", "192.0.2.2"]
    (told,) = made.dropped
    assert str(told).startswith("spec.dnsConfig.nameservers: 192.0.2.3 left out")


@pytest.mark.parametrize(
    ("searches", "kept"),
    [
        ([f"d{n}.example" for n in range(29)], 29),
        ([f"d{n}.example" for n in range(32)], 29),  # 32 with the cluster's three
        ([f"{n:03}.{'x' * 60}.{'y' * 60}.{'z' * 60}" for n in range(10)], 10),
        ([f"{n:03}.{'x' * 60}.{'y' * 60}.{'z' * 60}" for n in range(20)], 10),  # 187 characters each
    ],
)
def test_more_search_domains_than_the_host_takes_are_left_out_with_an_event(
    searches: list[str], kept: int
) -> None:
    made = to_host(pod({"dnsConfig": {"searches": searches}}))
    found = made.manifest["spec"]["dnsConfig"]["searches"]
    assert found == [*DOMAINS, *searches[:kept]]
    assert len(" ".join(found)) <= 2048
    assert [each.path for each in made.dropped] == ["spec.dnsConfig.searches"] * (kept < len(searches))
