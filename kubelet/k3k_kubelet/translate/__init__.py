"""Translation between the virtual cluster and its host: pure functions over decoded JSON.

Objects are plain dicts; nothing here does I/O or changes what it is given.
"""

from k3k_kubelet.translate import (
    claim,
    config,
    disruption_budget,
    endpoint_slice,
    ephemeral,
    events,
    exposure,
    identity,
    names,
    pod,
    service,
    services,
    status,
    token,
    update,
    volume,
)
from k3k_kubelet.translate.identity import Identity
from k3k_kubelet.translate.objects import (
    Cluster,
    Dropped,
    HostContainer,
    HostObject,
    HostPod,
    Object,
    ObjectRef,
    References,
    Refused,
    TokenProjection,
    is_terminal,
)

__all__ = [
    "Cluster",
    "Dropped",
    "HostContainer",
    "HostObject",
    "HostPod",
    "Identity",
    "Object",
    "ObjectRef",
    "References",
    "Refused",
    "TokenProjection",
    "claim",
    "config",
    "disruption_budget",
    "endpoint_slice",
    "ephemeral",
    "events",
    "exposure",
    "identity",
    "is_terminal",
    "names",
    "pod",
    "service",
    "services",
    "status",
    "token",
    "update",
    "volume",
]
