"""The host cluster enforces NetworkPolicies: shown with packets, for every pair of pods and nodes at once.

`client`, `server` and `remote` are pods of the namespace that has the policies, `stranger` is one of another;
`near` and `far` are the nodes, that is pods of the host network, with a label that policies ask for in vain.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.e2e.devcluster.network_probes import (
    PYTHON,
    SERVER,
    STARTER,
    TALKER,
    Probe,
    Probers,
    conversation,
    pod,
    probers,
)
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.xdist_group("network-policy")

PODS = {  # name: its node, its namespace
    "client": ("near", "team"),
    "server": ("near", "team"),
    "remote": ("far", "team"),
    "stranger": ("far", "other"),
    "near": ("near", "team"),
    "far": ("far", "team"),
}
ISOLATED = "client server remote"

# What is closed (-) and open (+), later lines win. At first all is open, and in the end what no policy can
# close: a pod's own node reaches it, and a pod itself, here through the Service that leads back to it.
ALWAYS = """
+ near > client server service: *
+ far > remote stranger: *
+ server > service: *
"""
DENY_INGRESS = "{podSelector: {}, policyTypes: [Ingress]}"
DENY_EGRESS = "{podSelector: {}, policyTypes: [Egress]}"
CLOSED_INGRESS = f"- * > {ISOLATED} service: *"
CLOSED_EGRESS = f"- {ISOLATED} > *: *"
CLOSED_SERVER = "- * > server service: *"

# Name: specs of the policies, what that makes of the probes, and whether it is about IPv4 alone.
# $web, $alt and $range are port numbers, $near, $far, $server and $remote addresses.
CASES: dict[str, tuple[list[str], str]] = {
    "no policy": ([], ""),
    "default deny of ingress": ([DENY_INGRESS], CLOSED_INGRESS),
    "default deny of egress": ([DENY_EGRESS], CLOSED_EGRESS),
    "default deny, then two pods allowed on both sides": (
        [
            DENY_INGRESS,
            DENY_EGRESS,
            """{podSelector: {matchLabels: {role: server}},
                ingress: [{from: [{podSelector: {matchLabels: {role: client}}}], ports: [{port: $web}]}]}""",
            """{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress],
                egress: [{to: [{podSelector: {matchLabels: {role: server}}}]}]}""",
        ],
        f"{CLOSED_INGRESS}\n{CLOSED_EGRESS}\n+ client > server service: web",
    ),
    "a Service's own port means nothing to a rule, its target port does": (
        [
            """{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress],
                egress: [{ports: [{port: 80}]}]}"""
        ],
        "- client > *: *",
    ),
    "pods of the same namespace": (
        ["{podSelector: {matchLabels: {role: server}}, ingress: [{from: [{podSelector: {}}]}]}"],
        f"{CLOSED_SERVER}\n+ client remote > server service: *",
    ),
    "namespaceSelector": (
        [
            """{podSelector: {matchLabels: {role: server}},
             ingress: [{from: [{namespaceSelector: {matchLabels: {kind: other}}}]}]}"""
        ],
        f"{CLOSED_SERVER}\n+ stranger > server service: *",
    ),
    "namespaceSelector and podSelector, matchExpressions": (
        [
            """{podSelector: {matchExpressions: [{key: role, operator: NotIn, values: [client, remote]}]},
             ingress: [{from: [
               {namespaceSelector: {matchExpressions: [{key: kind, operator: Exists}]},
                podSelector: {matchExpressions: [{key: role, operator: In, values: [remote]}]}}]}]}"""
        ],
        f"{CLOSED_SERVER}\n+ remote > server service: *",
    ),
    "a range and no other port": (
        ["{podSelector: {matchLabels: {role: server}}, ingress: [{ports: [{port: $alt, endPort: $range}]}]}"],
        f"{CLOSED_SERVER}\n+ * > server: alt range",
    ),
    "a named port, ingress": (
        ["{podSelector: {}, ingress: [{ports: [{port: web}]}]}"],
        f"{CLOSED_INGRESS}\n+ * > {ISOLATED} service: web",
    ),
    "a named port, egress: pods have names for ports, nodes have not": (
        [
            """{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress],
                egress: [{ports: [{port: web}]}]}"""
        ],
        "- client > *: *\n+ client > server remote stranger service: web",
    ),
    "one protocol": (
        ["{podSelector: {matchLabels: {role: server}}, ingress: [{ports: [{protocol: UDP}]}]}"],
        f"{CLOSED_SERVER}\n+ * > server: udp",
    ),
    "policies add up": (
        [
            """{podSelector: {matchLabels: {role: server}},
                ingress: [{from: [{podSelector: {matchLabels: {role: remote}}}], ports: [{port: $web}]}]}""",
            """{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kind: other}}}],
                                            ports: [{port: $alt}]}]}""",
        ],
        f"{CLOSED_INGRESS}\n+ remote > server service: web\n+ stranger > {ISOLATED}: alt",
    ),
    "ipBlock with except, ingress": (
        [
            """{podSelector: {matchLabels: {role: server}},
             ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [$remote/32, $far/32]}}]}]}"""
        ],
        "- remote far > server service: *",
    ),
    "ipBlock with except, egress": (
        [
            """{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress],
             egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [$server/32, $near/32]}}]}]}"""
        ],
        "- client > server service near: *",
    ),
    "a pod and its own node, another node": (
        [
            """{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress],
             egress: [{to: [{ipBlock: {cidr: $near/32}}], ports: [{port: $web}]},
                      {to: [{ipBlock: {cidr: $far/32}}], ports: [{port: $alt}]}]}"""
        ],
        "- client > *: *\n+ client > near: web\n+ client > far: alt",
    ),
    "another node and a pod": (
        ["{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: $far/32}}], ports: [{port: $web}]}]}"],
        f"{CLOSED_INGRESS}\n+ far > {ISOLATED} service: web",
    ),
    "all policies deleted": ([], ""),
}


@dataclass(frozen=True)
class Net:
    """The pods of the module, what can be probed, and what asks."""

    team: Kubectl
    other: Kubectl
    image: str
    nodes: Mapping[str, str]  # near and far
    addresses: Mapping[str, list[str]]  # of each pod and the Service
    ports: Mapping[str, int]
    probers: Probers

    def probes(self, ipv4_only: bool) -> list[Probe]:
        """From every pod to every other, to all ports, at all addresses; and to the Service."""
        found = []
        for target, addresses in self.addresses.items():
            for source in self.addresses.keys() - {target, "service"}:
                for address in addresses:
                    if ":" not in address or not ipv4_only:
                        found += [self.probe(source, target, port, address) for port in self.ports]
        return [probe for probe in found if probe.target != "service" or probe.port == "web"]

    def probe(self, source: str, target: str, port: str, address: str) -> Probe:
        number = 80 if target == "service" else self.ports[port]
        return Probe(source, target, port, address, "udp" if port == "udp" else "tcp", number)

    def obey(self, rows: str, ipv4_only: bool = False) -> None:
        """Waits until all probes answer as the rows say, twice one after the other.

        A blocked probe takes a second, so the second time a node that was late is not late any more.
        """
        probes = self.probes(ipv4_only)
        wanted = expected(rows, probes)

        def check() -> bool:
            for _ in range(2):
                found = self.probers.ask(probes)
                wrong = [
                    f"{probe}: open is {found[probe]}" for probe in probes if found[probe] != wanted[probe]
                ]
                assert not wrong, f"{len(wrong)} of {len(probes)} probes: " + "; ".join(sorted(wrong)[:20])
            return True

        eventually(check)  # it takes about a second

    def set_policies(self, specs: list[str]) -> None:
        """Makes these the policies of the namespace, in place of those it has."""
        self.team("delete", "networkpolicies", "--all")
        values = {name: str(number) for name, number in self.ports.items()}
        values |= {name: addresses[0] for name, addresses in self.addresses.items()}
        for name, value in values.items():
            specs = [spec.replace(f"${name}", value) for spec in specs]
        if specs:
            self.team.create(*(policy(f"p{i}", yaml.safe_load(spec)) for i, spec in enumerate(specs)))


def policy(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def expected(rows: str, probes: list[Probe]) -> dict[Probe, bool]:
    """What the rows say of each probe. A row is "+ or - sources > targets: ports", with * for all of them."""
    answers = dict.fromkeys(probes, True)
    for row in f"{rows}\n{ALWAYS}".split("\n"):
        if not row.strip():
            continue
        sign, rest = row.split(maxsplit=1)
        sources, targets_and_ports = rest.split(" > ")
        targets, ports = targets_and_ports.split(": ")
        named = [part.split() for part in (sources, targets, ports)]
        for probe in probes:
            sides = (probe.source, probe.target, probe.port)
            if all(side in names or names == ["*"] for side, names in zip(sides, named, strict=True)):
                answers[probe] = sign == "+"
    return answers


@pytest.fixture(scope="module")
def net(host: Any, kubelet_image: str) -> Iterator[Net]:
    """Six pods on two nodes, in two namespaces, and a Service."""
    run = secrets.token_hex(4)
    kubectls = {name: host.kubectl.within(f"netpol-{run}-{name}") for name in ("team", "other")}
    base = random.randrange(20000, 29000)  # of the nodes too: another run there has others
    ports = {"web": base, "alt": base + 1, "range": base + 5, "udp": base}
    nodes = dict(zip(("near", "far"), _two_nodes(host.kubectl), strict=True))
    try:
        for name, kubectl in kubectls.items():
            host.kubectl.create(_namespace(kubectl.namespace, name))
            eventually(lambda kubectl=kubectl: kubectl("get", "serviceaccount", "default"))
        for name, (node, namespace) in PODS.items():
            kubectls[namespace].create(_server(name, kubelet_image, nodes[node], ports, name in nodes))
        team, other = kubectls["team"], kubectls["other"]
        team.create(_service(ports["web"]))
        for kubectl in (team, other):
            kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=120s")
        addresses = {
            name: [ip["ip"] for ip in kubectls[namespace].get("pod", name)["status"]["podIPs"]]
            for name, (_, namespace) in PODS.items()
        }
        addresses["service"] = team.get("service", "service")["spec"]["clusterIPs"]
        with probers({name: (kubectls[namespace], name) for name, (_, namespace) in PODS.items()}) as asking:
            yield Net(team, other, kubelet_image, nodes, addresses, ports, asking)
    finally:
        for kubectl in kubectls.values():
            kubectl("delete", "namespace", kubectl.namespace, "--wait=false", "--ignore-not-found")


def _two_nodes(kubectl: Kubectl) -> list[str]:
    names = sorted(node["metadata"]["name"] for node in kubectl.get("nodes"))
    assert len(names) >= 2, f"two nodes are needed, the host has {names}"
    return names[:2]


def _namespace(name: str, kind: str) -> dict[str, Any]:
    labels = {"kind": kind, "pod-security.kubernetes.io/enforce": "privileged"}  # host network
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _server(name: str, image: str, node: str, ports: Mapping[str, int], host_network: bool) -> dict[str, Any]:
    tcp = sorted({number for port, number in ports.items() if port != "udp"})
    return pod(
        name,
        image,
        node,
        [PYTHON, "-c", SERVER, str(tcp), str([ports["udp"]])],
        labels={"role": "client" if host_network else name},
        ports=[{"name": "web", "containerPort": ports["web"]}],
        host_network=host_network,
    )


def _service(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "service"},
        "spec": {
            "selector": {"role": "server"},
            "ipFamilyPolicy": "PreferDualStack",
            "ports": [{"port": 80, "targetPort": port}],
        },
    }


@pytest.mark.parametrize("name", CASES)
def test_policies(net: Net, name: str) -> None:
    specs, rows = CASES[name]
    net.set_policies(specs)
    net.obey(rows, ipv4_only=any("ipBlock" in spec for spec in specs))


def test_labels_that_change(net: Net) -> None:
    net.set_policies(
        [
            """{podSelector: {matchLabels: {closed: "yes"}},
                ingress: [{from: [{namespaceSelector: {matchLabels: {kind: other}}},
                                  {podSelector: {matchLabels: {role: remote}}}]}]}"""
        ]
    )
    net.obey("")
    try:
        net.team("label", "pod", "server", "closed=yes")
        net.obey(f"{CLOSED_SERVER}\n+ stranger remote > server service: *")
        net.team("label", "pod", "remote", "role=none", "--overwrite")
        net.obey(f"{CLOSED_SERVER}\n+ stranger > server service: *")
        net.other("label", "namespace", net.other.namespace, "kind=none", "--overwrite")
        net.obey(CLOSED_SERVER)
    finally:
        net.other("label", "namespace", net.other.namespace, "kind=other", "--overwrite")
        net.team("label", "pod", "remote", "role=remote", "--overwrite")
        net.team("label", "pod", "server", "closed-")
    net.obey("")


def test_an_established_connection_outlives_a_new_policy(net: Net) -> None:
    net.set_policies([])
    net.obey("")
    address, port = net.addresses["server"][0], str(net.ports["web"])
    with (
        conversation(net.team, "client", TALKER, address, port) as near,
        conversation(net.team, "remote", TALKER, address, port) as far,
    ):
        assert [near("before"), far("before")] == ["before", "before"]
        net.set_policies([DENY_INGRESS, DENY_EGRESS])
        net.obey(f"{CLOSED_INGRESS}\n{CLOSED_EGRESS}")
        assert [near("after"), far("after")] == ["after", "after"]


def test_a_new_pod_is_neither_open_nor_cut_off_at_its_start(net: Net) -> None:
    """Three of each at once, on both nodes, to a node: only the new pod's own rules matter."""
    net.set_policies(
        [
            "{podSelector: {matchLabels: {new: closed}}, policyTypes: [Egress]}",
            """{podSelector: {matchLabels: {new: open}}, policyTypes: [Egress],
                egress: [{ports: [{port: $alt}]}]}""",
            # Of pods that are there, on both nodes: a node that obeys this one knows those before it.
            """{podSelector: {matchExpressions: [{key: role, operator: In, values: [server, remote]}]},
                ingress: [{ports: [{port: $alt}]}]}""",
        ]
    )
    net.obey("- * > server remote service: *\n+ * > server remote: alt")
    names = {f"{kind}-{i}": kind for kind in ("closed", "open") for i in range(3)}
    places = [("near", "far"), ("far", "near"), ("near", "far")]
    for name, kind in names.items():
        node, target = places[int(name[-1])]
        seconds = "0.9" if kind == "open" else "0.15"  # a busy machine answers late
        command = [PYTHON, "-c", STARTER, net.addresses[target][0], str(net.ports["alt"]), seconds]
        net.team.create(pod(name, net.image, net.nodes[node], command, labels={"new": kind}))
    for name, kind in names.items():
        net.team("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=120s")
        attempts = json.loads(net.team("logs", name))
        assert attempts == [kind == "open"] * len(attempts), name
