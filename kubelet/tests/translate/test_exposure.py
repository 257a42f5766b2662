"""NetworkPolicies for what a tenant exposes."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused, exposure, names

from kubelet.tests.translate.builders import CLUSTER, OWNER, service

SELECTOR = {
    "labels.k3k-pulumi.io/app": "web",
    "k3k-pulumi.io/cluster": "team",
    "k3k-pulumi.io/namespace": "default",
    "k3k-pulumi.io/component": "workload",
}


def rule(obj: dict[str, Any]) -> dict[str, Any]:
    """The one rule of a Service's policy."""
    made = exposure.of_service(obj, CLUSTER)
    assert made is not None
    (found,) = made["spec"]["ingress"]
    return dict(found)


def test_the_pods_of_a_node_port_are_open_to_anybody_on_the_ports_that_it_leads_to() -> None:
    made = exposure.of_service(
        service(
            {"port": 80, "targetPort": "http"},
            {"port": 53, "protocol": "UDP", "targetPort": 1053},
            {"port": 443},
            type="NodePort",
        ),
        CLUSTER,
    )
    name = "web:services"
    assert made == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.host_name("team", "default", name),
            "namespace": "tenants",
            "labels": {key: value for key, value in SELECTOR.items() if key.startswith("k3k-pulumi.io/")},
            "annotations": {
                "k3k-pulumi.io/cluster": "team",
                "k3k-pulumi.io/namespace": "default",
                "k3k-pulumi.io/name": name,
                "k3k-pulumi.io/uid": "service-uid",
            },
            "ownerReferences": [OWNER],
        },
        "spec": {
            "podSelector": {
                "matchLabels": SELECTOR,
                "matchExpressions": [{"key": "k3k-pulumi.io/isolated-ingress", "operator": "DoesNotExist"}],
            },
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "ports": [
                        {"protocol": "TCP", "port": "http"},
                        {"protocol": "UDP", "port": 1053},
                        {"protocol": "TCP", "port": 443},
                    ]
                }
            ],
        },
    }


def test_no_object_inside_has_a_copy_with_the_policy_s_name() -> None:
    made = exposure.of_service(service(type="NodePort"), CLUSTER)
    assert made is not None
    assert not names.is_name(made["metadata"]["annotations"]["k3k-pulumi.io/name"])


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"type": "ExternalName", "externalName": "example.com"},
        {"clusterIP": "None"},
        {"type": "NodePort", "selector": None},
        {"type": "LoadBalancer", "selector": {}},
        {"type": "LoadBalancer", "ports": []},
    ],
)
def test_what_is_not_exposed_or_leads_to_no_pods_opens_nothing(spec: dict[str, Any]) -> None:
    assert exposure.of_service(service(**spec), CLUSTER) is None


def test_external_ips_expose_a_service_of_any_type() -> None:
    assert "from" not in rule(service(externalIPs=["192.0.2.1"]))


RANGES = [" 198.51.100.7/24", "2001:db8::/32"]


def test_source_ranges_hold_where_packets_keep_their_sender() -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": RANGES}
    assert rule(service(**spec))["from"] == [
        {"ipBlock": {"cidr": "198.51.100.0/24"}},
        {"ipBlock": {"cidr": "2001:db8::/32"}},
    ]


def test_where_nodes_pass_packets_on_as_theirs_kube_proxy_enforces_source_ranges() -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "loadBalancerSourceRanges": RANGES}
    assert "from" not in rule(service(**spec))


@pytest.mark.parametrize(
    ("spec", "allowed", "open_to"),
    [
        ({}, ["198.51.100.0/24"], ["198.51.100.0/24"]),
        ({"loadBalancerSourceRanges": ["198.51.100.128/25"]}, ["198.51.100.0/24"], ["198.51.100.128/25"]),
        ({"loadBalancerSourceRanges": ["0.0.0.0/0"]}, ["198.51.100.0/24"], ["198.51.100.0/24"]),
        (
            {"loadBalancerSourceRanges": RANGES},
            ["198.51.0.0/16", "2001:db8:7::/48"],
            ["198.51.100.0/24", "2001:db8:7::/48"],
        ),
        ({"type": "NodePort", "loadBalancerSourceRanges": RANGES}, ["192.0.2.0/24"], ["192.0.2.0/24"]),
        ({"type": "ClusterIP", "externalIPs": ["192.0.2.1"]}, ["192.0.2.0/24"], ["192.0.2.0/24"]),
        ({"loadBalancerSourceRanges": ["192.0.2.0/24"]}, ["198.51.100.0/24"], None),
        ({"externalTrafficPolicy": "Cluster"}, ["198.51.100.0/24"], None),
        ({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, ["198.51.100.0/24"], None),
        ({}, [], None),
    ],
)
def test_what_is_exposed_is_open_to_the_policy_s_ranges_alone(
    spec: dict[str, Any], allowed: list[str], open_to: list[str] | None
) -> None:
    obj = service(**{"type": "LoadBalancer", "externalTrafficPolicy": "Local", **spec})
    made = exposure.of_service(obj, CLUSTER, allowed)
    if open_to is None:
        assert made is None
    else:
        assert made is not None
        (found,) = made["spec"]["ingress"]
        assert found["from"] == [{"ipBlock": {"cidr": each}} for each in open_to]


def test_a_range_that_is_none_does_not_open_the_service_to_everybody() -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["x"]}
    with pytest.raises(Refused, match=r"spec\.loadBalancerSourceRanges\[0\]"):
        exposure.of_service(service(**spec), CLUSTER)


def test_some_ports_for_some_peers() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    obj = service({"name": "a", "port": 1}, {"name": "b", "port": 2})
    made = exposure.network_policy(obj, CLUSTER, "ingress", ports=[obj["spec"]["ports"][1]], peers=[peer])
    assert made is not None
    assert made["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 2}], "from": [peer]}]
    assert made["metadata"]["name"] == names.host_name("team", "default", "web:ingress")
