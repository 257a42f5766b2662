"""NetworkPolicies: everything is denied in both directions, then what the cluster needs is allowed.

Rules see packets after DNAT, so ports are those of pods, never of Services. A node may always reach its own
pods.

What workloads may is two policies, one for each direction, which leave out the pods that a NetworkPolicy of
the tenant's isolates in that direction: for those the virtual kubelet makes policies that allow less.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.manifests.network_probe import NO_EGRESS_PORT, NO_INGRESS_PORT, OPEN_PORT
from k3k_pulumi.manifests.objects import Manifest, make
from k3k_pulumi.manifests.services import (
    DNS_PORT,
    EXTENSION_PORT,
    KUBELET_FIRST_PORT,
    KUBELET_LAST_PORT,
    SERVER_PORT,
)
from k3k_pulumi.model import PREFIX, networks

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

Rule = dict[str, Any]
Networks = tuple[networks.Network, ...]

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
        # As a node reaches its pods, whatever a tenant's policies say: for webhooks and proxies. It comes
        # after the other two, which hold what it once held as well: an upgrade cuts no pod off.
        _policy(
            spec,
            names.workload,
            spec.namespace,
            objects.WORKLOAD,
            workloads,
            ingress=[{"from": [_pods(servers, control_plane)]}],
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
        *_network_probe(spec),
    ]


def _network_probe(spec: VirtualClusterSpec) -> list[Manifest]:
    """What the two pods that prove NetworkPolicies may: each port but one is closed in one direction."""
    if not spec.require_network_policy:
        return []
    probes = objects.selector(spec, objects.NETWORK_PROBE)
    return [
        _policy(
            spec,
            spec.names.network_probe,
            spec.namespace,
            objects.NETWORK_PROBE,
            probes,
            ingress=[{"from": [_pods(probes)], "ports": [_tcp(OPEN_PORT), _tcp(NO_EGRESS_PORT)]}],
            egress=[{"to": [_pods(probes)], "ports": [_tcp(OPEN_PORT), _tcp(NO_INGRESS_PORT)]}],
        )
    ]


def _forwarding(spec: VirtualClusterSpec) -> list[Rule]:
    """Where CoreDNS sends queries on: name servers may be anywhere, and behind Services of the host."""
    if spec.egress == "none":
        return []
    return [{"ports": [rule for port in spec.dns.ports for rule in _both(port)]}]


def _outward(spec: VirtualClusterSpec) -> list[Rule]:
    """What `egress` and `egress_cidrs` allow outside the cluster."""
    if spec.egress == "all":
        return [{}]
    named = [{"ipBlock": _block(cidr, networks.metadata_within(cidr))} for cidr in spec.egress_cidrs]
    rules: list[Rule] = []
    if spec.egress == "internet":
        internet = [
            {"ipBlock": {"cidr": whole, "except": networks.denied(spec.host_cidrs, version)}}
            for version, whole in _WHOLE.items()
        ]
        # Pods with the dnsPolicy Default ask their node's resolvers, which are in private ranges as a rule.
        rules += [{"ports": _both(53)}, {"to": internet}]
    return [*rules, {"to": named}] if named else rules


def denied_cidrs(spec: VirtualClusterSpec) -> list[str]:
    """The addresses outside the cluster that its workloads may not connect to, as `_outward` has it."""
    return list(_denied_cidrs(spec.egress, spec.host_cidrs, spec.egress_cidrs))


@functools.lru_cache(maxsize=64)  # clusters of one program ask the same, and each of them twice
def _denied_cidrs(egress: str, host_cidrs: Networks, egress_cidrs: Networks) -> tuple[str, ...]:
    if egress == "all":
        return ()
    found = []
    for version, whole in _WHOLE.items():
        denied = [whole] if egress == "none" else networks.denied(host_cidrs, version)
        left = networks.without(map(networks.parse, denied), _named(egress_cidrs))
        found += networks.collapse(left, version)
    return tuple(found)


def host_ranges(spec: VirtualClusterSpec) -> list[str]:
    """Where addresses of the host may be: in no range that `internet` contains unknown to anybody.

    Empty for anywhere: with another egress nothing depends on it.
    """
    if spec.egress != "internet":
        return []
    return list(_host_ranges(spec.host_cidrs, spec.egress_cidrs))


@functools.lru_cache(maxsize=64)
def _host_ranges(host_cidrs: Networks, egress_cidrs: Networks) -> tuple[str, ...]:
    known = [*networks.PRIVATE, *host_cidrs, *egress_cidrs]
    return tuple(cidr for version in _WHOLE for cidr in networks.collapse(known, version))


def _named(egress_cidrs: Networks) -> list[networks.Network]:
    """All that `egress_cidrs` opens."""
    return [
        part for cidr in egress_cidrs for part in networks.without([cidr], networks.metadata_within(cidr))
    ]


def _block(cidr: networks.Network, holes: list[networks.Network]) -> Rule:
    return {"cidr": str(cidr), "except": [str(each) for each in holes]} if holes else {"cidr": str(cidr)}


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
