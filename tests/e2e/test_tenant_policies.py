"""NetworkPolicies of a tenant, by packets: they do what they do on the host itself, and open nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.devcluster.network_probes import PYTHON, SERVER, Probe, Probers, probers
from tests.e2e.support.clusters import PREFIX, View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.lookups import NO_ERROR, ask
from tests.e2e.support.objects import KUBELET, Object, container, pod
from tests.e2e.support.polling import eventually
from tests.e2e.support.web import addresses_of_nodes, answer_outside, copy_of, server, service

TCP, OTHER = 8080, 8081
PORTS = {"tcp": ("tcp", TCP), "other": ("tcp", OTHER), "udp": ("udp", TCP)}
DOMAIN = "cluster.local"
FRIEND = {"podSelector": {"matchLabels": {"role": "friend"}}}
WORLD = {"ipBlock": {"cidr": "0.0.0.0/0"}}


def answering(name: str, **labels: str) -> Object:
    """A pod that answers on all of PORTS, and asks."""
    env = [{"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}]
    command = [PYTHON, "-c", SERVER, f"[{TCP}, {OTHER}]", f"[{TCP}]"]
    return pod(name, container(command, image=KUBELET, env=env), labels={"app": name, **labels})


def policy(name: str = "guard", *types: str, app: str = "web", **rules: Any) -> Object:
    """A NetworkPolicy for the pods app=APP."""
    spec: Object = {"podSelector": {"matchLabels": {"app": app}}, **rules}
    if types:
        spec["policyTypes"] = list(types)
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


@contextmanager
def another_namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A second namespace beside kubectl's, with its own name as the label `test`."""
    second = kubectl.within(f"v-{secrets.token_hex(4)}")
    labels = {"test": second.namespace}
    second.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": second.namespace, "labels": labels}}
    )
    try:
        eventually(lambda: second("get", "serviceaccount", "default"))  # pods are refused before
        yield second
    finally:
        second("delete", "namespace", second.namespace, "--wait=false")


def address(kubectl: Kubectl, name: str) -> str:
    """The address of a pod, once it runs."""
    (found,) = running(kubectl, f"app={name}", 1)
    return str(found["status"]["podIP"])


@dataclass(frozen=True)
class Side:
    """The pods of the comparison, in the virtual cluster or on the host itself."""

    first: Kubectl
    second: Kubectl
    addresses: Mapping[str, str]
    asked: Probers

    def reached(self) -> set[str]:
        """Who reaches whom on which port, as `friend>web:tcp`."""
        probes = [
            Probe(source, target, port, self.addresses[target], *PORTS[port])
            for source in self.addresses
            for target in self.addresses
            for port in PORTS
            if source != target and "web" in (source, target)
        ]
        return {
            f"{probe.source}>{probe.target}:{probe.port}"
            for probe, answer in self.asked.ask(probes).items()
            if answer is True
        }


@contextmanager
def side(first: Kubectl) -> Iterator[Side]:
    """web, friend and other in a namespace, foreign in another one."""
    with another_namespace(first) as second:
        first.apply(answering("web"), answering("friend", role="friend"), answering("other"))
        second.apply(answering("foreign"))
        pods = {name: (first, name) for name in ("web", "friend", "other")} | {"foreign": (second, "foreign")}
        addresses = {name: address(kubectl, name) for name, (kubectl, _) in pods.items()}
        with probers(pods) as asked:
            yield Side(first, second, addresses, asked)


def cases(second: str) -> dict[str, tuple[list[Object], set[str]]]:
    """Policies in the first namespace, and what they leave open of the ways to web and from it."""
    theirs = {"namespaceSelector": {"matchLabels": {"test": second}}}
    sources, every = ("friend", "other", "foreign"), tuple(PORTS)
    inward = {f"{source}>web:{port}" for source in sources for port in every}
    outward = {f"web>{target}:{port}" for target in sources for port in every}

    def to_web(*who: str, ports: tuple[str, ...] = every) -> set[str]:
        return outward | {f"{source}>web:{port}" for source in who for port in ports}

    def from_web(*whom: str, ports: tuple[str, ...] = every) -> set[str]:
        return inward | {f"web>{target}:{port}" for target in whom for port in ports}

    number, rest = {"port": TCP}, {"port": OTHER, "endPort": OTHER + 10}
    return {
        "deny ingress": ([policy()], to_web()),
        "deny both": ([policy("guard", "Ingress", "Egress")], set()),
        "pods by label, one port": (
            [policy(ingress=[{"from": [FRIEND], "ports": [number]}])],
            to_web("friend", ports=("tcp",)),
        ),
        "a namespace by label": ([policy(ingress=[{"from": [theirs]}])], to_web("foreign")),
        "pods of a namespace by label": (
            [policy(ingress=[{"from": [{**theirs, "podSelector": {"matchLabels": {"app": "foreign"}}}]}])],
            to_web("foreign"),
        ),
        "no such pods there": ([policy(ingress=[{"from": [{**theirs, **FRIEND}]}])], to_web()),
        "everybody, some ports": (
            [policy(ingress=[{"ports": [rest, {"protocol": "UDP"}]}])],
            to_web(*sources, ports=("other", "udp")),
        ),
        "two policies add up": (
            [
                policy(ingress=[{"from": [FRIEND]}]),
                policy("more", ingress=[{"from": [theirs], "ports": [number]}]),
            ],
            to_web("friend") | to_web("foreign", ports=("tcp",)),
        ),
        "the whole world": ([policy(ingress=[{"from": [WORLD]}])], to_web(*sources)),
        "egress to pods of a namespace": (
            [policy("guard", "Egress", egress=[{"to": [theirs], "ports": [number]}])],
            from_web("foreign", ports=("tcp",)),
        ),
        "egress by expression": (
            [
                policy(
                    "guard",
                    "Egress",
                    egress=[
                        {
                            "to": [
                                {
                                    "podSelector": {
                                        "matchExpressions": [
                                            {"key": "role", "operator": "NotIn", "values": ["friend"]}
                                        ]
                                    }
                                }
                            ]
                        }
                    ],
                )
            ],
            from_web("other"),
        ),
        "none": ([], inward | outward),
    }


def test_policies_do_what_they_do_on_the_host_itself(inside: Kubectl, namespace: Kubectl) -> None:
    with side(inside) as virtual, side(namespace) as host:
        for name in cases(""):
            for each in (virtual, host):
                policies, wanted = cases(each.second.namespace)[name]
                each.first("delete", "networkpolicies", "--all")
                if policies:
                    each.first.apply(*policies)
            for each in (virtual, host):
                wanted = cases(each.second.namespace)[name][1]
                what = f"{name}, {'inside' if each is virtual else 'on the host'}"

                def as_wanted(each: Side = each, wanted: set[str] = wanted, what: str = what) -> bool:
                    assert (what, sorted(each.reached() ^ wanted)) == (what, [])
                    return True

                eventually(as_wanted)


@pytest.fixture
def stranger(namespace: Kubectl) -> Kubectl:
    """A namespace of the host with a pod `stranger` without any policy."""
    namespace.apply(answering("stranger"))
    return namespace


def test_no_policy_opens_anything_to_others(
    host: Host, cluster: View, inside: Kubectl, make_cluster: MakeCluster, stranger: Kubectl
) -> None:
    neighbour = make_cluster("neighbour", namespace=cluster.workloads.namespace, create_namespace=False)
    neighbour.inside.apply(answering("theirs"))
    inside.apply(answering("web"), answering("friend"))
    theirs, outside = address(neighbour.inside, "theirs"), address(stranger, "stranger")
    web, friend = address(inside, "web"), address(inside, "friend")
    node, *_ = addresses_of_nodes(host.kubectl).values()
    everybody = [{"namespaceSelector": {}}, WORLD, {"ipBlock": {"cidr": "::/0"}}]
    named = [{"ipBlock": {"cidr": f"{each}/32"}} for each in (theirs, outside, node)]
    all_ports = [{"protocol": "TCP"}, {"protocol": "UDP"}]
    # A rule that allows everything isolates nobody: with ports, the policies alone are what allows.
    widest = [
        policy(
            "guard",
            "Ingress",
            "Egress",
            ingress=[{"from": [*everybody, *named]}, {"ports": all_ports}],
            egress=[{"to": [*everybody, *named]}, {"ports": all_ports}],
        )
    ]
    closed = [
        Probe("neighbour", "web", "tcp", web, "tcp", TCP),
        Probe("neighbour", "web", "udp", web, "udp", TCP),
        Probe("stranger", "web", "tcp", web, "tcp", TCP),
        Probe("stranger", "web", "udp", web, "udp", TCP),
        Probe("web", "neighbour", "tcp", theirs, "tcp", TCP),
        Probe("web", "stranger", "tcp", outside, "tcp", TCP),
        Probe("web", "stranger", "udp", outside, "udp", TCP),
        Probe("web", "node", "kubelet", node, "tcp", 10250),
    ]
    opened = [
        Probe("web", "friend", "tcp", friend, "tcp", TCP),
        Probe("friend", "web", "udp", web, "udp", TCP),
        Probe("web", "API", "", *_service(cluster.control_plane, f"{cluster.name}-api")),
        Probe("web", "DNS", "", *_service(cluster.control_plane, f"{cluster.name}-dns")),
    ]
    pods = {
        "web": (inside, "web"),
        "friend": (inside, "friend"),
        "neighbour": (neighbour.inside, "theirs"),
        "stranger": (stranger, "stranger"),
    }
    # These are there to be reached: where nobody gets through it is a policy that stops him.
    answering_ones = [
        Probe("stranger", "stranger", "tcp", outside, "tcp", TCP),
        Probe("stranger", "node", "kubelet", node, "tcp", 10250),
        Probe("neighbour", "neighbour", "tcp", theirs, "tcp", TCP),
    ]
    with probers(pods) as asked:
        eventually(lambda: all(answer is True for answer in asked.ask([*opened, *answering_ones]).values()))
        inside.apply(*widest)
        isolated(cluster, inside, "web", "isolated-ingress", "isolated-egress")
        eventually(lambda: all(answer is True for answer in asked.ask(opened).values()))
        reached = [str(probe) for probe, answer in asked.ask(closed).items() if answer is True]
        assert not reached, "\n".join(reached)


def isolated(view: View, kubectl: Kubectl, name: str, *labels: str) -> None:
    """Waits until the host's copy of a pod has these labels of isolation, and no other one."""

    def found() -> bool:
        copy = copy_of(view, kubectl, "pods", name)
        has = {key.removeprefix(PREFIX) for key in copy["metadata"]["labels"] if key.startswith(PREFIX)}
        return {each for each in has if each.startswith("isolated-")} == set(labels)

    eventually(found)


def _service(kubectl: Kubectl, name: str) -> tuple[str, str, int]:
    spec = kubectl.get("service", name)["spec"]
    return spec["clusterIP"], "tcp", spec["ports"][0]["port"]


def test_a_pod_that_may_only_ask_dns_finds_names_and_connects_nowhere(cluster: View, inside: Kubectl) -> None:
    inside.apply(answering("web"), answering("friend"))
    friend = address(inside, "friend")
    address(inside, "web")
    dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    api = Probe("web", "API", "", *_service(cluster.control_plane, f"{cluster.name}-api"))
    to_dns = Probe("web", "DNS", "", *_service(cluster.control_plane, f"{cluster.name}-dns"))
    to_friend = Probe("web", "friend", "tcp", friend, "tcp", TCP)
    both = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    name = f"kubernetes.default.svc.{DOMAIN}"

    def answers(asked: Probers) -> dict[Probe, bool]:
        return {probe: answer is True for probe, answer in asked.ask([api, to_dns, to_friend]).items()}

    with probers({"web": (inside, "web")}) as asked:
        eventually(lambda: answers(asked) == {api: True, to_dns: True, to_friend: True})
        inside.apply(policy("guard", "Egress"))
        eventually(lambda: answers(asked) == {api: False, to_dns: False, to_friend: False})
        inside.apply(policy("guard", "Egress", egress=[{"to": [dns], "ports": both}]))
        eventually(lambda: answers(asked) == {api: False, to_dns: True, to_friend: False})
        (found,) = eventually(lambda: ask(inside, "web", (name, "A")))  # a packet, which may be lost
        assert found.code == NO_ERROR
        assert found.data == [api.address]
        inside.apply(
            policy(
                "guard",
                "Egress",
                egress=[{"to": [{"ipBlock": {"cidr": f"{api.address}/32"}}], "ports": [{"port": 443}]}],
            )
        )
        eventually(lambda: answers(asked) == {api: True, to_dns: False, to_friend: False})
        inside("delete", "networkpolicy", "guard")
        eventually(lambda: answers(asked) == {api: True, to_dns: True, to_friend: True})


def test_a_node_port_leads_to_isolated_pods_if_a_policy_lets_outsiders_in(
    host: Host, inside: Kubectl
) -> None:
    inside.apply(server("web"), service("web", type="NodePort"))
    running(inside, "app=web", 1)
    number = inside.get("service", "web")["spec"]["ports"][0]["nodePort"]
    places = [f"{each}:{number}" for each in addresses_of_nodes(host.kubectl).values()]

    def is_open() -> set[bool]:
        return {answer_outside(place) == "web" for place in places}

    eventually(lambda: is_open() == {True})
    inside.apply(policy())
    eventually(lambda: is_open() == {False})
    inside.apply(policy(ingress=[{"from": [{"namespaceSelector": {}}]}, {"ports": [{"port": 1}]}]))
    inside.apply(policy("more", ingress=[{"ports": [{"port": "http"}]}]))
    eventually(lambda: is_open() == {True})
    inside.apply(policy("more", ingress=[{"from": [WORLD], "ports": [{"port": "http"}]}]))
    eventually(lambda: is_open() == {True})
    inside("delete", "networkpolicy", "more")
    eventually(lambda: is_open() == {False})
    inside("delete", "networkpolicy", "guard")
    eventually(lambda: is_open() == {True})
