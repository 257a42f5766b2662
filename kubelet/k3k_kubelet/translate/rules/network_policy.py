"""Rules of a NetworkPolicy: each becomes rules of the host's that allow no more than the cluster may anyway.

What a cluster's pods may without any policy of the tenant's: reach each other, the API server, DNS, and
outside what the cluster's `egress` allows; be reached by each other, and by whom exposed Services let in.
"""

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from k3k_kubelet.translate import identity, ranges
from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Cluster, Object, Refused
from k3k_kubelet.translate.ranges import Network
from k3k_kubelet.translate.rules import scheduling
from k3k_kubelet.translate.selectors import matches

API_PORT, DNS_PORT = 6443, 1053
"""Ports of the API server's and CoreDNS's pods: rules see packets after DNAT."""
_API_PORTS, _DNS = (443, 6443, "https"), {"UDP": (53, "dns"), "TCP": (53, "dns-tcp")}
"""How policies name these ports, as they are in other clusters."""
_DNS_NAMESPACE, _DNS_LABELS = "kube-system", {"k8s-app": "kube-dns"}
"""Where policies look for DNS. Its pods are not inside: they belong to the control plane on the host."""
_NAME = "kubernetes.io/metadata.name"
MAX_RANGES = 2000
"""Ranges of addresses in one NetworkPolicy on the host, `except` included. What programs nodes with them
(entries of an eBPF map, of an ipset, rules) has limits that all tenants share.
"""
_WHOLE = tuple(ipaddress.ip_network(each) for each in ("0.0.0.0/0", "::/0"))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a cluster's pods may outside, and where its own servers are.

    Attributes:
        control_plane_namespace: host namespace of the API server and of DNS.
        denied: CIDRs that pods of the cluster may not connect to.
        name_servers: whether they may, all the same, connect to port 53 there.
        families: versions of IP that pods have.
    """

    control_plane_namespace: str
    denied: tuple[str, ...]
    name_servers: bool
    families: frozenset[int]


@dataclass(slots=True)
class PolicyNotes(Notes):
    """The translation of one policy.

    Attributes:
        cluster: the virtual cluster.
        namespace: the policy's namespace inside.
        reach: what the cluster's pods may.
        namespaces: labels of the namespaces inside, by their names.
    """

    cluster: Cluster
    namespace: str
    reach: Reach
    namespaces: Mapping[str, Mapping[str, str]]


class Block(NamedTuple):
    """An ipBlock."""

    whole: Network
    taken: tuple[Network, ...]

    def peer(self, denied: Iterable[Network] = ()) -> Object | None:
        """The peer on the host without denied ranges; None where nothing is left."""
        taken = ranges.less(self.whole, (*self.taken, *denied))
        if taken is None:
            return None
        block: Object = {"cidr": str(self.whole)}
        if taken:
            block["except"] = [str(each) for each in taken]
        return {"ipBlock": block}

    def contains(self, address: str) -> bool:
        """Whether an address is of it."""
        try:
            found = ipaddress.ip_network(address)
        except ValueError:
            return False
        return ranges.within(found, self.whole) and not any(ranges.within(found, each) for each in self.taken)


class Peers(NamedTuple):
    """Who is meant by the peers of a rule.

    Attributes:
        everybody: there is none: whom the cluster's own rules have.
        pods: selectors of the cluster's own pods, for the host.
        blocks: addresses.
        dns: whether the pods of DNS would be among them if they were inside.
    """

    everybody: bool
    pods: list[Object]
    blocks: list[Block]
    dns: bool


def own_pods(cluster: Cluster) -> Object:
    """The selector of all pods of the cluster."""
    return {"matchLabels": {identity.CLUSTER: cluster.name, identity.COMPONENT: "workload"}}


def pods(selector: Mapping[str, Any], cluster: Cluster, namespaces: Iterable[str] | None) -> Object:
    """A selector of the tenant's for pods of some namespaces inside, of all of them with None."""
    chosen = scheduling.selector(selector)
    scheduling.limit(chosen, cluster.name, namespaces)
    chosen["matchLabels"][identity.COMPONENT] = "workload"
    return chosen


def ingress(rule: Mapping[str, Any], notes: PolicyNotes, path: str) -> list[Object]:
    """A rule for packets that come, as the host's rules; addresses outside are for `translate.exposure`."""
    found, ports = peers(rule.get("from"), notes, f"{path}.from"), rule.get("ports") or []
    chosen = _own(found, notes)
    return [_rule("from", [{"podSelector": each} for each in chosen], ports)] if chosen else []


def egress(rule: Mapping[str, Any], notes: PolicyNotes, path: str) -> list[Object]:
    """A rule for packets that go, as the host's rules."""
    found, ports, cluster = peers(rule.get("to"), notes, f"{path}.to"), rule.get("ports") or [], notes.cluster
    made = []
    if chosen := _own(found, notes):
        made.append(_rule("to", [{"podSelector": each} for each in chosen], ports))
    if found.everybody or any(block.contains(cluster.api_host) for block in found.blocks):
        meant = [_port("TCP", API_PORT)] if _has(ports, "TCP", _API_PORTS) else []
        made += _rules([_server("server", notes)], meant)
    if found.everybody or found.dns or any(block.contains(cluster.dns_host) for block in found.blocks):
        meant = [
            _port(protocol, DNS_PORT) for protocol, names in _DNS.items() if _has(ports, protocol, names)
        ]
        made += _rules([_server("dns", notes)], meant)
    return made + _outward(found, ports, notes)


def peers(given: Sequence[Mapping[str, Any]] | None, notes: PolicyNotes, path: str) -> Peers:
    """Who is meant by the peers of a rule.

    Raises:
        Refused: nobody can be meant by one of them.
    """
    made = Peers(everybody=not given, pods=[], blocks=[], dns=False)
    for n, each in enumerate(given or ()):
        below = f"{path}[{n}]"
        if "ipBlock" in each:
            made.blocks.append(block(each, below))
            continue
        if not each:
            raise Refused(below, "names nobody", "give it a podSelector, a namespaceSelector or an ipBlock")
        own, by_label = each.get("podSelector") or {}, each.get("namespaceSelector")
        namespaces = [notes.namespace]
        if by_label is not None:
            namespaces = _namespaces(by_label, notes, f"{below}.namespaceSelector")
        if namespaces:
            made.pods.append(pods(own, notes.cluster, None if by_label == {} else namespaces))
        if _DNS_NAMESPACE in namespaces and matches(own, _DNS_LABELS, f"{below}.podSelector"):
            made = made._replace(dns=True)
    return made


def block(peer: Mapping[str, Any], path: str) -> Block:
    """The ipBlock of a peer.

    Raises:
        Refused: one of its ranges is none, or the peer has selectors too.
    """
    if len(peer) > 1:
        raise Refused(path, "has an ipBlock and a selector", "make it two peers")
    found = peer["ipBlock"]
    whole = ranges.read(found.get("cidr", ""), f"{path}.ipBlock.cidr")
    taken = [
        ranges.read(text, f"{path}.ipBlock.except[{n}]") for n, text in enumerate(found.get("except") or ())
    ]
    return Block(whole, tuple(taken))


def check_size(rules: Iterable[Mapping[str, Any]]) -> None:
    """Checks that the host may have as many ranges of addresses as some rules for it have.

    Raises:
        Refused: they are too many.
    """
    peers = (peer for rule in rules for key in ("from", "to") for peer in rule.get(key) or ())
    blocks = (peer["ipBlock"] for peer in peers if "ipBlock" in peer)
    check_count(sum(1 + len(block.get("except") or ()) for block in blocks))


def check_count(found: int) -> None:
    """The same for a number of ranges."""
    if found > MAX_RANGES:
        raise Refused(
            "spec",
            f"means {found} ranges of addresses on the host, with those that are left out of them",
            f"{MAX_RANGES} are allowed: write fewer and wider ones, or several policies",
        )


def distinct(peers: Iterable[Object]) -> list[Object]:
    """Peers, equal ones once."""
    return list({json.dumps(each, sort_keys=True): each for each in peers}.values())


def _namespaces(selector: Mapping[str, Any], notes: PolicyNotes, path: str) -> list[str]:
    return sorted(
        name for name, labels in notes.namespaces.items() if matches(selector, {**labels, _NAME: name}, path)
    )


def _own(found: Peers, notes: PolicyNotes) -> list[Object]:
    """The cluster's pods among the peers; all addresses there are, are theirs as well."""
    whole = {each.whole.version for each in found.blocks if each.whole.prefixlen == 0 and not each.taken}
    if found.everybody or whole >= notes.reach.families:
        return [own_pods(notes.cluster)]
    return found.pods


def _outward(found: Peers, ports: list[Object], notes: PolicyNotes) -> list[Object]:
    """Where a rule leads outside the cluster, as far as the cluster's pods may go there."""
    denied = ranges.networks(notes.reach.denied)
    if found.everybody and not denied:
        return [{"ports": ports}] if ports else [{}]
    blocks = [Block(each, ()) for each in _WHOLE] if found.everybody else found.blocks
    left = [peer for each in blocks if (peer := each.peer(denied)) is not None]
    # A name is that of a container's port, which addresses outside do not have.
    numbers = [each for each in ports if not isinstance(each.get("port"), str)]
    made = [_rule("to", left, numbers)] if left and (numbers or not ports) else []
    asked = [_port(protocol, 53) for protocol in _DNS if _has(ports, protocol, (53,))]
    if not notes.reach.name_servers or not denied or not asked:
        return made
    if found.everybody:
        return [*made, {"ports": asked}]
    return made + _rules([peer for each in blocks if (peer := each.peer()) is not None], asked)


def _has(ports: Sequence[Mapping[str, Any]], protocol: str, wanted: Iterable[int | str]) -> bool:
    """Whether one of the ports is among a rule's; all are where it names none."""
    return not ports or any(covers(each, protocol, port) for each in ports for port in wanted)


def covers(given: Mapping[str, Any], protocol: str, port: int | str) -> bool:
    """Whether a port of a rule is that one, or a range with it."""
    if (given.get("protocol") or "TCP") != protocol:
        return False
    first = given.get("port")
    if first is None or first == port:
        return True
    last = given.get("endPort")
    return isinstance(first, int) and isinstance(port, int) and last is not None and first <= port <= last


def _server(component: str, notes: PolicyNotes) -> Object:
    """Pods of the cluster's control plane."""
    labels = {identity.CLUSTER: notes.cluster.name, identity.COMPONENT: component}
    namespace = {_NAME: notes.reach.control_plane_namespace}
    return {"podSelector": {"matchLabels": labels}, "namespaceSelector": {"matchLabels": namespace}}


def _port(protocol: str, port: int) -> Object:
    return {"protocol": protocol, "port": port}


def _rules(peers: list[Object], ports: list[Object]) -> list[Object]:
    """A rule for these ports alone; none where there is no such port, which would be all of them."""
    return [_rule("to", peers, ports)] if peers and ports else []


def _rule(direction: str, peers: list[Object], ports: list[Object]) -> Object:
    meant = distinct(peers)
    return {direction: meant, "ports": ports} if ports else {direction: meant}
