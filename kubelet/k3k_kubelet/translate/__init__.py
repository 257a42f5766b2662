"""Translation between the virtual cluster and its host: pure functions over decoded JSON.

Objects are plain dicts; nothing here does I/O or changes what it is given.
"""

from k3k_kubelet.translate import (
    config,
    ephemeral,
    events,
    identity,
    names,
    pod,
    services,
    status,
    token,
    update,
)
from k3k_kubelet.translate.identity import Identity
from k3k_kubelet.translate.objects import (
    Cluster,
    Dropped,
    HostContainer,
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
    "HostPod",
    "Identity",
    "Object",
    "ObjectRef",
    "References",
    "Refused",
    "TokenProjection",
    "config",
    "ephemeral",
    "events",
    "identity",
    "is_terminal",
    "names",
    "pod",
    "services",
    "status",
    "token",
    "update",
]
