"""Arguments with Args objects as users write them. mypy reads this module with the library's own ones.

What a type checker has to refuse carries the sign that it does; mypy refuses a sign without use.
"""

from __future__ import annotations

from pulumi_kubernetes import core, meta

from k3k_pulumi import SharedModeNamespaceArgs, VirtualClusterArgs, VirtualClusterPolicyArgs

k8s = core.v1
TOLERATION = k8s.TolerationArgs(key="a", operator="Exists")
RESOURCES = k8s.ResourceRequirementsArgs(requests={"cpu": "100m"})
SETTINGS = k8s.PodSecurityContextArgs(run_as_user=1000)

CLUSTER = VirtualClusterArgs(
    namespace="team",
    distribution="kubernetes",
    tolerations=[
        TOLERATION,
        {"key": "a", "operator": "Exists", "toleration_seconds": None},
        k8s.TolerationArgsDict(key="a", operator="Exists"),
    ],
    affinity=k8s.AffinityArgs(node_affinity=k8s.NodeAffinityArgs()),
    security_context=SETTINGS,
    resources={"server": RESOURCES, "kubelet": {"limits": {"memory": "1Gi"}}, "dns": RESOURCES},
    pods={"required": {"tolerations": [TOLERATION]}},
    sync={"toHost": {"services": {"selector": meta.v1.LabelSelectorArgs(match_labels={"a": "b"})}}},
)
POLICY = VirtualClusterPolicyArgs(
    namespaces=["team"],
    quotas={"pods": k8s.ResourceQuotaSpecArgs(hard={"pods": "9"}), "cpu": {"hard": {"cpu": "9"}}},
    limits=[k8s.LimitRangeItemArgs(type="Pod"), {"type": "Container"}],
    control_plane_defaults={"security_context": SETTINGS, "affinity": k8s.AffinityArgs()},
    control_plane_required={"tolerations": (TOLERATION,)},
)
NAMESPACE = SharedModeNamespaceArgs(quotas={"pods": k8s.ResourceQuotaSpecArgs(hard={"pods": "9"})})

WRONG = (
    VirtualClusterArgs(namespace="team", tolerations=[k8s.CapabilitiesArgs(drop=["ALL"])]),  # type: ignore[list-item]
    VirtualClusterArgs(namespace="team", tolerations=["a"]),  # type: ignore[list-item]
    VirtualClusterArgs(namespace="team", affinity=TOLERATION),  # type: ignore[typeddict-item]
    VirtualClusterArgs(namespace="team", security_context=RESOURCES),  # type: ignore[typeddict-item]
    VirtualClusterArgs(namespace="team", resources={"server": SETTINGS}),  # type: ignore[typeddict-item]
)
