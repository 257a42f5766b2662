"""NetworkPolicies: everything is denied in both directions, then what the cluster needs is allowed.

Rules see packets after DNAT, so ports are those of pods, never of Services. A node may always reach its own
pods.

What workloads may is two policies, one for each direction, which leave out the pods that a NetworkPolicy of
the tenant's isolates in that direction: for those the virtual kubelet makes policies that allow less.
"""

from __future__ import annotations

from typing import Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.objects import Manifest, make
from k3k_pulumi.manifests.services import (
    DNS_PORT,
    EXTENSION_PORT,
    KUBELET_FIRST_PORT,
    KUBELET_LAST_PORT,
    SERVER_PORT,
)
from k3k_pulumi.model import PREFIX, VirtualClusterSpec, networks

Rule = dict[str, Any]

ISOLATED_INGRESS = f"{PREFIX}isolated-ingress"
"""Label that the virtual kubelet gives the host pods which a NetworkPolicy of the tenant's isolates."""
ISOLATED_EGRESS = f"{PREFIX}isolated-egress"
"""The same for the other direction."""

_WHOLE = {4: "0.0.0.0/0", 6: "::/0"}


def network_policies(spec: VirtualClusterSpec) -> list[Manifest]:
    """Those of both namespaces; a default deny and its exceptions are separate objects."""
    names, control_plane = spec.names, spec.control_plane_namespace
    everything = {objects.CLUSTER: spec.name}
    workloads = objects.selector(spec, objects.WORKLOAD)
    servers = objects.selector(spec, objects.SERVER)
    kubelets = objects.selector(spec, objects.KUBELET)
    dns = objects.selector(spec, objects.DNS)
    kubelet_ports = [_tcp(KUBELET_FIRST_PORT, KUBELET_LAST_PORT), _tcp(EXTENSION_PORT)]
    return [
        _policy(spec, names.default_deny, spec.namespace, objects.WORKLOAD, workloads, ingress=[], egress=[]),
        # As a node reaches its pods, whatever a tenant's policies say: for webhooks and proxies.
        _policy(
            spec,
            names.workload,
            spec.namespace,
            objects.WORKLOAD,
            workloads,
            ingress=[{"from": [_pods(servers, control_plane)]}],
        ),
        _policy(
            spec,
            names.workload_ingress,
            spec.namespace,
            objects.WORKLOAD,
            workloads,
            lacks=ISOLATED_INGRESS,
            ingress=[{"from": [_pods(workloads)]}],
        ),
        _policy(
            spec,
            names.workload_egress,
            spec.namespace,
            objects.WORKLOAD,
            workloads,
            lacks=ISOLATED_EGRESS,
            egress=[
                {"to": [_pods(workloads)]},
                {"to": [_pods(servers, control_plane)], "ports": [_tcp(SERVER_PORT)]},
                {"to": [_pods(dns, control_plane)], "ports": _both(DNS_PORT)},
                *_outward(spec),
            ],
        ),
        _policy(spec, names.default_deny, control_plane, objects.SERVER, everything, ingress=[], egress=[]),
        _policy(
            spec,
            names.server,
            control_plane,
            objects.SERVER,
            servers,
            ingress=[
                {
                    "from": [
                        _pods(workloads, spec.namespace),
                        _pods(kubelets),
                        _pods(dns),
                        *({"ipBlock": {"cidr": str(cidr)}} for cidr in spec.expose.source_cidrs),
                    ],
                    "ports": [_tcp(SERVER_PORT)],
                }
            ],
            # What a server calls is in the tenant's hands (webhooks, APIServices, Nodes), so it may reach no
            # more than workloads may.
            egress=[
                {"to": [_pods(kubelets)], "ports": kubelet_ports},
                {"to": [_pods(workloads, spec.namespace)]},
                *_outward(spec),
            ],
        ),
        _policy(
            spec,
            names.kubelet,
            control_plane,
            objects.KUBELET,
            kubelets,
            ingress=[{"from": [_pods(servers)], "ports": kubelet_ports}],
            # It calls the host's API server, whose address after DNAT nobody here knows.
            egress=[{}],
        ),
        _policy(
            spec,
            names.dns,
            control_plane,
            objects.DNS,
            dns,
            ingress=[
                {
                    "from": [
                        _pods(workloads, spec.namespace),
                        *({"ipBlock": {"cidr": str(cidr)}} for cidr in spec.dns.source_cidrs),
                    ],
                    "ports": _both(DNS_PORT),
                }
            ],
            egress=[{"to": [_pods(servers)], "ports": [_tcp(SERVER_PORT)]}, *_forwarding(spec)],
        ),
    ]


def _forwarding(spec: VirtualClusterSpec) -> list[Rule]:
    """Where CoreDNS sends queries on: name servers may be anywhere, and behind Services of the host."""
    if spec.egress == "none":
        return []
    return [{"ports": [rule for port in spec.dns.ports for rule in _both(port)]}]


def _outward(spec: VirtualClusterSpec) -> list[Rule]:
    """What `egress` allows outside the cluster."""
    if spec.egress == "none":
        return []
    if spec.egress == "all":
        return [{}]
    internet = []
    for version, whole in _WHOLE.items():
        denied = networks.denied(spec.host_cidrs, version)
        internet.append({"ipBlock": {"cidr": whole, "except": denied}})
    # Pods with the dnsPolicy Default ask the resolvers of their node, which are in private ranges as a rule.
    return [{"ports": _both(53)}, {"to": internet}]


def denied_cidrs(spec: VirtualClusterSpec) -> list[str]:
    """The addresses outside the cluster that its workloads may not connect to, as `_outward` has it."""
    if spec.egress == "none":
        return list(_WHOLE.values())
    if spec.egress == "all":
        return []
    return [cidr for version in _WHOLE for cidr in networks.denied(spec.host_cidrs, version)]


def _policy(
    spec: VirtualClusterSpec,
    name: str,
    namespace: str,
    component: str,
    pods: dict[str, str],
    *,
    ingress: list[Rule] | None = None,
    egress: list[Rule] | None = None,
    lacks: str = "",
) -> Manifest:
    """A policy of the directions that are given, an empty one of which denies; for pods without a label."""
    directions = {"Ingress": ingress, "Egress": egress}
    selector: Rule = {"matchLabels": pods}
    if lacks:
        selector["matchExpressions"] = [{"key": lacks, "operator": "DoesNotExist"}]
    body: dict[str, Any] = {
        "podSelector": selector,
        "policyTypes": [direction for direction, rules in directions.items() if rules is not None],
    }
    body |= {direction.lower(): rules for direction, rules in directions.items() if rules}
    return make(spec, "NetworkPolicy", name, component, namespace, spec=body)


def _pods(pods: dict[str, str], namespace: str | None = None) -> Rule:
    """Pods with these labels, in the policy's own namespace or another one."""
    rule: Rule = {"podSelector": {"matchLabels": pods}}
    if namespace is not None:
        # The API server sets this label itself, on every namespace.
        rule["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return rule


def _tcp(first: int, last: int | None = None) -> Rule:
    port: Rule = {"protocol": "TCP", "port": first}
    return port if last is None else {**port, "endPort": last}


def _both(port: int) -> list[Rule]:
    """A port of DNS: answers that are too long for UDP come by TCP."""
    return [{"protocol": protocol, "port": port} for protocol in ("UDP", "TCP")]
