"""Where a pod may run."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

IN_CLUSTER = {"k3k-pulumi.io/cluster": "team"}
IN_NAMESPACE = {"k3k-pulumi.io/cluster": "team", "k3k-pulumi.io/namespace": "default"}
APP = {"matchLabels": {"app": "web"}}
HOST_APP = {"labels.k3k-pulumi.io/app": "web"}


def in_(key: str, *values: str, operator: str = "In") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


TERMS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "the pod's own namespace",
        {"labelSelector": APP},
        {"labelSelector": {"matchLabels": HOST_APP | IN_NAMESPACE}},
    ),
    ("no selector: matches nothing", {"namespaces": ["a"], "namespaceSelector": {}}, {}),
    ("all pods", {"labelSelector": {}}, {"labelSelector": {"matchLabels": IN_NAMESPACE}}),
    (
        "expressions",
        {"labelSelector": {"matchExpressions": [in_("a.b/c", "x"), {"key": "d", "operator": "Exists"}]}},
        {
            "labelSelector": {
                "matchExpressions": [
                    in_("a.b.labels.k3k-pulumi.io/c", "x"),
                    {"key": "labels.k3k-pulumi.io/d", "operator": "Exists"},
                ],
                "matchLabels": IN_NAMESPACE,
            }
        },
    ),
    (
        "a selector that names another cluster's labels",
        {"labelSelector": {"matchLabels": {"k3k-pulumi.io/cluster": "other"}}},
        {
            "labelSelector": {
                "matchLabels": {"k3k-pulumi.io.labels.k3k-pulumi.io/cluster": "other"} | IN_NAMESPACE
            }
        },
    ),
    (
        "one namespace",
        {"labelSelector": APP, "namespaces": ["a"]},
        {"labelSelector": {"matchLabels": HOST_APP | IN_CLUSTER | {"k3k-pulumi.io/namespace": "a"}}},
    ),
    (
        "namespaces",
        {"labelSelector": APP, "namespaces": ["b", "a", "b"]},
        {
            "labelSelector": {
                "matchLabels": HOST_APP | IN_CLUSTER,
                "matchExpressions": [in_("k3k-pulumi.io/namespace", "a", "b")],
            }
        },
    ),
    (
        "all namespaces",
        {"labelSelector": APP, "namespaceSelector": {}},
        {"labelSelector": {"matchLabels": HOST_APP | IN_CLUSTER}},
    ),
    (
        "all namespaces and some",
        {"labelSelector": APP, "namespaceSelector": {"matchLabels": {}}, "namespaces": ["a"]},
        {"labelSelector": {"matchLabels": HOST_APP | IN_CLUSTER}},
    ),
    (
        "namespaces by their name label",
        {
            "labelSelector": APP,
            "namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": "a"},
                "matchExpressions": [in_("kubernetes.io/metadata.name", "b", operator="NotIn")],
            },
        },
        {
            "labelSelector": {
                "matchLabels": HOST_APP | IN_CLUSTER,
                "matchExpressions": [
                    in_("k3k-pulumi.io/namespace", "a"),
                    in_("k3k-pulumi.io/namespace", "b", operator="NotIn"),
                ],
            }
        },
    ),
    (
        "namespaces by their name label and by a list",
        {
            "labelSelector": APP,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}},
            "namespaces": ["a", "c"],
        },
        {
            "labelSelector": {
                "matchLabels": HOST_APP | IN_CLUSTER,
                "matchExpressions": [in_("k3k-pulumi.io/namespace", "a", "b", "c")],
            }
        },
    ),
    (
        "matchLabelKeys, not merged yet",
        {"labelSelector": APP, "matchLabelKeys": ["hash", "missing"], "mismatchLabelKeys": ["tenant"]},
        {
            "labelSelector": {
                "matchLabels": HOST_APP | IN_NAMESPACE,
                "matchExpressions": [
                    in_("labels.k3k-pulumi.io/hash", "1"),
                    in_("labels.k3k-pulumi.io/tenant", "t", operator="NotIn"),
                ],
            }
        },
    ),
    (
        "matchLabelKeys, merged by the virtual API server",
        {"labelSelector": {"matchExpressions": [in_("hash", "1")]}, "matchLabelKeys": ["hash"]},
        {
            "labelSelector": {
                "matchLabels": IN_NAMESPACE,
                "matchExpressions": [in_("labels.k3k-pulumi.io/hash", "1")],
            }
        },
    ),
]
LABELS = {"app": "web", "hash": "1", "tenant": "t"}


@pytest.mark.parametrize(("term", "on_host"), [case[1:] for case in TERMS], ids=[case[0] for case in TERMS])
@pytest.mark.parametrize("kind", ["podAffinity", "podAntiAffinity"])
def test_a_term_about_other_pods(kind: str, term: dict[str, Any], on_host: dict[str, Any]) -> None:
    def affinity(one: dict[str, Any]) -> dict[str, Any]:
        whole = {"topologyKey": "kubernetes.io/hostname", **one}
        return {
            kind: {
                "requiredDuringSchedulingIgnoredDuringExecution": [whole],
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": whole}],
            }
        }

    assert host_spec(pod({"affinity": affinity(term)}, labels=LABELS))["affinity"] == affinity(on_host)


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, "'team', which the host does not know"),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
            "'team', which the host does not know",
        ),
        (
            {
                "namespaceSelector": {
                    "matchExpressions": [in_("kubernetes.io/metadata.name", "b", operator="NotIn")]
                },
                "namespaces": ["a"],
            },
            "together cannot be told to the host",
        ),
    ],
)
def test_a_term_that_the_host_cannot_hold_is_refused(term: dict[str, Any], reason: str) -> None:
    terms = [{"topologyKey": "zone", "labelSelector": APP, **term}]
    with pytest.raises(Refused, match=reason) as caught:
        to_host(pod({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}))
    assert caught.value.path == (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaceSelector"
    )


SPREADS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("own pods", {"labelSelector": APP}, {"labelSelector": {"matchLabels": HOST_APP | IN_NAMESPACE}}),
    ("no selector: counts nothing", {"matchLabelKeys": ["hash"]}, {}),
    (
        "matchLabelKeys",
        {"labelSelector": APP, "matchLabelKeys": ["hash"]},
        {
            "labelSelector": {
                "matchLabels": HOST_APP | IN_NAMESPACE,
                "matchExpressions": [in_("labels.k3k-pulumi.io/hash", "1")],
            }
        },
    ),
]


@pytest.mark.parametrize(
    ("one", "on_host"), [case[1:] for case in SPREADS], ids=[case[0] for case in SPREADS]
)
def test_a_topology_spread_constraint(one: dict[str, Any], on_host: dict[str, Any]) -> None:
    copied = {
        "maxSkew": 1,
        "minDomains": 2,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "nodeAffinityPolicy": "Honor",
        "nodeTaintsPolicy": "Ignore",
    }
    spec = {"topologySpreadConstraints": [{**copied, **one}]}
    assert host_spec(pod(spec, labels=LABELS))["topologySpreadConstraints"] == [{**copied, **on_host}]


NODE_TERM = {"matchExpressions": [in_("zone", "a")], "matchFields": [in_("metadata.name", "node-1")]}
NODE_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODE_TERM]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": NODE_TERM}],
    }
}


def test_node_affinity_is_about_the_hosts_labels_as_it_is() -> None:
    assert host_spec(pod({"affinity": NODE_AFFINITY}))["affinity"] == NODE_AFFINITY


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    }


ON_NODE_2 = in_("metadata.name", "node-2")
NODE_NAMES: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
    ("no affinity", None, required({"matchFields": [ON_NODE_2]})),
    (
        "each term is narrowed",
        required({"matchExpressions": [in_("zone", "a")]}, {"matchFields": [in_("metadata.name", "node-1")]}),
        required(
            {"matchExpressions": [in_("zone", "a")], "matchFields": [ON_NODE_2]},
            {"matchFields": [in_("metadata.name", "node-1"), ON_NODE_2]},
        ),
    ),
    ("terms that match nothing stay so", required({}), required({})),
]


@pytest.mark.parametrize(
    ("affinity", "on_host"), [case[1:] for case in NODE_NAMES], ids=[case[0] for case in NODE_NAMES]
)
def test_a_named_node_passes_the_hosts_scheduler(
    affinity: dict[str, Any] | None, on_host: dict[str, Any]
) -> None:
    found = host_spec(pod({"nodeName": "node-2", "affinity": affinity}))
    assert "nodeName" not in found
    assert found["affinity"] == on_host


GPU = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
EVERYTHING = {"operator": "Exists"}
TOLERATIONS: list[tuple[str, list[dict[str, Any]], dict[str, Any], list[dict[str, Any]], list[str]]] = [
    ("of failing nodes, for ever", [NOT_READY], {}, [NOT_READY], []),
    (
        "of failing nodes, for a while",
        [
            {
                "key": "node.kubernetes.io/unreachable",
                "effect": "NoExecute",
                "tolerationSeconds": 5,
                "operator": "Exists",
            }
        ],
        {},
        [
            {
                "key": "node.kubernetes.io/unreachable",
                "effect": "NoExecute",
                "tolerationSeconds": 5,
                "operator": "Exists",
            }
        ],
        [],
    ),
    (
        "a DaemonSet's: without a word, they concern the host's upkeep",
        [
            {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
        ],
        {},
        [],
        [],
    ),
    ("not allowed", [GPU, NOT_READY], {}, [NOT_READY], ["spec.tolerations[0]"]),
    ("of everything", [EVERYTHING], {}, [], ["spec.tolerations[0]"]),
    ("allowed as it is", [GPU], {"allowedTolerations": [GPU]}, [GPU], []),
    (
        "narrower: a value",
        [{**GPU, "operator": "Equal", "value": "a"}],
        {"allowedTolerations": [GPU]},
        [{**GPU, "operator": "Equal", "value": "a"}],
        [],
    ),
    (
        "broader: all effects",
        [{"key": "gpu", "operator": "Exists"}],
        {"allowedTolerations": [GPU]},
        [],
        ["spec.tolerations[0]"],
    ),
    (
        "broader: all values",
        [GPU],
        {"allowedTolerations": [{"key": "gpu", "value": "a"}]},
        [],
        ["spec.tolerations[0]"],
    ),
    (
        "another value",
        [{"key": "gpu", "value": "b"}],
        {"allowedTolerations": [{"key": "gpu", "value": "a"}]},
        [],
        ["spec.tolerations[0]"],
    ),
    ("broader: all keys", [EVERYTHING], {"allowedTolerations": [GPU]}, [], ["spec.tolerations[0]"]),
    ("everything, allowed", [EVERYTHING, GPU], {"allowedTolerations": [EVERYTHING]}, [EVERYTHING, GPU], []),
    ("required by the policy", [], {"required": {"tolerations": [GPU]}}, [GPU], []),
    ("required by the policy and set", [GPU], {"required": {"tolerations": [GPU]}}, [GPU], []),
    ("by default", [NOT_READY], {"defaults": {"tolerations": [GPU]}}, [NOT_READY, GPU], []),
    ("by default and set", [GPU], {"defaults": {"tolerations": [GPU]}}, [GPU], []),
    (
        "by default, with one of the pod's own",
        [EVERYTHING],
        {"defaults": {"tolerations": [GPU]}},
        [],
        ["spec.tolerations[0]"],
    ),
]


@pytest.mark.parametrize(
    ("own", "policy", "on_host", "dropped"),
    [case[1:] for case in TOLERATIONS],
    ids=[case[0] for case in TOLERATIONS],
)
def test_tolerations(
    own: list[dict[str, Any]], policy: dict[str, Any], on_host: list[dict[str, Any]], dropped: list[str]
) -> None:
    made = to_host(pod({"tolerations": own}), allowing(**policy))
    assert made.manifest["spec"].get("tolerations", []) == on_host
    assert [each.path for each in made.dropped] == dropped


def test_a_dropped_toleration_says_why() -> None:
    assert str(to_host(pod({"tolerations": [GPU]})).dropped[0]) == (
        "spec.tolerations[0]: the pod does not tolerate the host's taint gpu: "
        "the cluster's policy does not have it in pods.allowedTolerations"
    )


def test_a_priority_class_of_the_host() -> None:
    made = to_host(pod({"priorityClassName": "low"}), allowing(priorityClasses=["low"]))
    assert (made.manifest["spec"]["priorityClassName"], made.dropped) == ("low", ())


def test_another_priority_class_has_no_effect_on_the_host_and_the_tenant_is_told() -> None:
    made = to_host(pod({"priorityClassName": "system-node-critical"}), allowing(priorityClasses=["low"]))
    assert "priorityClassName" not in made.manifest["spec"]
    assert [str(each) for each in made.dropped] == [
        "spec.priorityClassName: 'system-node-critical' has no effect on the host: the policy does not have "
        "it in pods.priorityClasses (low)"
    ]


def test_a_runtime_class_of_the_host() -> None:
    assert (
        host_spec(pod({"runtimeClassName": "gvisor"}), allowing(runtimeClasses=["gvisor"]))[
            "runtimeClassName"
        ]
        == "gvisor"
    )


def test_another_runtime_class_is_refused_for_it_may_be_meant_to_isolate() -> None:
    with pytest.raises(Refused, match=r"^spec\.runtimeClassName: 'gvisor' is not allowed .*: none$"):
        to_host(pod({"runtimeClassName": "gvisor"}))
