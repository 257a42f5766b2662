"""The field table: where a pod may run."""

from k3k_kubelet.translate.rules import scheduling
from k3k_kubelet.translate.schema import (
    INTEGER,
    STRING,
    STRING_MAP,
    STRINGS,
    Field,
    ListOf,
    Struct,
    copied,
    translated,
)

_REQUIREMENTS = ListOf(
    Struct(
        "LabelSelectorRequirement",
        {"key": copied(STRING), "operator": copied(STRING), "values": copied(STRINGS)},
    )
)
LABEL_SELECTOR = Struct(
    "LabelSelector", {"matchLabels": copied(STRING_MAP), "matchExpressions": copied(_REQUIREMENTS)}
)


def _pods_selector(why: str) -> Field:
    return translated(LABEL_SELECTOR, why, lambda value, context, path, parent: scheduling.selector(value))  # noqa: ARG005


_NODE_REQUIREMENTS = ListOf(
    Struct(
        "NodeSelectorRequirement",
        {"key": copied(STRING), "operator": copied(STRING), "values": copied(STRINGS)},
    )
)
_NODE_TERM = Struct(
    "NodeSelectorTerm",
    {"matchExpressions": copied(_NODE_REQUIREMENTS), "matchFields": copied(_NODE_REQUIREMENTS)},
)
NODE_AFFINITY = Struct(
    "NodeAffinity",
    {
        "preferredDuringSchedulingIgnoredDuringExecution": copied(
            ListOf(
                Struct(
                    "PreferredSchedulingTerm", {"preference": copied(_NODE_TERM), "weight": copied(INTEGER)}
                )
            )
        ),
        "requiredDuringSchedulingIgnoredDuringExecution": copied(
            Struct("NodeSelector", {"nodeSelectorTerms": copied(ListOf(_NODE_TERM))})
        ),
    },
)
POD_TERM = Struct(
    "PodAffinityTerm",
    {
        "labelSelector": _pods_selector("the labels' keys on the host, this cluster, the meant namespaces"),
        "matchLabelKeys": translated(STRINGS, "merged into labelSelector"),
        "mismatchLabelKeys": translated(STRINGS, "merged into labelSelector"),
        "namespaceSelector": translated(
            LABEL_SELECTOR, "by the namespaces' names only; merged into labelSelector"
        ),
        "namespaces": translated(STRINGS, "merged into labelSelector"),
        "topologyKey": copied(STRING),
    },
    scheduling.pod_affinity_term,
)
_POD_TERMS = {
    "preferredDuringSchedulingIgnoredDuringExecution": translated(
        ListOf(
            Struct(
                "WeightedPodAffinityTerm",
                {"podAffinityTerm": translated(POD_TERM, "see there"), "weight": copied(INTEGER)},
            )
        ),
        "see there",
    ),
    "requiredDuringSchedulingIgnoredDuringExecution": translated(ListOf(POD_TERM), "see there"),
}
AFFINITY = Struct(
    "Affinity",
    {
        "nodeAffinity": copied(NODE_AFFINITY, "nodes have their host labels"),
        "podAffinity": translated(Struct("PodAffinity", _POD_TERMS), "limited to this cluster's pods"),
        "podAntiAffinity": translated(
            Struct("PodAntiAffinity", _POD_TERMS), "limited to this cluster's pods"
        ),
    },
)
TOPOLOGY_SPREAD = Struct(
    "TopologySpreadConstraint",
    {
        "labelSelector": _pods_selector("the labels' keys on the host, this cluster and namespace"),
        "matchLabelKeys": translated(STRINGS, "merged into labelSelector"),
        "maxSkew": copied(INTEGER),
        "minDomains": copied(INTEGER),
        "nodeAffinityPolicy": copied(STRING),
        "nodeTaintsPolicy": copied(STRING),
        "topologyKey": copied(STRING),
        "whenUnsatisfiable": copied(STRING),
    },
    scheduling.topology_spread,
)
TOLERATION = Struct(
    "Toleration",
    {
        "effect": copied(STRING),
        "key": copied(STRING),
        "operator": copied(STRING),
        "tolerationSeconds": copied(INTEGER),
        "value": copied(STRING),
    },
)
