"""Where a pod may run: node constraints, other pods as constraints, tolerations."""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.policy import Toleration
from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object, Refused

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""The label by which every Namespace carries its own name."""

_ALWAYS_TOLERABLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Taints of a node that fails: how long a pod waits there is the tenant's choice."""


def selector(value: Mapping[str, Any]) -> Object:
    """A selector of the tenant's pods, for their labels on the host; not yet limited to the cluster."""
    made: Object = {}
    if "matchLabels" in value:
        made["matchLabels"] = {names.label_key(key): item for key, item in value["matchLabels"].items()}
    if "matchExpressions" in value:
        made["matchExpressions"] = [
            {**each, "key": names.label_key(each.get("key", ""))} for each in value["matchExpressions"]
        ]
    return made


def pod_affinity_term(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:
    """A term about other pods: about this cluster's pods alone, in the virtual namespaces that it means.

    All pods of a cluster share one host namespace, so that the term's namespaces become labels. A term
    without labelSelector matches nothing and stays so.
    """
    spaces = copy.pop("namespaces", None)
    by_label = copy.pop("namespaceSelector", None)
    keys = copy.pop("matchLabelKeys", ()), copy.pop("mismatchLabelKeys", ())
    if "labelSelector" not in copy:
        return copy
    _merge_label_keys(copy["labelSelector"], value["labelSelector"], keys[0], "In", context)
    _merge_label_keys(copy["labelSelector"], value["labelSelector"], keys[1], "NotIn", context)
    if by_label is None:
        limit(copy["labelSelector"], context.cluster.name, spaces or [context.namespace])
    elif not by_label.get("matchLabels") and not by_label.get("matchExpressions"):
        limit(copy["labelSelector"], context.cluster.name, None)
    else:
        chosen = _namespaces(by_label, f"{path}.namespaceSelector")
        if spaces:
            chosen = [_union(chosen, spaces, f"{path}.namespaceSelector")]
        copy["labelSelector"].setdefault("matchExpressions", []).extend(chosen)
        limit(copy["labelSelector"], context.cluster.name, None)
    return copy


def topology_spread(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A spread constraint: it counts the pods of its own namespace."""
    keys = copy.pop("matchLabelKeys", ())
    if "labelSelector" in copy:
        _merge_label_keys(copy["labelSelector"], value["labelSelector"], keys, "In", context)
        limit(copy["labelSelector"], context.cluster.name, [context.namespace])
    return copy


def limit(chosen: Object, cluster: str, namespaces: Iterable[str] | None) -> None:
    """Narrow a selector on the host to a cluster's pods, and to some of its namespaces."""
    labels = chosen.setdefault("matchLabels", {})
    labels[identity.CLUSTER] = cluster
    if namespaces is None:
        return
    values = sorted(set(namespaces))
    if len(values) == 1:
        labels[identity.NAMESPACE] = values[0]
    else:
        expression = {"key": identity.NAMESPACE, "operator": "In", "values": values}
        chosen.setdefault("matchExpressions", []).append(expression)


def _merge_label_keys(
    chosen: Object, original: Mapping[str, Any], keys: Iterable[str], operator: str, context: Context
) -> None:
    """Do here what the API server does with matchLabelKeys, unless the virtual one has done it.

    From its version on the virtual API server has merged them into the selector already; the host's would
    check and merge once more, with rules that differ by version.
    """
    done = original.get("matchExpressions") or ()
    for key in keys:
        if key not in context.labels:
            continue
        values = [context.labels[key]]
        if {"key": key, "operator": operator, "values": values} not in done:
            expression = {"key": names.label_key(key), "operator": operator, "values": values}
            chosen.setdefault("matchExpressions", []).append(expression)


def _namespaces(by_label: Object, path: str) -> list[Object]:
    """A selector of namespaces as one of our namespace label: by the namespaces' names only."""
    made = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in by_label.get("matchLabels", {}).items()
    ]
    made += by_label.get("matchExpressions", [])
    for each in made:
        if each.get("key") != _NAMESPACE_LABEL:
            raise Refused(
                path,
                f"namespaces are chosen by their label {each.get('key')!r}, which the host does not know",
                f"choose them by namespaces, by {_NAMESPACE_LABEL}, or all of them by {{}}",
            )
    return [{**each, "key": identity.NAMESPACE} for each in made]


def _union(chosen: list[Object], spaces: list[str], path: str) -> Object:
    """The namespaces of a list and of a selector together, as one expression."""
    if len(chosen) != 1 or chosen[0].get("operator") != "In":
        raise Refused(
            path,
            "a term with namespaces and this namespaceSelector together cannot be told to the host",
            "use one of the two, or two terms",
        )
    return {
        "key": identity.NAMESPACE,
        "operator": "In",
        "values": sorted({*chosen[0].get("values", ()), *spaces}),
    }


def node_name(spec: Object, name: str) -> None:
    """A node that the tenant named, as a required affinity: the host's scheduler and taints stay in force."""
    requirement = {"key": "metadata.name", "operator": "In", "values": [name]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = [term for term in required.get("nodeSelectorTerms", ()) if any(term.values())]
    if required.get("nodeSelectorTerms") and not terms:
        return
    for term in terms or [{}]:
        term.setdefault("matchFields", []).append(requirement)
        if not terms:
            required["nodeSelectorTerms"] = [term]


def tolerations(own: list[Object], context: Context, path: str, parent: Mapping[str, Any]) -> list[Object]:  # noqa: ARG001
    """The tenant's tolerations that the policy allows. Taints are how a host keeps its nodes apart."""
    kept = []
    for n, each in enumerate(own):
        if _tolerable(each, context):
            kept.append(each)
        elif not is_of_nodes(each):
            context.drop(
                f"{path}[{n}]",
                f"the pod does not tolerate the host's taint {each.get('key') or '(any)'}: "
                "the cluster's policy does not have it in pods.allowedTolerations",
            )
    return kept


def is_of_nodes(toleration: Mapping[str, Any]) -> bool:
    """Whether it is about a taint that Kubernetes itself puts on a node: controllers give such to pods."""
    return str(toleration.get("key", "")).startswith("node.kubernetes.io/")


def _tolerable(toleration: Object, context: Context) -> bool:
    key = toleration.get("key", "")
    if key in _ALWAYS_TOLERABLE and toleration.get("effect") == "NoExecute":
        return True
    policy = context.policy
    allowed = (*policy.allowed_tolerations, *policy.defaults.tolerations, *policy.required.tolerations)
    return any(_covers(entry, toleration) for entry in allowed)


def _covers(allowed: Toleration, wanted: Object) -> bool:
    """Whether every taint that `wanted` tolerates is tolerated by `allowed` too."""
    if allowed.effect and allowed.effect != wanted.get("effect", ""):
        return False
    if not allowed.key:
        return allowed.operator == "Exists"
    if allowed.key != wanted.get("key", ""):
        return False
    if allowed.operator == "Exists":
        return True
    return (wanted.get("operator") or "Equal") == "Equal" and wanted.get("value", "") == allowed.value
