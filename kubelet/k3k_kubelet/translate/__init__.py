"""Translation between the virtual cluster and its host: pure functions over decoded JSON.

Objects are plain dicts; nothing here does I/O or changes what it is given.
"""

from k3k_kubelet.translate import config, events, identity, names, pod, status, token
from k3k_kubelet.translate.identity import Identity
from k3k_kubelet.translate.objects import (
    Cluster,
    Dropped,
    HostPod,
    Object,
    ObjectRef,
    References,
    Refused,
    TokenProjection,
)

__all__ = [
    "Cluster",
    "Dropped",
    "HostPod",
    "Identity",
    "Object",
    "ObjectRef",
    "References",
    "Refused",
    "TokenProjection",
    "config",
    "events",
    "identity",
    "names",
    "pod",
    "status",
    "token",
]
