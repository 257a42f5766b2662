"""NetworkPolicies of a tenant: what the host gets allows no more than the cluster may without them."""

import copy
from typing import Any

import pytest
from k3k_kubelet.translate import HostObject, Refused, identity, names, network_policy
from k3k_kubelet.translate.network_policy import Reach
from k3k_kubelet.translate.schema import rows
from k3k_kubelet.translate.table.network_policy import POLICY_SPEC

from kubelet.tests.translate.builders import CLUSTER, OWNER
from kubelet.tests.translate.test_table import struct_differences

Rule = dict[str, Any]

DENIED = ("10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "fc00::/7")
INTERNET = Reach("planes", DENIED, name_servers=True, families=frozenset((4,)))
NONE = Reach("planes", ("0.0.0.0/0", "::/0"), name_servers=False, families=frozenset((4,)))
ALL = Reach("planes", (), name_servers=True, families=frozenset((4,)))
NAMESPACES = {
    "shop": {"team": "a"},
    "bank": {"team": "b", "tier": "gold"},
    "mail": {"team": "b"},
    "kube-system": {},
}
OWN = {"podSelector": {"matchLabels": {identity.CLUSTER: "team", identity.COMPONENT: "workload"}}}
WEB = [{"protocol": "TCP", "port": 80}]


def server(component: str) -> Rule:
    return {
        "podSelector": {"matchLabels": {identity.CLUSTER: "team", identity.COMPONENT: component}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "planes"}},
    }


def pods(*namespaces: str, **labels: str) -> Rule:
    """Pods of namespaces inside with these labels, as a peer on the host."""
    chosen: Rule = {
        "matchLabels": {
            **{names.label_key(key): value for key, value in labels.items()},
            identity.CLUSTER: "team",
            identity.COMPONENT: "workload",
        }
    }
    if len(namespaces) == 1:
        chosen["matchLabels"][identity.NAMESPACE] = namespaces[0]
    elif namespaces:
        chosen["matchExpressions"] = [
            {"key": identity.NAMESPACE, "operator": "In", "values": sorted(namespaces)}
        ]
    return {"podSelector": chosen}


def policy(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "guard", "namespace": "shop", "uid": "policy-uid", "labels": {"a": "b"}}
    return {"metadata": metadata, "spec": {"podSelector": {}, **spec}}


def to_host(reach: Reach = INTERNET, **spec: Any) -> HostObject:
    obj = policy(**spec)
    before = copy.deepcopy(obj)
    made = network_policy.to_host(obj, CLUSTER, reach, NAMESPACES)
    assert obj == before
    return made


def ingress(rule: Rule) -> list[Rule]:
    found: list[Rule] = to_host(ingress=[rule]).manifest["spec"].get("ingress", [])
    return found


def egress(rule: Rule, reach: Reach = INTERNET) -> list[Rule]:
    made = to_host(reach, policyTypes=["Egress"], egress=[rule]).manifest["spec"]
    assert made["policyTypes"] == ["Egress"]
    found: list[Rule] = made.get("egress", [])
    return found


def test_a_copy_is_the_cluster_s_own_and_selects_pods_of_its_namespace_alone() -> None:
    made = to_host(
        podSelector={
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": identity.CLUSTER, "operator": "DoesNotExist"}],
        }
    )
    assert made.manifest == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.host_name("team", "shop", "guard"),
            "namespace": "tenants",
            "labels": {names.label_key("a"): "b", **identity.labels("team", "shop")},
            "annotations": {
                identity.CLUSTER: "team",
                identity.NAMESPACE: "shop",
                identity.NAME: "guard",
                identity.UID: "policy-uid",
            },
            "ownerReferences": [OWNER],
        },
        "spec": {
            "podSelector": {
                "matchLabels": {names.label_key("app"): "web", **identity.labels("team", "shop")},
                "matchExpressions": [{"key": names.label_key(identity.CLUSTER), "operator": "DoesNotExist"}],
            },
            "policyTypes": ["Ingress"],
        },
    }
    assert not made.dropped


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": [{}]}, ["Ingress"]),
        ({"egress": []}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, ["Egress"]),
        ({"policyTypes": ["Ingress"], "egress": [{}]}, ["Ingress"]),
        ({"policyTypes": ["Egress", "Ingress", "Egress"]}, ["Egress", "Ingress"]),
    ],
)
def test_directions_are_kubernetes_own_and_rules_of_others_are_none(
    spec: dict[str, Any], types: list[str]
) -> None:
    made = to_host(**spec).manifest["spec"]
    assert made["policyTypes"] == types
    assert {key.title() for key in made} - {"Podselector", "Policytypes"} <= set(types)
    assert network_policy.selection(policy(**spec)).directions == set(types)


@pytest.mark.parametrize("peers", [{}, {"from": []}, {"from": None}])
@pytest.mark.parametrize("ports", [{}, {"ports": WEB}])
def test_a_rule_for_everybody_lets_the_own_cluster_in(peers: Rule, ports: Rule) -> None:
    assert ingress({**peers, **ports}) == [{"from": [OWN], **ports}]


@pytest.mark.parametrize(
    ("peer", "meant"),
    [
        ({"podSelector": {}}, pods("shop")),
        ({"podSelector": {"matchLabels": {"app": "a"}}}, pods("shop", app="a")),
        ({"namespaceSelector": {}}, OWN),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "a"}}}, pods(app="a")),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, pods("bank", "mail")),
        (
            {
                "namespaceSelector": {"matchLabels": {"tier": "gold"}},
                "podSelector": {"matchLabels": {"app": "a"}},
            },
            pods("bank", app="a"),
        ),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mail"}}}, pods("mail")),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
            pods("bank", "mail", "shop"),
        ),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}},
            pods("kube-system", "mail", "shop"),
        ),
        (
            {
                "namespaceSelector": {
                    "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["b"]}]
                }
            },
            pods("kube-system", "shop"),
        ),
        (
            {
                "namespaceSelector": {
                    "matchLabels": {"team": "b"},
                    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "x"]}],
                }
            },
            pods("bank"),
        ),
        ({"namespaceSelector": {"matchLabels": {"team": "nobody"}}}, None),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, OWN),
        ({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.9.0.0/16"]}}, None),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, None),
        ({"ipBlock": {"cidr": "::/0"}}, None),
    ],
)
def test_peers_are_pods_of_the_own_cluster_alone(peer: Rule, meant: Rule | None) -> None:
    assert ingress({"from": [peer], "ports": WEB}) == (
        [] if meant is None else [{"from": [meant], "ports": WEB}]
    )
    own = [rule for rule in egress({"to": [peer], "ports": WEB}) if "podSelector" in rule["to"][0]]
    assert own == ([] if meant is None else [{"to": [meant], "ports": WEB}])


def test_ports_stay_what_they_are_between_pods() -> None:
    ports = [
        {"port": "http"},
        {"protocol": "UDP", "port": 5000, "endPort": 5010},
        {"protocol": "SCTP"},
    ]
    assert ingress({"from": [{"podSelector": {}}], "ports": ports}) == [
        {"from": [pods("shop")], "ports": ports}
    ]


@pytest.mark.parametrize(
    "peer",
    [
        {},
        {"ipBlock": {"cidr": "nonsense"}},
        {"ipBlock": {"cidr": "fe80::%eth0/64"}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["nonsense"]}},
        {"ipBlock": {"cidr": "::ffff:169.254.169.254/128"}},
        {"ipBlock": {"cidr": " ::ffff:a00:0/104 "}},
        {"ipBlock": {"cidr": "::ffff:0:0/96"}},
        {"ipBlock": {"cidr": "::/0", "except": ["::FFFF:10.0.0.0/104"]}},
        {"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}},
        {"ipBlock": {}},
        {"podSelector": {"matchLabels": {"a": 1}}},
        {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Like"}]}},
        {"serviceSelector": {}},
        "everybody",
    ],
)
@pytest.mark.parametrize(("direction", "key"), [("ingress", "from"), ("egress", "to")])
def test_a_rule_that_cannot_be_told_to_the_host_allows_nothing_and_the_others_hold(
    direction: str, key: str, peer: Any
) -> None:
    good = {key: [{"podSelector": {}}]}
    spec = {direction: [{key: [{"podSelector": {}}, peer]}, good]}
    made = to_host(policyTypes=[direction.title()], **spec)
    assert made.manifest["spec"][direction] == [{key: [pods("shop")]}]
    (dropped,) = made.dropped
    assert str(dropped).startswith(f"spec.{direction}[0].{key}[1]")
    assert f"spec.{direction}[0] allows nothing" in str(dropped)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"policyTypes": ["Inward"]}, r"spec\.policyTypes\[0\]"),
        ({"podSelector": {"matchLabels": ["a"]}}, r"spec\.podSelector\.matchLabels"),
        ({"tier": 1}, r"spec\.tier"),
    ],
)
def test_a_policy_of_which_nobody_knows_whom_it_is_about_is_refused(spec: Rule, path: str) -> None:
    with pytest.raises(Refused, match=path):
        to_host(**spec)
    with pytest.raises(Refused, match=path):
        network_policy.selection(policy(**spec))


@pytest.mark.parametrize(
    ("spec", "opened"),
    [
        ({"ingress": [{}]}, {"Ingress"}),
        ({"ingress": [{"from": [], "ports": None}]}, {"Ingress"}),
        ({"ingress": [{"ports": WEB}, {}], "egress": [{"to": [{"podSelector": {}}]}]}, {"Ingress"}),
        ({"policyTypes": ["Ingress"], "egress": [{}]}, set()),
        ({"ingress": [{"ports": WEB}]}, set()),
        ({"ingress": [{"from": [{"namespaceSelector": {}}]}]}, set()),
        ({"ingress": []}, set()),
    ],
)
def test_what_allows_everything_isolates_nobody(spec: Rule, opened: set[str]) -> None:
    assert network_policy.selection(policy(**spec)).open == opened


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ({}, {}),
        ({"matchLabels": {"app": "web"}}, {"app": "web", "x": "y"}),
        ({"matchLabels": {"app": "web"}}, {"app": "db"}),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, {"app": "db"}),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, {}),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, {}),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, {"app": "web"}),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {"app": ""}),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, {"app": ""}),
        ({"matchLabels": {identity.CLUSTER: "team"}}, {}),
    ],
)
def test_a_copy_selects_the_pods_that_its_policy_does(selector: Rule, labels: dict[str, str]) -> None:
    obj = policy(podSelector=selector)
    copied = network_policy.to_host(obj, CLUSTER, INTERNET, {}).manifest
    for namespace in ("shop", "bank"):
        pod = {"metadata": {"namespace": namespace, "labels": labels}}
        on_host = network_policy.of_host(copied).matches(network_policy.host_labels(pod, CLUSTER), "Ingress")
        inside = network_policy.selection(obj).matches(labels, "Ingress") and namespace == "shop"
        assert on_host is inside


def test_the_table_has_every_field_of_kubernetes_with_its_type() -> None:
    kind = "V1NetworkPolicySpec"
    assert list(struct_differences(kind, POLICY_SPEC, kind)) == []
    assert all(field.why for _, _, field in rows(POLICY_SPEC))
