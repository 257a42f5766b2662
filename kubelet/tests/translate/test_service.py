"""Services: what the host gets of one, and what it gives back."""

import copy
from typing import Any

import pytest
from k3k_kubelet import policy
from k3k_kubelet.translate import Refused, names
from k3k_kubelet.translate import service as services

from kubelet.tests.translate.builders import BASELINE, CLUSTER, OWNER, service, syncing

LIMITS = {
    "k3k-pulumi.io/cluster": "team",
    "k3k-pulumi.io/namespace": "default",
    "k3k-pulumi.io/component": "workload",
}
SELECTOR = {"labels.k3k-pulumi.io/app": "web", **LIMITS}
PORT = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}
PLAIN = {"type": "ClusterIP", "selector": SELECTOR, "ports": [PORT]}
OPEN = syncing(
    services={
        "externalIPs": ["192.0.2.0/24", "2001:db8::/32"],
        "loadBalancerClasses": ["example.com/internal"],
        "annotations": ["service.example.com/", "exact"],
        "labels": ["team"],
    }
)


def host_object(obj: dict[str, Any], policy: policy.Policy = BASELINE) -> dict[str, Any]:
    """The host's copy; the input has to stay as it was."""
    before = copy.deepcopy(obj)
    made = services.to_host(obj, CLUSTER, policy)
    assert obj == before
    assert made is not None
    assert not made.config_maps | made.secrets
    return made.manifest


def host_spec(obj: dict[str, Any], policy: policy.Policy = BASELINE) -> dict[str, Any]:
    spec: dict[str, Any] = host_object(obj, policy)["spec"]
    return spec


def test_the_copy_is_the_cluster_s_and_says_what_it_stands_for() -> None:
    labels = {"app": "web", "k3k-pulumi.io/cluster": "other", "team": "a"}
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-internal": "true", "k3k-pulumi.io/uid": "x"}
    finalizers, owners = ["example.com/mine"], [{"kind": "Node", "name": "n", "uid": "u", "apiVersion": "v1"}]
    made = host_object(
        service(
            metadata={
                "labels": labels,
                "annotations": annotations,
                "finalizers": finalizers,
                "ownerReferences": owners,
            }
        )
    )
    assert (made["apiVersion"], made["kind"]) == ("v1", "Service")
    assert made["metadata"] == {
        "name": names.host_name("team", "default", "web"),
        "namespace": "tenants",
        "labels": {
            "labels.k3k-pulumi.io/app": "web",
            "labels.k3k-pulumi.io/team": "a",
            "k3k-pulumi.io.labels.k3k-pulumi.io/cluster": "other",
            **LIMITS,
        },
        "annotations": {
            "k3k-pulumi.io/cluster": "team",
            "k3k-pulumi.io/namespace": "default",
            "k3k-pulumi.io/name": "web",
            "k3k-pulumi.io/uid": "service-uid",
        },
        "ownerReferences": [OWNER],
    }
    assert "status" not in made


def test_labels_and_annotations_of_the_policy_reach_the_host_under_their_own_keys() -> None:
    annotations = {"service.example.com/tier": "1", "exact": "2", "exactly": "3", "example.com/x": "4"}
    made = host_object(
        service(metadata={"labels": {"team": "a", "app": "b"}, "annotations": annotations}), OPEN
    )
    found = made["metadata"]
    assert found["labels"]["team"] == "a"
    assert "app" not in found["labels"]
    own = {key for key in found["annotations"] if not key.startswith("k3k-pulumi.io/")}
    assert own == {"service.example.com/tier", "exact"}


def test_annotations_that_no_object_can_have_are_refused() -> None:
    large = service(metadata={"annotations": {"exact": "x" * 256 * 1024}})
    with pytest.raises(Refused, match=r"metadata\.annotations"):
        services.to_host(large, CLUSTER, OPEN)


SPECS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("an address that the host has given", {"clusterIP": "10.96.3.4", "clusterIPs": ["10.96.3.4"]}, {}),
    (
        "two families",
        {
            "clusterIP": "10.96.3.4",
            "clusterIPs": ["10.96.3.4", "fd00::1"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
        },
        {},
    ),
    ("a wish for two families", {"ipFamilyPolicy": "PreferDualStack"}, {}),
    (
        "session affinity",
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
        {},
    ),
    ("traffic policies", {"internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose"}, {}),
    ("addresses before readiness", {"publishNotReadyAddresses": True}, {}),
    (
        "a load balancer",
        {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30100,
            "loadBalancerSourceRanges": ["198.51.100.0/24"],
        },
        {},
    ),
    (
        "ports by name, number and default",
        {
            "type": "NodePort",
            "ports": [
                {
                    "name": "a",
                    "port": 1,
                    "targetPort": "http",
                    "nodePort": 30001,
                    "appProtocol": "kubernetes.io/ws",
                },
                {"name": "b", "port": 2, "protocol": "UDP"},
            ],
        },
        {},
    ),
    ("what is not given yet", {"clusterIP": "", "clusterIPs": [""], "healthCheckNodePort": 0}, PLAIN),
    (
        "ports that are not given yet",
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 0}]},
        {"type": "NodePort", "ports": [{"port": 80}]},
    ),
    ("a name without use", {"externalName": "example.com"}, PLAIN),
    ("an address for a load balancer that is none", {"loadBalancerIP": "203.0.113.1"}, PLAIN),
    (
        "labels that look like ours",
        {"selector": {"k3k-pulumi.io/cluster": "other", "app.kubernetes.io/name": "x"}},
        {
            "selector": {
                "k3k-pulumi.io.labels.k3k-pulumi.io/cluster": "other",
                "app.kubernetes.io.labels.k3k-pulumi.io/name": "x",
                **LIMITS,
            }
        },
    ),
    ("no selector", {"selector": None}, {"selector": {**LIMITS, "k3k-pulumi.io/component": "no-pod"}}),
    ("an empty selector", {"selector": {}}, {"selector": {**LIMITS, "k3k-pulumi.io/component": "no-pod"}}),
]


@pytest.mark.parametrize(("spec", "expected"), [case[1:] for case in SPECS], ids=[case[0] for case in SPECS])
def test_the_spec_on_the_host(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    assert host_spec(service(**spec)) == (expected if expected == PLAIN else {**PLAIN, **spec, **expected})


@pytest.mark.parametrize(
    ("metadata", "spec"),
    [
        ({}, {"type": "ExternalName", "externalName": "metadata.google.internal", "selector": None}),
        ({}, {"clusterIP": "None", "clusterIPs": ["None"]}),
        ({}, {"clusterIPs": ["None"]}),
        ({"name": "kubernetes"}, {}),
        ({"name": "kube-dns", "namespace": "kube-system"}, {}),
    ],
)
def test_what_has_no_address_of_its_own_has_no_copy(metadata: dict[str, Any], spec: dict[str, Any]) -> None:
    assert (
        services.to_host(service(metadata=metadata, **spec), CLUSTER, syncing(services={"types": []})) is None
    )


def test_only_the_two_services_of_the_control_plane_are_special() -> None:
    for namespace, name in (("default", "kube-dns"), ("kube-system", "kubernetes"), ("default", "web")):
        assert services.has_copy(service(metadata={"name": name, "namespace": namespace}))


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"types": ["ClusterIP"]}, {"type": "NodePort"}, "spec.type", "types allows: ClusterIP, ExternalName"),
    ({"types": ["NodePort"]}, {"type": "LoadBalancer"}, "spec.type", "LoadBalancer"),
    ({"types": ["NodePort"]}, {}, "spec.type", "ClusterIP"),
    ({}, {"externalIPs": ["192.0.2.1"]}, "spec.externalIPs[0]", "externalIPs allows: none"),
    (
        {"externalIPs": ["192.0.2.0/24"]},
        {"externalIPs": ["192.0.2.1", "192.0.3.1"]},
        "spec.externalIPs[1]",
        "192.0.2.0/24",
    ),
    ({"externalIPs": ["0.0.0.0/0"]}, {"externalIPs": ["2001:db8::1"]}, "spec.externalIPs[0]", "2001:db8::1"),
    (
        {"externalIPs": ["0.0.0.0/0", "::/0"]},
        {"externalIPs": ["::ffff:192.0.2.1"]},
        "spec.externalIPs[0]",
        "192.0.2.1",
    ),
    ({"externalIPs": ["0.0.0.0/0"]}, {"externalIPs": ["localhost"]}, "spec.externalIPs[0]", "localhost"),
    (
        {},
        {"type": "LoadBalancer", "loadBalancerIP": "203.0.113.1"},
        "spec.loadBalancerIP",
        "externalIPs allows: none",
    ),
    (
        {},
        {"type": "LoadBalancer", "loadBalancerClass": "example.com/public"},
        "spec.loadBalancerClass",
        "loadBalancerClasses allows: none",
    ),
    ({}, {"tomorrow": 1}, "spec.tomorrow", "not known"),
    ({}, {"ports": [{"port": 1, "tomorrow": 1}]}, "spec.ports[0].tomorrow", "not known"),
    ({}, {"clusterIP": {"x": 1}}, "spec.clusterIP", "a string is expected"),
    ({}, {"selector": {"a": {}}}, "spec.selector['a']", "a string is expected"),
]


@pytest.mark.parametrize(("allowed", "spec", "path", "text"), REFUSED)
def test_what_the_policy_or_the_table_does_not_have_is_refused(
    allowed: dict[str, Any], spec: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        services.to_host(service(**spec), CLUSTER, syncing(services=allowed))
    assert refused.value.path == path
    assert text in str(refused.value)


def test_addresses_and_classes_that_the_policy_gives_are_copied() -> None:
    spec = {
        "type": "LoadBalancer",
        "externalIPs": ["192.0.2.1", "2001:db8::1"],
        "loadBalancerIP": "192.0.2.7",
        "loadBalancerClass": "example.com/internal",
    }
    assert host_spec(service(**spec), OPEN) == {**PLAIN, **spec}


def test_what_the_host_has_given_gets_into_the_service_inside() -> None:
    own = service(
        {"name": "a", "port": 80},
        {"name": "b", "port": 80, "protocol": "UDP", "nodePort": 9},
        {"name": "c", "port": 81, "nodePort": 30003},
        type="LoadBalancer",
        clusterIP="",
        ipFamilyPolicy="PreferDualStack",
    )
    given = {
        "clusterIP": "10.96.3.4",
        "clusterIPs": ["10.96.3.4"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "PreferDualStack",
        "healthCheckNodePort": 30100,
        "sessionAffinity": "None",
        "selector": SELECTOR,
        "ports": [
            {"name": "a", "port": 80, "protocol": "TCP", "nodePort": 30001},
            {"name": "b", "port": 80, "protocol": "UDP", "nodePort": 30002},
            {"name": "c", "port": 81, "protocol": "TCP"},
        ],
    }
    before = copy.deepcopy((own, given))
    assert services.allocated(own, {"spec": given}) == {
        "type": "LoadBalancer",
        "selector": {"app": "web"},
        "clusterIP": "10.96.3.4",
        "clusterIPs": ["10.96.3.4"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "PreferDualStack",
        "healthCheckNodePort": 30100,
        "ports": [
            {"name": "a", "port": 80, "nodePort": 30001},
            {"name": "b", "port": 80, "protocol": "UDP", "nodePort": 30002},
            {"name": "c", "port": 81},
        ],
    }
    assert (own, given) == before


def on_host(kind: str, ingress: list[dict[str, Any]], *finalizers: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "finalizers": list(finalizers)},
        "spec": {"type": kind},
        "status": {"loadBalancer": {"ingress": ingress}, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def test_where_the_load_balancer_answers_is_shown_inside() -> None:
    points = [
        {"ip": "192.0.2.1", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP", "tomorrow": 1}]},
        {"hostname": "lb.example.com", "tomorrow": "x"},
    ]
    assert services.load_balancer(on_host("LoadBalancer", points)) == {
        "ingress": [
            {"ip": "192.0.2.1", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]},
            {"hostname": "lb.example.com"},
        ]
    }


def test_a_service_without_a_load_balancer_shows_none() -> None:
    assert services.load_balancer(on_host("ClusterIP", [{"ip": "192.0.2.1"}])) == {}
    assert services.load_balancer(on_host("LoadBalancer", [])) == {}
    assert services.load_balancer({"metadata": {}, "spec": {"type": "LoadBalancer"}}) == {}


def test_a_load_balancer_is_cleaned_up_until_the_host_s_finalizer_is_gone() -> None:
    assert services.awaits_cleanup(on_host("LoadBalancer", []))
    assert services.awaits_cleanup(on_host("ClusterIP", [], services.CLEANUP))
    assert not services.awaits_cleanup(on_host("ClusterIP", [], "example.com/other"))
