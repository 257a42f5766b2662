"""A host with virtual clusters, plain pods, nodes and stand-ins for the world: who asks and is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from k3k_pulumi import direct
from k3k_pulumi.host import Host
from k3k_pulumi.manifests.network import network_policies
from k3k_pulumi.model import VirtualClusterSpec
from tests.e2e.conftest import unique
from tests.e2e.devcluster.command import Own
from tests.e2e.devcluster.network_probes import PROBER, PYTHON, SERVER, Probe, Probers, conversation
from tests.e2e.devcluster.network_probes import pod as host_pod
from tests.e2e.devcluster.stand_ins import StandIns, stand_ins
from tests.e2e.support.clusters import MADE_WITHIN, Access, View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import KUBELET, container, pod
from tests.e2e.support.polling import eventually

SOURCES = (
    "tenant", "far", "server", "kubelet", "dns", "neighbour", "stranger", "plain", "near-node", "far-node",
    "internet", "elsewhere",
)  # fmt: skip
"""Who asks. The first five are of the tenant's cluster; server, kubelet and dns are its control plane."""

# Of both families. The company's networks are private.
OUTSIDE = {
    "internet": ("203.0.113.10", "2001:db8::10"),
    "elsewhere": ("203.0.113.11", "2001:db8::11"),
    "metadata": ("169.254.169.254", "fd00:ec2::254"),
    "company": ("192.168.77.10", "fd77::10"),
    "other": ("192.168.78.10", "fd78::10"),
}
PORT, DNS = 18080, 53
ECHO = (("tcp", PORT), ("udp", PORT), ("icmp", 0))
NAME_SERVER = (("udp", DNS), ("tcp", DNS))
COMMAND = [PYTHON, "-c", SERVER, json.dumps([PORT]), json.dumps([PORT])]


class Target(NamedTuple):
    """What is asked: all of these ports at all of these addresses."""

    addresses: Sequence[str]
    ports: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Net:
    """All that asks and is asked.

    Attributes:
        host: the host cluster, with the library's own client.
        tenant: the virtual cluster that it is all about.
        args: what that was made of.
        probers: who asks, by `SOURCES`.
        targets: who is asked.
    """

    host: Host
    tenant: View
    args: Mapping[str, Any]
    probers: Probers
    targets: Mapping[str, Target]

    def set_egress(self, given: Mapping[str, Any]) -> None:
        """Has the tenant's cluster the NetworkPolicies of further arguments."""
        spec = VirtualClusterSpec.parse(self.tenant.name, {**self.args, **given})
        for manifest in network_policies(spec):
            self.host.apply(manifest)

    def obeys(self, answers: Mapping[tuple[str, str], bool]) -> None:
        """Waits until sources get these answers of targets, twice one after the other: a node may be late."""
        wanted = {
            Probe(source, target, protocol, address, protocol, number): answer
            for (source, target), answer in answers.items()
            for address in self.targets[target].addresses
            for protocol, number in self.targets[target].ports
        }

        def check() -> bool:
            for _ in range(2):
                found = self.probers.ask(wanted)
                wrong = [f"{probe}: {found[probe]}" for probe in wanted if found[probe] != wanted[probe]]
                assert not wrong, f"{len(wrong)} of {len(wanted)}:\n" + "\n".join(sorted(wrong)[:40])
            return True

        eventually(check)  # it takes about three seconds


@dataclass(frozen=True)
class _Clusters:
    tenant: View
    neighbour: View
    stranger: View


@contextmanager
def made(own: Own) -> Iterator[Net]:
    """The tenant's cluster, a neighbour's in its namespace, a stranger's in another one, and all the rest."""
    args = _arguments(own)
    with ExitStack() as stack:
        clusters = _clusters(own, args, stack)
        plain = own.kubectl.within(unique("t"))
        addresses, pods = _pods(own, clusters, plain, stack)
        outside = stack.enter_context(stand_ins(own.instance, OUTSIDE, tcp=[PORT, DNS], udp=[PORT, DNS]))
        probers = _probers(clusters.tenant, pods, plain, outside, stack)
        host = Host.connect(own.instance.kubeconfig)
        stack.callback(host.close)
        yield Net(host, clusters.tenant, args, probers, _targets(clusters, addresses))


def _arguments(own: Own) -> dict[str, Any]:
    """The tenant's: it wants proof, and its API is exposed to this machine and to one that is far away."""
    admitted = (str(own.instance.ipv4.gateway), *OUTSIDE["internet"])
    return {
        "namespace": unique("t"),
        "distribution": "kubernetes",
        "persistence": {"type": "ephemeral"},
        "require_network_policy": True,
        "node_selector": _on(own.instance.node_names[0]),
        "expose": {
            "type": "NodePort",
            "host": str(own.instance.ipv4.node(1)),
            "external_traffic_policy": "Local",
            "source_cidrs": [f"{each}/{128 if ':' in each else 32}" for each in admitted],
        },
    }


def _clusters(own: Own, args: Mapping[str, Any], stack: ExitStack) -> _Clusters:
    def make(name: str, given: Mapping[str, Any]) -> View:
        cluster = direct.ephemeral_cluster(
            name=name, kubeconfig=own.instance.kubeconfig, timeout=MADE_WITHIN, **given
        )
        return View.of(own.kubectl, Access.of(stack.enter_context(cluster)), lambda: None)

    others = {key: args[key] for key in ("distribution", "node_selector")}
    return _Clusters(
        make("tenant", args),
        make("neighbour", {**others, "namespace": args["namespace"], "create_namespace": False}),
        make("stranger", {**others, "namespace": unique("t"), "egress": "none"}),
    )


def _pods(
    own: Own, clusters: _Clusters, plain: Kubectl, stack: ExitStack
) -> tuple[dict[str, Sequence[str]], dict[str, Kubectl]]:
    """Addresses of all pods of the tests by name, and where the tenants' are inside."""
    near, far = own.instance.node_names
    tenant = clusters.tenant.inside
    inside = {
        "tenant": tenant,
        "near": tenant,
        "far": tenant,
        "neighbour": clusters.neighbour.inside,
        "stranger": clusters.stranger.inside,
    }
    for name, kubectl in inside.items():
        kubectl.apply(_echo(name, far if name == "far" else near))
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    metadata = {"name": plain.namespace, "labels": labels}
    own.kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    eventually(lambda: plain("get", "serviceaccount", "default"))  # pods are refused before
    stack.callback(plain, "delete", "namespace", plain.namespace, "--wait=false")
    for name, node in {"plain": near, "near-node": near, "far-node": far}.items():
        made = host_pod(name, KUBELET, node, COMMAND, host_network=name != "plain")
        made["spec"]["securityContext"] = {"runAsUser": 0}  # who may ping
        plain.create(made)
    clusters.tenant.workloads.create(host_pod("beside", KUBELET, near, COMMAND))
    found: dict[str, Sequence[str]] = {
        name: addresses(running(kubectl, f"app={name}", 1)[0]) for name, kubectl in inside.items()
    }
    for kubectl, names in (
        (plain, ("plain", "near-node", "far-node")),
        (clusters.tenant.workloads, ("beside",)),
    ):
        for name in names:
            kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s", timeout=130)
            found[name] = addresses(kubectl.get("pod", name))
    return found, {name: kubectl for name, kubectl in inside.items() if name != "near"}


def _probers(
    tenant: View, inside: Mapping[str, Kubectl], plain: Kubectl, outside: StandIns, stack: ExitStack
) -> Probers:
    control_plane = tenant.control_plane
    server, kubelet, dns = (_part(tenant, each)["metadata"]["name"] for each in ("server", "kubelet", "dns"))
    # CoreDNS' image has nothing that could ask: a container beside it does, in the same network.
    control_plane(
        "debug", f"pod/{dns}", "--container=asks", f"--image={KUBELET}", "--image-pull-policy=IfNotPresent",
        "--profile=restricted", "--quiet", "--", PYTHON, "-c", "import signal; signal.pause()",
    )  # fmt: skip
    eventually(lambda: _runs(control_plane.get("pod", dns), "asks"))
    asking = {
        **{name: conversation(kubectl, name, PROBER) for name, kubectl in inside.items()},
        **{name: conversation(plain, name, PROBER) for name in ("plain", "near-node", "far-node")},
        "server": conversation(control_plane, server, PROBER, container="certificates-renewal"),
        "kubelet": conversation(control_plane, kubelet, PROBER),
        "dns": conversation(control_plane, dns, PROBER, container="asks"),
        "internet": outside.talking(PROBER),
        "elsewhere": outside.talking(PROBER, *OUTSIDE["elsewhere"]),
    }
    assert set(asking) == set(SOURCES)
    return Probers({name: stack.enter_context(each) for name, each in asking.items()})


def _targets(clusters: _Clusters, found: Mapping[str, Sequence[str]]) -> dict[str, Target]:
    tenant = clusters.tenant
    server, kubelet, dns = (addresses(_part(tenant, each)) for each in ("server", "kubelet", "dns"))
    services = {
        name: tenant.control_plane.get("service", f"tenant-{name}")["spec"]
        for name in ("api", "kubelet", "dns")
    }
    node_port = services["api"]["ports"][0]["nodePort"]
    (node,) = [each for each in tenant.inside.get("nodes") if each["metadata"]["name"].endswith("1")]
    kubelet_port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    near, far = found["near-node"], found["far-node"]
    return {
        "pod near": Target(found["near"], ECHO),
        "pod far": Target(found["far"], ECHO),
        "pod of neighbour": Target(found["neighbour"], ECHO),
        "pod of stranger": Target(found["stranger"], ECHO),
        "pod of the host": Target(found["plain"], ECHO),
        "pod beside": Target(found["beside"], ECHO),
        "API": Target([services["api"]["clusterIP"]], [("tcp", 443)]),
        "API pod": Target(server, [("tcp", 6443)]),
        "API pod, ICMP": Target(server, [("icmp", 0)]),
        "API node port": Target(near[:1], [("tcp", node_port)]),
        "API pod of neighbour": Target(addresses(_part(clusters.neighbour, "server")), [("tcp", 6443)]),
        "etcd": Target(server, [("tcp", 2379), ("tcp", 2380)]),
        "DNS": Target([services["dns"]["clusterIP"]], [("dns", 53), ("tcp", 53)]),
        "DNS pod": Target(dns, [("dns", 1053), ("tcp", 1053)]),
        "DNS health": Target(dns, [("tcp", 8080)]),
        "DNS metrics": Target(dns, [("tcp", 9153)]),
        "kubelet Service": Target([services["kubelet"]["clusterIP"]], [("tcp", kubelet_port)]),
        "kubelet extension": Target(kubelet, [("tcp", 9443)]),
        "kubelet health": Target(kubelet, [("tcp", 8081)]),
        "kubelet pod, ICMP": Target(kubelet, [("icmp", 0)]),
        "near node": Target(near, ECHO),
        "far node": Target(far, ECHO),
        "kubelet of near node": Target(near, [("tcp", 10250)]),
        "kubelet of far node": Target(far, [("tcp", 10250)]),
        "API of the host": Target(near[:1], [("tcp", 6443)]),
        **{name: Target(OUTSIDE[name], ECHO) for name in ("metadata", "other", "company", "internet")},
        "internet, DNS": Target(OUTSIDE["internet"], NAME_SERVER),
        "metadata, DNS": Target(OUTSIDE["metadata"], NAME_SERVER),
    }


def _part(view: View, component: str) -> Any:
    (found,) = running(view.control_plane, f"k3k-pulumi.io/component={component}", 1)
    return found


def _runs(pod: Any, name: str) -> bool:
    statuses = pod["status"].get("ephemeralContainerStatuses", [])
    return any(each["name"] == name and "running" in each["state"] for each in statuses)


def addresses(pod: Any) -> list[str]:
    """All addresses of a pod."""
    return [each["ip"] for each in pod["status"]["podIPs"]]


def _on(node: str) -> dict[str, str]:
    return {"kubernetes.io/hostname": node}


def _echo(name: str, node: str) -> dict[str, Any]:
    """A tenant's pod on a node of the host. As root it may ping, as any image's."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    all_addresses = {"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}
    return pod(
        name,
        container(COMMAND, image=KUBELET, env=[all_addresses]),
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        securityContext={"runAsUser": 0},
    )
