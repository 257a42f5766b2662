"""NetworkPolicies: the tenant's to the host's, where they take from what his pods may and never add to it.

NetworkPolicies add up. So the library's own ones leave out the pods that a policy of the tenant's isolates in
a direction, by the labels of `identity.ISOLATED`; for these the tenant's policies alone allow, and what they
allow is part of what the library's do.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from k3k_kubelet.translate import identity, metadata, names
from k3k_kubelet.translate.objects import Cluster, HostObject, Object, Refused
from k3k_kubelet.translate.rules import network_policy as rules
from k3k_kubelet.translate.rules.network_policy import PolicyNotes, Reach
from k3k_kubelet.translate.schema import Notes, Silent
from k3k_kubelet.translate.selectors import matches
from k3k_kubelet.translate.table.network_policy import EGRESS_RULE, INGRESS_RULE, POLICY_SPEC

__all__ = ["Reach", "Selection", "host_labels", "of_host", "selection", "to_host"]

_RULES = {
    "Ingress": ("ingress", INGRESS_RULE, rules.ingress),
    "Egress": ("egress", EGRESS_RULE, rules.egress),
}
"""Key of a direction's rules, their table, and what translates one of them."""


class Selection(NamedTuple):
    """What makes a policy isolate pods.

    Attributes:
        selector: of the pods, in the policy's namespace.
        directions: in which it selects them.
        open: those in which it allows all that the cluster may: it isolates nobody then, whatever other
            policies do.
    """

    selector: Object
    directions: frozenset[str]
    open: frozenset[str]

    def matches(self, labels: Mapping[str, str], direction: str) -> bool:
        """Whether it selects a pod with these labels."""
        return direction in self.directions and matches(self.selector, labels)


def _head(spec: Mapping[str, Any], notes: Notes) -> Object:
    """All of a spec but its rules."""
    lists = {key for key, _, _ in _RULES.values()}
    given: Object = POLICY_SPEC.copy(
        {key: value for key, value in spec.items() if key not in lists}, notes, "spec"
    )
    return given


def _directions(head: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """`policyTypes`, with Kubernetes' own default: Ingress, and Egress where there are rules for it."""
    given = head.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for n, each in enumerate(given):
        if each not in _RULES:
            raise Refused(f"spec.policyTypes[{n}]", f"{each!r} is no direction", "use Ingress or Egress")
    return list(dict.fromkeys(given))


def selection(policy: Mapping[str, Any]) -> Selection:
    """What a policy of the tenant's selects, by the labels of pods inside.

    Raises:
        Refused: it cannot be known which pods are meant, or in which direction.
    """
    spec = policy.get("spec") or {}
    head = _head(spec, Silent())
    found = _directions(head, spec)
    opened = [direction for direction in found if any(map(_allows_all, spec.get(_RULES[direction][0]) or ()))]
    return Selection(head.get("podSelector") or {}, frozenset(found), frozenset(opened))


def _allows_all(rule: Any) -> bool:
    return isinstance(rule, dict) and not any(rule.values())


def of_host(policy: Mapping[str, Any]) -> Selection:
    """What a copy selects, by the labels of host pods."""
    spec = policy["spec"]
    return Selection(spec["podSelector"], frozenset(spec.get("policyTypes") or ()), frozenset())


def host_labels(pod: Mapping[str, Any], cluster: Cluster) -> dict[str, str]:
    """The labels of a pod's copy by which copies of policies find it."""
    own = pod["metadata"].get("labels") or {}
    labels = {names.label_key(key): value for key, value in own.items()}
    return labels | identity.labels(cluster.name, pod["metadata"]["namespace"])


def to_host(
    policy: Mapping[str, Any], cluster: Cluster, reach: Reach, namespaces: Mapping[str, Mapping[str, str]]
) -> HostObject:
    """The host's copy of a NetworkPolicy.

    A rule that cannot be told to the host is left out, which allows less; the tenant is told.

    Args:
        policy: the policy as the virtual API server has it.
        cluster: the virtual cluster.
        reach: what its pods may without any policy of the tenant's.
        namespaces: labels of the namespaces inside, by their names.

    Raises:
        Refused: it cannot be known which pods are meant, or in which direction; or it means too many ranges.
    """
    spec, namespace = policy.get("spec") or {}, str(policy["metadata"]["namespace"])
    notes = PolicyNotes(cluster, namespace, reach, namespaces)
    head = _head(spec, notes)
    made: Object = {
        "podSelector": rules.pods(head.get("podSelector") or {}, cluster, [namespace]),
        "policyTypes": _directions(head, spec),
    }
    for direction in made["policyTypes"]:
        key = _RULES[direction][0]
        if found := _rules(direction, spec.get(key) or (), notes):
            made[key] = found
    rules.check_size(rule for key, _, _ in _RULES.values() for rule in made.get(key, ()))
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata.of_object(policy, cluster),
        "spec": made,
    }
    return HostObject(manifest, dropped=tuple(notes.dropped))


def _rules(direction: str, given: Any, notes: PolicyNotes) -> list[Object]:
    key, table, translate = _RULES[direction]
    made = []
    for n, each in enumerate(given):
        path = f"spec.{key}[{n}]"
        try:
            made += translate(table.copy(each, notes, path), notes, path)
        except Refused as refused:
            notes.drop(refused.path, f"{refused.reason}; {path} allows nothing")
    return made


def chooses_namespaces(policy: Mapping[str, Any]) -> bool:
    """Whether who is meant depends on the labels of namespaces inside."""
    spec = policy.get("spec") or {}
    rules_ = [each for key in ("ingress", "egress") for each in spec.get(key) or ()]
    peers = [peer for rule in rules_ for key in ("from", "to") for peer in rule.get(key) or ()]
    return any(peer.get("namespaceSelector") is not None for peer in peers)
