"""Whether a host's addresses are where its user says: looked at before anything is made."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from k3k_pulumi.host import DirectError, ForbiddenError, Host, Ref
from k3k_pulumi.manifests.network import host_ranges
from k3k_pulumi.model import VirtualClusterSpec, networks

_SHOWN = 5


def check_ranges(host: Host, spec: VirtualClusterSpec) -> None:
    """Refuses the egress `internet` on a host with addresses that nobody gave.

    Who may not read the host's Nodes passes: the virtual kubelet finds out later what shows there.

    Raises:
        DirectError: Which addresses, and what to do.
    """
    known = [networks.parse(cidr) for cidr in host_ranges(spec)]
    if not known:
        return
    found = [
        f"{name} {text}" for name, text in _addresses(host) if not networks.within(_network(text), known)
    ]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise DirectError(
            f"virtual cluster {spec.namespace}/{spec.name}: the host has addresses that are neither private "
            f"nor in host_cidrs: {', '.join(found[:_SHOWN])}{more}. With the egress 'internet' the cluster's "
            "pods could connect to them: add the host's public ranges (nodes, pods, Services) to host_cidrs, "
            "or set egress to 'none'"
        )


def _addresses(host: Host) -> Iterator[tuple[str, str]]:
    """Whose, and which: those by which pods of the host reach its nodes, pods and Services."""
    try:
        nodes = host.list("v1", "Node")
    except ForbiddenError:
        nodes = []
    for node in nodes:
        name = f"node {node['metadata']['name']}"
        for each in node.get("status", {}).get("addresses", []):
            if each["type"] == "InternalIP":
                yield name, each["address"]
        for cidr in node.get("spec", {}).get("podCIDRs", []):
            yield f"pods of {name}", cidr
    for address in kubernetes_service(host):
        yield "Service default/kubernetes", address


def kubernetes_service(host: Host) -> list[str]:
    """Addresses of the host's own API as its pods know it; none for who may not read that Service."""
    try:
        service = host.get(Ref("v1", "Service", "default", "kubernetes"))
    except ForbiddenError:
        return []
    return list((service or {}).get("spec", {}).get("clusterIPs", []))


def _network(text: str) -> networks.Network:
    return ipaddress.ip_network(text, strict=False)
