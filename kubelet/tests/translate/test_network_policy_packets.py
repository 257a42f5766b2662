"""Random NetworkPolicies and packets: what the host lets through, Kubernetes would, and the cluster may.

The host's rules are judged by Kubernetes' own text (NetworkPolicy in k8s.io/api/networking/v1): so is the
policy inside, as if DNS and the API server were where other clusters have them.
"""

import ipaddress
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from k3k_kubelet.translate import identity, names, network_policy
from k3k_kubelet.translate.network_policy import Reach
from k3k_kubelet.translate.selectors import matches

from kubelet.tests.translate.builders import CLUSTER
from kubelet.tests.translate.test_network_policy import ALL, INTERNET, NAMESPACES, NONE

Rule = dict[str, Any]

ADDRESSES = ("10.1.2.3", "169.254.169.254", "8.8.8.8", "203.0.113.7", "192.168.0.9", "2001:db8::7", "fd00::7")
NUMBERS = (53, 80, 443, 1053, 6443, 8080)


@dataclass(frozen=True)
class Target:
    """The other end of a packet: a pod, by its host namespace and labels, or an address."""

    namespace: str = ""
    labels: Mapping[str, str] | None = None
    address: str = ""


def own(namespace: str, labels: Mapping[str, str]) -> Target:
    """A pod of the cluster."""
    carried = {names.label_key(key): value for key, value in labels.items()}
    return Target("tenants", carried | identity.labels("team", namespace))


SERVERS = {
    component: Target("planes", {identity.CLUSTER: "team", identity.COMPONENT: component})
    for component in ("server", "dns", "kubelet")
}
STRANGERS = (
    Target("tenants", {**identity.labels("other", "shop"), names.label_key("app"): "a"}),
    Target("tenants", {"app": "a"}),
    Target("elsewhere", identity.labels("team", "shop")),
    Target("planes", {identity.CLUSTER: "other", identity.COMPONENT: "server"}),
)


def allows(rules: list[Rule], key: str, target: Target, protocol: str, port: int) -> bool:
    """Whether rules of a host policy in the namespace `tenants` let a packet through."""
    return any(_has_port(rule, protocol, port) and _has_peer(rule, key, target) for rule in rules)


def _has_port(rule: Rule, protocol: str, port: int) -> bool:
    def has(each: Rule) -> bool:
        first = each.get("port")
        last = each.get("endPort", first)
        return each.get("protocol", "TCP") == protocol and (first is None or first <= port <= last)

    return not rule.get("ports") or any(map(has, rule["ports"]))


def _has_peer(rule: Rule, key: str, target: Target) -> bool:
    def has(peer: Rule) -> bool:
        if "ipBlock" in peer:
            return bool(target.address) and _in(peer["ipBlock"], target.address)
        if target.labels is None:
            return False
        space = peer.get("namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": "tenants"}})
        named = {"kubernetes.io/metadata.name": target.namespace}
        return matches(space, named) and matches(peer.get("podSelector", {}), target.labels)

    return not rule.get(key) or any(map(has, rule[key]))


def _in(block: Rule, address: str) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block["cidr"]) and not any(
        found in ipaddress.ip_network(each) for each in block.get("except", ())
    )


def base(reach: Reach, target: Target, protocol: str, port: int) -> bool:
    """What the cluster's pods reach without any policy of the tenant's, as the library's rules have it."""
    if target == SERVERS["server"] and (protocol, port) == ("TCP", 6443):
        return True
    if target == SERVERS["dns"] and protocol in ("TCP", "UDP") and port == 1053:
        return True
    if reach.name_servers and protocol in ("TCP", "UDP") and port == 53:
        return True
    if target.labels is not None:
        mine = target.namespace == "tenants" and target.labels.get(identity.CLUSTER) == "team"
        return mine or reach is ALL
    denied = any(ipaddress.ip_address(target.address) in ipaddress.ip_network(each) for each in reach.denied)
    return not denied


def inside(rule: Rule, key: str, labels: Mapping[str, str], namespace: str, protocol: str, port: int) -> bool:
    """Whether a rule of the tenant's, in `shop`, is about a pod inside."""

    def has(peer: Rule) -> bool:
        if "ipBlock" in peer:
            return peer["ipBlock"] == {"cidr": "0.0.0.0/0"}  # which is every pod's address as well
        space = peer.get("namespaceSelector")
        there = {**NAMESPACES[namespace], "kubernetes.io/metadata.name": namespace}
        chosen = namespace == "shop" if space is None else matches(space, there)
        return chosen and matches(peer.get("podSelector", {}), labels)

    return _has_port(rule, protocol, port) and (not rule.get(key) or any(map(has, rule[key])))


class Policies:
    """Random parts of policies."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def selector(self, keys: tuple[str, ...], values: tuple[str, ...]) -> Rule:
        """Of labels or of none."""
        made: Rule = {}
        if self.pick.random() < 0.5:
            made["matchLabels"] = {self.pick.choice(keys): self.pick.choice(values)}
        if self.pick.random() < 0.3:
            operator = self.pick.choice(("In", "NotIn", "Exists", "DoesNotExist"))
            each: Rule = {"key": self.pick.choice(keys), "operator": operator}
            if operator.endswith("In"):
                each["values"] = [self.pick.choice(values)]
            made["matchExpressions"] = [each]
        return made

    def peer(self) -> Rule:
        """Anybody that a peer can mean."""
        kind = self.pick.randrange(4)
        if kind == 0:
            cidr = self.pick.choice(
                ("0.0.0.0/0", "::/0", "10.0.0.0/8", "8.0.0.0/6", "203.0.113.0/24", "169.254.0.0/16")
            )
            inner = {"0.0.0.0/0": "8.8.0.0/16", "8.0.0.0/6": "8.8.8.0/24"}.get(cidr)
            without = {"except": [inner]} if inner and self.pick.random() < 0.5 else {}
            return {"ipBlock": {"cidr": cidr, **without}}
        made: Rule = {}
        if kind != 1:
            made["namespaceSelector"] = self.selector(("team", "tier"), ("a", "b", "gold"))
        if kind != 2:
            made["podSelector"] = self.selector(("app", "k8s-app"), ("a", "b", "kube-dns"))
        return made

    def rule(self, key: str) -> Rule:
        """With some peers and ports, or none."""
        made: Rule = {}
        if self.pick.random() < 0.8:
            made[key] = [self.peer() for _ in range(self.pick.randrange(1, 3))]
        if self.pick.random() < 0.6:
            first = self.pick.choice(NUMBERS)
            port: Rule = {"protocol": self.pick.choice(("TCP", "UDP", "SCTP")), "port": first}
            if self.pick.random() < 0.3:
                port["endPort"] = first + self.pick.randrange(0, 2000)
            made["ports"] = [port]
        return made


@pytest.mark.parametrize("reach", [INTERNET, NONE, ALL], ids=["internet", "none", "all"])
@pytest.mark.parametrize(("direction", "key"), [("ingress", "from"), ("egress", "to")])
def test_random_policies_let_through_what_both_would(reach: Reach, direction: str, key: str) -> None:
    policies = Policies(7)
    pods = [(space, {"app": app, "k8s-app": app}) for space in NAMESPACES for app in ("a", "kube-dns")]
    through = 0
    for _ in range(50):
        rule = policies.rule(key)
        spec = {"podSelector": {}, "policyTypes": [direction.title()], direction: [rule]}
        obj = {"metadata": {"name": "p", "namespace": "shop", "uid": "u"}, "spec": spec}
        made = network_policy.to_host(obj, CLUSTER, reach, NAMESPACES).manifest["spec"].get(direction, [])
        for protocol in ("TCP", "UDP", "SCTP"):
            for port in NUMBERS:
                for space, labels in pods:
                    found = allows(made, key, own(space, labels), protocol, port)
                    wanted = inside(rule, key, labels, space, protocol, port)
                    assert found is wanted, (rule, space, labels, protocol, port)
                    through += found
                others = [Target(address=each) for each in ADDRESSES]
                for target in (*SERVERS.values(), *STRANGERS, *others):
                    if allows(made, key, target, protocol, port):
                        assert direction == "egress", (rule, target, protocol, port)
                        assert base(reach, target, protocol, port), (rule, target, protocol, port)
                        through += 1
    assert through > 200
