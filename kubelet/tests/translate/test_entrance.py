"""Who outside reaches exposed pods that a NetworkPolicy isolates: whom both let in, and nobody else."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused, entrance, identity, names
from k3k_kubelet.translate.rules.network_policy import MAX_RANGES

from kubelet.tests.translate.builders import CLUSTER, OWNER, service

Rule = dict[str, Any]

PAIR = {"metadata": {"namespace": "default", "name": "web:guard", "uid": "both"}}
HTTP, UDP = {"protocol": "TCP", "port": 8080}, {"protocol": "UDP", "port": 53}
CONTROLLER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "controllers"}}}


def policy(*ingress: Rule, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "guard", "namespace": "default", "uid": "policy-uid"}
    return {"metadata": metadata, "spec": {"podSelector": {}, "ingress": list(ingress), **spec}}


def made(
    obj: dict[str, Any], *openings: Rule, selects: dict[str, str] | None = None
) -> dict[str, Any] | None:
    exposed = service(selector=selects or {"app": "web"})
    return entrance.to_host(PAIR, exposed, obj, CLUSTER, openings)


def rules(obj: dict[str, Any], *openings: Rule) -> list[Rule]:
    found = made(obj, *openings)
    return [] if found is None else list(found["spec"]["ingress"])


def test_it_is_for_isolated_pods_that_both_select() -> None:
    chosen = {
        "matchLabels": {"tier": "front"},
        "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}],
    }
    found = made(policy({}, podSelector=chosen), {"ports": [HTTP]})
    alias = "web:guard:admitted"
    assert found == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.host_name("team", "default", alias),
            "namespace": "tenants",
            "labels": identity.labels("team", "default"),
            "annotations": {
                identity.CLUSTER: "team",
                identity.NAMESPACE: "default",
                identity.NAME: alias,
                identity.UID: "both",
            },
            "ownerReferences": [OWNER],
        },
        "spec": {
            "podSelector": {
                "matchLabels": {
                    names.label_key("tier"): "front",
                    names.label_key("app"): "web",
                    **identity.labels("team", "default"),
                },
                "matchExpressions": [
                    {"key": names.label_key("app"), "operator": "NotIn", "values": ["db"]},
                    {"key": identity.ISOLATED["Ingress"], "operator": "Exists"},
                ],
            },
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [HTTP]}],
        },
    }


@pytest.mark.parametrize(
    ("selects", "isolates"), [({"app": "web"}, {"app": "db"}), ({"app": "web", "a": "b"}, {"a": "c"})]
)
def test_no_pod_that_only_one_of_them_selects_is_open(
    selects: dict[str, str], isolates: dict[str, str]
) -> None:
    obj = policy({}, podSelector={"matchLabels": isolates})
    assert made(obj, {"ports": [HTTP]}, selects=selects) is None


def test_a_service_without_a_selector_opens_nothing() -> None:
    assert entrance.to_host(PAIR, service(selector={}), policy({}), CLUSTER, [{"ports": [HTTP]}]) is None


@pytest.mark.parametrize(
    ("ports", "common"),
    [
        (None, [HTTP, UDP]),
        ([], [HTTP, UDP]),
        ([{"port": 8080}], [HTTP]),
        ([{"protocol": "TCP", "port": 8000, "endPort": 9000}], [HTTP]),
        ([{"protocol": "UDP"}], [UDP]),
        ([{"protocol": "UDP", "port": 8080}], []),
        ([{"port": 80}], []),
        ([{"port": "http"}], []),
    ],
)
def test_ports_are_those_that_both_have(ports: list[Rule] | None, common: list[Rule]) -> None:
    assert rules(policy({"ports": ports}), {"ports": [HTTP, UDP]}) == ([{"ports": common}] if common else [])


def test_a_port_s_name_is_in_common_with_itself() -> None:
    named = {"protocol": "TCP", "port": "http"}
    assert rules(policy({"ports": [{"port": "http"}]}), {"ports": [named]}) == [{"ports": [named]}]
    assert rules(policy({"ports": [{"port": 8080}]}), {"ports": [named]}) == []


def block(cidr: str, *without: str) -> Rule:
    return {"ipBlock": {"cidr": cidr, **({"except": list(without)} if without else {})}}


@pytest.mark.parametrize(
    ("let_in", "exposed_to", "common"),
    [
        (None, None, None),
        ([], None, None),
        (None, [CONTROLLER], [CONTROLLER]),
        (None, [block("192.0.2.0/24")], [block("192.0.2.0/24")]),
        ([block("192.0.2.0/24")], None, [block("192.0.2.0/24")]),
        ([block("192.0.2.0/24", "192.0.2.9/32")], None, [block("192.0.2.0/24", "192.0.2.9/32")]),
        ([block("192.0.2.0/24")], [block("192.0.2.128/25")], [block("192.0.2.128/25")]),
        ([block("192.0.2.128/25")], [block("192.0.2.0/24")], [block("192.0.2.128/25")]),
        ([block("192.0.2.0/24", "192.0.2.128/25")], [block("192.0.2.192/26")], []),
        ([block("192.0.2.0/24")], [block("198.51.100.0/24")], []),
        ([block("192.0.2.0/24")], [CONTROLLER], []),
        ([{"podSelector": {}}], None, []),
        ([{"namespaceSelector": {}}, block("192.0.2.0/24")], None, [block("192.0.2.0/24")]),
    ],
)
def test_senders_are_those_whom_both_let_in(
    let_in: list[Rule] | None, exposed_to: list[Rule] | None, common: list[Rule] | None
) -> None:
    opening = {"ports": [HTTP]} | ({} if exposed_to is None else {"from": exposed_to})
    found = rules(policy({"from": let_in}), opening)
    if common is None:
        assert found == [{"ports": [HTTP]}]
    else:
        assert found == ([{"ports": [HTTP], "from": common}] if common else [])


@pytest.mark.parametrize(
    "spec",
    [
        {"policyTypes": ["Egress"], "ingress": [{"ports": [HTTP]}]},
        {"ingress": []},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "nonsense"}}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "::ffff:192.0.2.0/120"}}]}]},
        {"ingress": [{"from": [{"serviceSelector": {}}]}]},
        {"ingress": [{"to": []}]},
        {"policyTypes": ["Inward"], "ingress": [{}]},
    ],
)
def test_what_lets_nobody_in_from_outside_opens_nothing(spec: dict[str, Any]) -> None:
    assert entrance.outside(policy(**spec)) == []


def test_rules_and_openings_add_up() -> None:
    both = policy({"ports": [{"port": 8080}]}, {"from": [block("192.0.2.0/24")]})
    assert rules(both, {"ports": [HTTP]}, {"ports": [UDP], "from": [CONTROLLER]}) == [
        {"ports": [HTTP]},
        {"ports": [HTTP], "from": [block("192.0.2.0/24")]},
    ]


def test_the_host_gets_so_many_ranges_and_no_more() -> None:
    most = [block(f"8.{n >> 8}.{n & 255}.0/24") for n in range(MAX_RANGES)]
    assert rules(policy({"from": [*most, most[0]]}), {"ports": [HTTP]}) == [{"ports": [HTTP], "from": most}]
    with pytest.raises(Refused, match=r"^spec: means 2001 ranges .*; 2000 are allowed"):
        rules(policy({"from": [*most, block("192.0.2.0/24")]}), {"ports": [HTTP]})
    with pytest.raises(Refused, match="means 4000 ranges"):
        rules(policy({"from": most}), {"ports": [HTTP]}, {"ports": [HTTP], "from": [block("8.0.0.0/8")]})
