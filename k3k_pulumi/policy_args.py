"""Arguments of VirtualClusterPolicy and SharedModeNamespace; the rules of `k3k_pulumi.args` hold here too."""

# ruff: noqa: UP045

from collections.abc import Mapping, Sequence
from typing import Any, Optional, Required, TypedDict

import pulumi

from k3k_pulumi.fragment_types import (
    Affinity,
    LimitRangeItem,
    PodSecurityContext,
    ResourceQuotaSpec,
    Toleration,
)


class PodSecurityArgs(TypedDict, total=False):
    """Pod Security levels of namespaces: `privileged`, `baseline` or `restricted`."""

    enforce: Optional[str]
    """Level below which pods are refused; `baseline` by default."""
    warn: Optional[str]
    """Level below which pods are answered with a warning; `baseline` by default."""
    audit: Optional[str]
    """Level below which pods are noted in the audit log; `baseline` by default."""
    version: Optional[str]
    """Version of Kubernetes whose levels these are, like `v1.34`; `latest` by default."""


class PodSettingsArgs(TypedDict, total=False):
    """Settings of the control planes' pods, as in a pod's spec."""

    node_selector: Optional[Mapping[str, str]]
    """Node selector."""
    tolerations: Optional[Sequence[Toleration]]
    """Tolerations."""
    affinity: Optional[Affinity]
    """Affinity."""
    priority_class: Optional[str]
    """PriorityClass."""
    runtime_class: Optional[str]
    """RuntimeClass."""
    host_users: Optional[bool]
    """Whether pods run in their node's user namespace; False gives each one of its own."""
    security_context: Optional[PodSecurityContext]
    """Security context of pods, within what the Pod Security level `restricted` allows."""


class PolicyRulesArgs(TypedDict, total=False):
    """What a policy says of the virtual clusters under it. docs/policy.md says where each one is enforced."""

    policy_name: Optional[str]
    (
        "Name of the policy, unique on the host, and the beginning of its objects' names; the resource's "
        "name by default. Set to the old name, it lets the resource be renamed, with an alias, and nothing "
        "else."
    )
    allowed_modes: Optional[Sequence[str]]
    """Modes that clusters may have: of `shared`, `virtual` and `hosted`; all by default."""
    allowed_distributions: Optional[Sequence[str]]
    """Distributions that clusters may have: of `k3s` and `kubernetes`; both by default."""
    versions: Optional[str]
    (
        "Versions that clusters may have, as conditions that all hold, like `>=1.33 <1.36`; any by default. "
        "`<=1.35` and `=1.35` have all patches of 1.35."
    )
    quotas: Optional[Mapping[str, ResourceQuotaSpec]]
    (
        "ResourceQuotas of each namespace by their names, as in a ResourceQuota's spec (`hard`, `scopes`, "
        '`scopeSelector`), for example `{"compute": {"hard": {"requests.cpu": "20", '
        '"requests.example.com/gpu": "2"}}}`.'
    )
    limits: Optional[Sequence[LimitRangeItem]]
    """Limits of each namespace's LimitRange, as in its spec."""
    pod_security: Optional[PodSecurityArgs]
    """Pod Security levels of the namespaces."""
    control_plane_defaults: Optional[PodSettingsArgs]
    """What the control planes' pods get where a cluster says nothing."""
    control_plane_required: Optional[PodSettingsArgs]
    """What the control planes' pods always get; a cluster that asks for something else is refused."""
    egress: Optional[str]
    """The widest egress that clusters may have: `none`, `internet` (default) or `all`."""
    egress_cidrs: Optional[Sequence[str]]
    """Address ranges that clusters may reach beside those that `egress` has. None by default."""
    host_cidrs: Optional[Sequence[str]]
    (
        "Address ranges of the host (pods, Services, nodes) beyond the private ones, denied to the workloads "
        "of every cluster."
    )
    source_cidrs: Optional[Sequence[str]]
    """Address ranges that may be given access to clusters' APIs and name servers. Any by default."""
    expose_types: Optional[Sequence[str]]
    """Types that `expose` may have: of `ClusterIP`, `NodePort` and `LoadBalancer`; all by default."""
    storage_classes: Optional[Sequence[str]]
    """StorageClasses that control planes may use. Any by default."""
    image_registries: Optional[Sequence[str]]
    (
        "Where images of control planes and of workloads may come from, as prefixes of whole parts, like "
        "`registry.example.com/team/`; `nginx` is `docker.io/library/nginx`. Any by default. "
        "`pods.imageRegistries` says otherwise for workloads."
    )
    mirror_host_nodes: Optional[bool]
    """Whether clusters may have `mirror_host_nodes`. False by default."""
    require_network_policy: Optional[bool]
    """Whether every cluster has to prove that its host enforces NetworkPolicies. False by default."""
    admission_policy: Optional[bool]
    (
        "Whether a ValidatingAdmissionPolicy of the host refuses pods that no virtual kubelet would make. "
        "False by default: it takes cluster-scoped rights to deploy."
    )
    pods: Optional[Mapping[str, Any]]
    (
        "The widest that `pods` of clusters may be, key by key. docs/shared-mode.md has all keys; what is "
        "left out has the default there."
    )
    sync: Optional[Mapping[str, Any]]
    (
        "The widest that `sync` of clusters may be, key by key. docs/sync.md has all keys; what is left out "
        "has the default there."
    )
    labels: Optional[Mapping[str, str]]
    """Labels added to every object the component makes."""
    annotations: Optional[Mapping[str, str]]
    """Annotations added to every object the component makes."""


class VirtualClusterPolicyArgs(PolicyRulesArgs, total=False):
    """Arguments of a VirtualClusterPolicy. docs/policy.md says where each one is enforced."""

    namespaces: Required[Sequence[pulumi.Input[str]]]
    """Host namespaces that the policy is bound to. Takes Outputs. Required."""


class TenantArgs(TypedDict, total=False):
    """Who may see the host objects of the virtual clusters in a namespace."""

    kind: Required[str]
    """`User`, `Group` or `ServiceAccount`. Required."""
    name: Required[str]
    """Name of the user, group or ServiceAccount on the host. Required."""
    namespace: Optional[str]
    """Namespace of the ServiceAccount, which needs one; others have none."""


class SharedModeNamespaceArgs(PolicyRulesArgs, total=False):
    """Arguments of a SharedModeNamespace: the namespace, and the rules of a VirtualClusterPolicy for it."""

    namespace: Optional[str]
    """The Namespace to make; called as the policy by default."""
    tenants: Optional[Sequence[TenantArgs]]
    (
        "Who may see their host objects: each is bound to the host's ClusterRole `view`, which reads no "
        "Secret. Nobody by default."
    )
