"""Types of fragments of Kubernetes objects in arguments; the rules of `k3k_pulumi.args` hold here too."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pulumi_kubernetes.core import v1 as core

    Affinity: TypeAlias = Mapping[str, Any] | core.AffinityArgs
    LimitRangeItem: TypeAlias = Mapping[str, Any] | core.LimitRangeItemArgs
    PodSecurityContext: TypeAlias = Mapping[str, Any] | core.PodSecurityContextArgs
    ResourceQuotaSpec: TypeAlias = Mapping[str, Any] | core.ResourceQuotaSpecArgs
    ResourceRequirements: TypeAlias = Mapping[str, Any] | core.ResourceRequirementsArgs
    Toleration: TypeAlias = Mapping[str, Any] | core.TolerationArgs
else:
    # Other languages give maps. The analyzer would make empty objects of these classes, and to import them
    # takes most of a second.
    Affinity = LimitRangeItem = PodSecurityContext = Mapping[str, Any]
    ResourceQuotaSpec = ResourceRequirements = Toleration = Mapping[str, Any]
