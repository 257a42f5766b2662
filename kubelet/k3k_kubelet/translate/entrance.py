"""Who outside reaches exposed pods that a NetworkPolicy of the tenant's isolates."""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.translate import exposure, identity, network_policy, ranges
from k3k_kubelet.translate.objects import Cluster, Object, Refused
from k3k_kubelet.translate.rules import network_policy as rules
from k3k_kubelet.translate.rules.network_policy import Block
from k3k_kubelet.translate.rules.service import selector
from k3k_kubelet.translate.schema import Silent
from k3k_kubelet.translate.table.network_policy import INGRESS_RULE

PURPOSE = "admitted"


def to_host(
    pair: Mapping[str, Any],
    service: Mapping[str, Any],
    policy: Mapping[str, Any],
    cluster: Cluster,
    openings: Iterable[Mapping[str, Any]],
) -> Object | None:
    """The NetworkPolicy by which others may connect to isolated pods of a Service.

    NetworkPolicies add up, so this one has what the two have in common: the pods, the ports and the senders.

    Args:
        pair: what stands for the two of them, by its name and uid.
        service: the Service inside.
        policy: the tenant's NetworkPolicy.
        cluster: the virtual cluster.
        openings: rules of what opens the Service's pods where no policy isolates them.

    Returns:
        None where they have nothing in common.

    Raises:
        Refused: the policy means too many ranges, or the two of them do.
    """
    namespace = policy["metadata"]["namespace"]
    spec = service.get("spec") or {}
    chosen = rules.pods(policy["spec"].get("podSelector") or {}, cluster, [namespace])
    wanted = selector(spec.get("selector") or {}, cluster, namespace)
    if any(chosen["matchLabels"].get(key, value) != value for key, value in wanted.items()):
        return None
    chosen["matchLabels"] |= wanted
    isolated = {"key": identity.ISOLATED["Ingress"], "operator": "Exists"}
    chosen["matchExpressions"] = [*chosen.get("matchExpressions", ()), isolated]
    let_in = outside(policy)
    rules.check_count(sum(1 + len(block.taken) for rule in let_in for block in rule["blocks"]))
    found = [
        made for opening in openings for rule in let_in if (made := _in_common(opening, rule)) is not None
    ]
    if not found:
        return None
    return exposure.manifest(pair, cluster, f"{pair['metadata']['name']}:{PURPOSE}", chosen, found)


def outside(policy: Mapping[str, Any]) -> list[Object]:
    """Those of a policy's rules by which addresses outside the cluster may come; none that cannot be read."""
    made: list[Object] = []
    try:
        if "Ingress" not in network_policy.selection(policy).directions:
            return made
    except Refused:
        return made
    for n, rule in enumerate((policy.get("spec") or {}).get("ingress") or ()):
        try:
            read = INGRESS_RULE.copy(rule, Silent(), f"spec.ingress[{n}]")
            blocks = [rules.block(peer, "from") for peer in read.get("from") or () if "ipBlock" in peer]
            blocks = list(dict.fromkeys(blocks))
        except Refused:  # told with the policy's own copy
            continue
        if blocks or not read.get("from"):
            made.append({"blocks": blocks, "ports": read.get("ports") or []})
    return made


def _in_common(opening: Mapping[str, Any], rule: Mapping[str, Any]) -> Object | None:
    ports = [
        port
        for port in opening["ports"]
        if not rule["ports"]
        or any(rules.covers(each, port["protocol"], port["port"]) for each in rule["ports"])
    ]
    made: Object = {"ports": ports}
    peers = opening.get("from")
    if rule["blocks"]:
        blocks = rule["blocks"]
        if peers is not None:
            # What is no range of addresses (a controller's namespace) has none in common with any.
            ranges_ = [ranges.parse(peer["ipBlock"]["cidr"]) for peer in peers if "ipBlock" in peer]
            blocks = [
                Block(each, block.taken) for block in blocks for each in ranges.common([block.whole], ranges_)
            ]
        peers = [peer for block in blocks if (peer := block.peer()) is not None]
        peers = rules.distinct(peers)
    if not ports or (peers is not None and not peers):
        return None
    return made if peers is None else {**made, "from": peers}
