"""Fragments of Kubernetes types in every form that users have them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pulumi_kubernetes import core, meta

k8s = core.v1
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class Case:
    """One fragment in the forms that users have.

    Attributes:
        places: Where it is taken: paths of arguments, with the component's letter before them (`c`luster,
            `p`olicy).
        camel: As in a manifest, which is what becomes of all other forms.
        snake: As in Pulumi programs.
        typed: As Args objects.
        mixed: As dicts in Args objects and the other way round.
        unknown: One with a wrong key in depth, and what is said of it.
    """

    places: tuple[str, ...]
    camel: Any
    snake: Any
    typed: Any
    mixed: Any
    unknown: tuple[Any, str]


CASES = {
    "tolerations": Case(
        places=(
            *("c:tolerations", "p:control_plane_defaults.tolerations"),
            *("p:control_plane_required.tolerations", "c:pods.required.tolerations"),
            *("c:pods.defaults.tolerations", "p:pods.allowedTolerations"),
        ),
        camel=[
            {"key": "a_b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
            {"key": "c", "value": "d"},
        ],
        snake=[
            {"key": "a_b", "operator": "Exists", "effect": "NoExecute", "toleration_seconds": 30.0},
            {"key": "c", "value": "d", "effect": None},
        ],
        typed=[
            k8s.TolerationArgs(key="a_b", operator="Exists", effect="NoExecute", toleration_seconds=30),
            k8s.TolerationArgs(key="c", value="d"),
        ],
        mixed=(
            k8s.TolerationArgsDict(
                key="a_b", operator="Exists", effect="NoExecute", toleration_seconds=30, value=None
            ),
            k8s.TolerationArgs(key="c", value="d"),
        ),
        unknown=([{"key": "a"}, {"key": "b", "efect": "NoExecute"}], "[1].efect: did you mean 'effect'?"),
    ),
    "affinity": Case(
        places=(
            *("c:affinity", "p:control_plane_defaults.affinity"),
            "p:control_plane_required.affinity",
        ),
        camel={
            "nodeAffinity": {
                REQUIRED: {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "my_key", "operator": "In", "values": ["v_1"]}]}
                    ]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 7,
                        "podAffinityTerm": {
                            "labelSelector": {"matchLabels": {"my_label": "x_y"}},
                            "topologyKey": "kubernetes.io/hostname",
                        },
                    }
                ]
            },
        },
        snake={
            "node_affinity": {
                "required_during_scheduling_ignored_during_execution": {
                    "node_selector_terms": [
                        {"match_expressions": [{"key": "my_key", "operator": "In", "values": ("v_1",)}]}
                    ]
                }
            },
            "pod_anti_affinity": {
                "preferred_during_scheduling_ignored_during_execution": [
                    {
                        "weight": 7.0,
                        "pod_affinity_term": {
                            "label_selector": {"match_labels": {"my_label": "x_y"}},
                            "topology_key": "kubernetes.io/hostname",
                        },
                    }
                ]
            },
        },
        typed=k8s.AffinityArgs(
            node_affinity=k8s.NodeAffinityArgs(
                required_during_scheduling_ignored_during_execution=k8s.NodeSelectorArgs(
                    node_selector_terms=[
                        k8s.NodeSelectorTermArgs(
                            match_expressions=[
                                k8s.NodeSelectorRequirementArgs(key="my_key", operator="In", values=["v_1"])
                            ]
                        )
                    ]
                )
            ),
            pod_anti_affinity=k8s.PodAntiAffinityArgs(
                preferred_during_scheduling_ignored_during_execution=[
                    k8s.WeightedPodAffinityTermArgs(
                        weight=7,
                        pod_affinity_term=k8s.PodAffinityTermArgs(
                            label_selector=meta.v1.LabelSelectorArgs(match_labels={"my_label": "x_y"}),
                            topology_key="kubernetes.io/hostname",
                        ),
                    )
                ]
            ),
        ),
        mixed={
            "nodeAffinity": k8s.NodeAffinityArgs(
                required_during_scheduling_ignored_during_execution={
                    "node_selector_terms": [
                        {
                            "matchExpressions": [
                                k8s.NodeSelectorRequirementArgs(key="my_key", operator="In", values=["v_1"])
                            ],
                            "match_fields": None,
                        }
                    ]
                }
            ),
            "pod_anti_affinity": {
                "preferred_during_scheduling_ignored_during_execution": [
                    k8s.WeightedPodAffinityTermArgsDict(
                        weight=7,
                        pod_affinity_term={
                            "label_selector": {"matchLabels": {"my_label": "x_y", "absent": None}},
                            "topology_key": "kubernetes.io/hostname",
                        },
                    )
                ]
            },
        },
        unknown=(
            k8s.AffinityArgs(
                pod_affinity={
                    "required_during_scheduling_ignored_during_execution": [
                        k8s.PodAffinityTermArgs(topology_key="a", label_selector={"match_lables": {}})
                    ]
                }
            ),
            f".podAffinity.{REQUIRED}[0].labelSelector.match_lables: did you mean 'matchLabels'?",
        ),
    ),
    "node affinity of the tenant's pods": Case(
        places=("c:pods.required.affinity", "c:pods.defaults.affinity", "p:pods.required.affinity"),
        camel={
            "nodeAffinity": {
                REQUIRED: {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a_b", "operator": "Exists"}]}]
                }
            }
        },
        snake={
            "node_affinity": {
                "required_during_scheduling_ignored_during_execution": {
                    "node_selector_terms": [{"match_expressions": [{"key": "a_b", "operator": "Exists"}]}]
                }
            }
        },
        typed=k8s.AffinityArgs(
            node_affinity=k8s.NodeAffinityArgs(
                required_during_scheduling_ignored_during_execution=k8s.NodeSelectorArgs(
                    node_selector_terms=[
                        k8s.NodeSelectorTermArgs(
                            match_expressions=[k8s.NodeSelectorRequirementArgs(key="a_b", operator="Exists")]
                        )
                    ]
                )
            )
        ),
        mixed={
            "node_affinity": k8s.NodeAffinityArgs(
                required_during_scheduling_ignored_during_execution={
                    "nodeSelectorTerms": [
                        k8s.NodeSelectorTermArgs(match_expressions=[{"key": "a_b", "operator": "Exists"}])
                    ]
                }
            )
        },
        unknown=(
            k8s.AffinityArgs(pod_affinity=k8s.PodAffinityArgs()),
            ".pod_affinity: did you mean 'nodeAffinity'?",
        ),
    ),
    "resources": Case(
        places=("c:resources.server", "c:resources.kubelet", "c:resources.dns"),
        camel={"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"ephemeral-storage": 1}},
        snake={
            "requests": {"cpu": "250m", "memory": "1Gi", "x_y": None},
            "limits": {"ephemeral-storage": 1.0},
        },
        typed=k8s.ResourceRequirementsArgs(
            requests={"cpu": "250m", "memory": "1Gi"}, limits={"ephemeral-storage": 1}
        ),
        mixed=k8s.ResourceRequirementsArgsDict(
            requests={"cpu": "250m", "memory": "1Gi"}, limits={"ephemeral-storage": 1}
        ),
        unknown=(
            k8s.ResourceRequirementsArgs(claims=[k8s.ResourceClaimArgs(name="gpu")]),
            ".claims: did you mean 'limits'?",
        ),
    ),
    "security context": Case(
        places=(
            *("c:security_context", "p:control_plane_defaults.security_context"),
            "p:control_plane_required.security_context",
        ),
        camel={
            "runAsUser": 1000,
            "seLinuxOptions": {"level": "s0:c1,c2"},
            "seccompProfile": {"type": "RuntimeDefault"},
            "supplementalGroups": [1, 2],
        },
        snake={
            "run_as_user": 1000.0,
            "se_linux_options": {"level": "s0:c1,c2"},
            "seccomp_profile": {"type": "RuntimeDefault", "localhost_profile": None},
            "supplemental_groups": [1.0, 2],
        },
        typed=k8s.PodSecurityContextArgs(
            run_as_user=1000,
            se_linux_options=k8s.SELinuxOptionsArgs(level="s0:c1,c2"),
            seccomp_profile=k8s.SeccompProfileArgs(type="RuntimeDefault"),
            supplemental_groups=[1, 2],
        ),
        mixed={
            "runAsUser": 1000,
            "se_linux_options": k8s.SELinuxOptionsArgs(level="s0:c1,c2"),
            "seccompProfile": k8s.SeccompProfileArgsDict(type="RuntimeDefault"),
            "supplementalGroups": (1, 2),
        },
        unknown=(
            k8s.PodSecurityContextArgs(
                seccomp_profile={"typ": "RuntimeDefault"}  # type: ignore[typeddict-unknown-key]
            ),
            ".seccompProfile.typ: did you mean 'type'?",
        ),
    ),
    "security context of the tenant's containers": Case(
        places=("c:pods.required.securityContext", "p:pods.defaults.securityContext"),
        camel={"runAsNonRoot": True, "runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        snake={"run_as_non_root": True, "run_as_user": 1000.0, "capabilities": {"drop": ["ALL"]}},
        typed=k8s.SecurityContextArgs(
            run_as_non_root=True, run_as_user=1000, capabilities=k8s.CapabilitiesArgs(drop=["ALL"])
        ),
        mixed={
            "runAsNonRoot": True,
            "run_as_user": 1000,
            "capabilities": k8s.CapabilitiesArgs(drop=["ALL"]),
        },
        unknown=(
            {"capabilities": k8s.CapabilitiesArgs(add=["NET_RAW"])},
            ".capabilities.add: known here: drop",
        ),
    ),
    "quotas": Case(
        places=("p:quotas",),
        camel={
            "my-quota": {
                "hard": {"requests.cpu": "20", "requests.example.com/my_gpu": 2},
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["high_er"]}
                    ]
                },
            }
        },
        snake={
            "my-quota": {
                "hard": {"requests.cpu": "20", "requests.example.com/my_gpu": 2.0},
                "scope_selector": {
                    "match_expressions": [
                        {"scope_name": "PriorityClass", "operator": "In", "values": ["high_er"]}
                    ]
                },
                "scopes": None,
            }
        },
        typed={
            "my-quota": k8s.ResourceQuotaSpecArgs(
                hard={"requests.cpu": "20", "requests.example.com/my_gpu": 2},  # type: ignore[dict-item]
                scope_selector=k8s.ScopeSelectorArgs(
                    match_expressions=[
                        k8s.ScopedResourceSelectorRequirementArgs(
                            scope_name="PriorityClass", operator="In", values=["high_er"]
                        )
                    ]
                ),
            )
        },
        mixed={
            "my-quota": k8s.ResourceQuotaSpecArgs(
                hard={"requests.cpu": "20", "requests.example.com/my_gpu": 2},  # type: ignore[dict-item]
                scope_selector={
                    "match_expressions": [
                        k8s.ScopedResourceSelectorRequirementArgsDict(
                            scope_name="PriorityClass", operator="In", values=["high_er"]
                        )
                    ]
                },
            )
        },
        unknown=(
            {"my-quota": {"hard": {"pods": 1}, "scope_selctor": {}}},
            ".my-quota.scope_selctor: did you mean 'scopeSelector'?",
        ),
    ),
    "limits": Case(
        places=("p:limits",),
        camel=[
            {"type": "Container", "defaultRequest": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": 4}},
            {"type": "Pod", "max": {"memory": "8Gi"}},
        ],
        snake=[
            {
                "type": "Container",
                "default_request": {"cpu": "100m"},
                "max_limit_request_ratio": {"cpu": 4.0},
            },
            {"type": "Pod", "max": {"memory": "8Gi"}, "min": None},
        ],
        typed=[
            k8s.LimitRangeItemArgs(
                type="Container",
                default_request={"cpu": "100m"},
                max_limit_request_ratio={"cpu": 4},  # type: ignore[dict-item]
            ),
            k8s.LimitRangeItemArgs(type="Pod", max={"memory": "8Gi"}),
        ],
        mixed=[
            k8s.LimitRangeItemArgs(
                type="Container",
                default_request={"cpu": "100m"},
                max_limit_request_ratio={"cpu": 4},  # type: ignore[dict-item]
            ),
            {"type": "Pod", "max": {"memory": "8Gi"}},
        ],
        unknown=(
            [k8s.LimitRangeItemArgs(type="Pod"), {"type": "Container", "defaultRequests": {}}],
            "[1].defaultRequests: did you mean 'defaultRequest'?",
        ),
    ),
    "selectors": Case(
        places=("c:sync.toHost.services.selector", "p:sync.toHost.ingresses.selector"),
        camel={"matchLabels": {"my_app": "a_b"}},
        snake={"match_labels": {"my_app": "a_b"}},
        typed=meta.v1.LabelSelectorArgs(match_labels={"my_app": "a_b"}),
        mixed=meta.v1.LabelSelectorArgsDict(match_labels={"my_app": "a_b"}, match_expressions=None),
        unknown=(
            meta.v1.LabelSelectorArgs(match_expressions=[]),
            ".match_expressions: known here: matchLabels",
        ),
    ),
}
