"""What translation takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""One Kubernetes object or a part of one, as decoded JSON."""


def is_terminal(pod: Object) -> bool:
    """Whether a pod's phase is one that it never leaves."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


_MAX_MESSAGE = 1000
"""Bytes of a message: an event takes 1024 at most, and a tenant's value may be long."""


def _short(message: str) -> str:
    if len(message.encode()) <= _MAX_MESSAGE:
        return message
    return message.encode()[: _MAX_MESSAGE - 3].decode(errors="ignore") + "..."


class Refused(Exception):  # noqa: N818 -- an answer to the tenant, not a defect
    """A pod that must not run on the host as it is.

    Attributes:
        path: the field, `spec.containers[0].securityContext.procMount`.
        reason: what was found and why it is refused.
        allowed: what to write instead, or what the cluster's policy would have to say; may be "".
    """

    def __init__(self, path: str, reason: str, allowed: str = "") -> None:
        super().__init__(path, reason, allowed)
        self.path = path
        self.reason = reason
        self.allowed = allowed

    def __str__(self) -> str:
        return _short(f"{self.path}: {self.reason}" + (f"; {self.allowed}" if self.allowed else ""))


@dataclass(frozen=True, slots=True)
class Dropped:
    """A field of the tenant's pod that the host copy does not have; the pod runs without it."""

    path: str
    reason: str

    def __str__(self) -> str:
        return _short(f"{self.path}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The virtual cluster, as translation needs it.

    Attributes:
        name: its name.
        namespace: the host namespace of its workloads.
        owner: ownerReference to its anchor ConfigMap, `controller: true`.
        service_account: host service account that its pods run as, one without rights.
        cluster_domain: its DNS domain.
        api_host: address of its API server as pods reach it.
        api_port: port of the same.
        dns_host: address of its DNS as pods reach it.
    """

    name: str
    namespace: str
    owner: Mapping[str, Any]
    service_account: str
    cluster_domain: str
    api_host: str
    api_port: int
    dns_host: str


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object of the pod's virtual namespace that the pod uses, so that the host needs a copy of it.

    Attributes:
        namespace: virtual namespace.
        name: virtual name.
        host_name: name of the copy.
        optional: whether every use of it in the pod is optional.
    """

    namespace: str
    name: str
    host_name: str
    optional: bool


@dataclass(frozen=True, slots=True)
class TokenProjection:
    """A service-account token that the pod mounts.

    Attributes:
        key: its key in the pod's token Secret.
        audience: requested audience; "" for the API server's own.
        expiration_seconds: requested life.
    """

    key: str
    audience: str
    expiration_seconds: int


@dataclass(frozen=True, slots=True)
class HostPod:
    """The host's copy of a pod and what it needs beside it.

    Attributes:
        manifest: the pod for the host.
        config_maps: ConfigMaps that it uses.
        secrets: Secrets that it uses, those for pulling images included.
        claims: PersistentVolumeClaims that it uses.
        tokens: tokens for the Secret `names.token_secret_name`; that Secret is made only if there are any.
        dropped: what the copy leaves out that the tenant should know of.
    """

    manifest: Object
    config_maps: frozenset[ObjectRef]
    secrets: frozenset[ObjectRef]
    claims: frozenset[ObjectRef]
    tokens: tuple[TokenProjection, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class HostObject:
    """The host's copy of an object that is no pod, and what it needs beside it.

    Attributes:
        manifest: the object for the host.
        config_maps: ConfigMaps that it uses.
        secrets: Secrets that it uses.
        dropped: what the copy leaves out that the tenant should know of.
    """

    manifest: Object
    config_maps: frozenset[ObjectRef] = frozenset()
    secrets: frozenset[ObjectRef] = frozenset()
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class HostContainer:
    """An ephemeral container for the host's copy of its pod, and what it needs there.

    Attributes:
        manifest: the container for the host pod's `ephemeralcontainers` subresource.
        config_maps: ConfigMaps that it uses.
        secrets: Secrets that it uses.
        dropped: what it leaves out that the tenant should know of.
    """

    manifest: Object
    config_maps: frozenset[ObjectRef]
    secrets: frozenset[ObjectRef]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class References:
    """Virtual names, in the pod's namespace, of what a pod refers to."""

    config_maps: frozenset[str]
    secrets: frozenset[str]
    claims: frozenset[str]
