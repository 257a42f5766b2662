"""Names on the host: of objects, and of label and annotation keys.

Every name is a function of the virtual one and is never parsed back: who an object belongs to stands in its
annotations (see `identity`).
"""

import base64
import hashlib
import re
from functools import lru_cache

DOMAIN = "k3k-pulumi.io"
"""Prefix of the labels and annotations that are ours alone."""

MAX_NAME = 63
"""Longest host name: that of a DNS label, so that one rule serves pods, Services, label values and claims."""

_HASH = 16
"""Characters of the hash: 80 bits in base32."""

_MIN_NAMESPACE = 8
_TAIL = 6
"""Length of what is kept of a long name's end: the replica suffix, `-x7k2p`."""

_MAX_PREFIX = 253


@lru_cache(maxsize=8192)
def host_name(cluster: str, namespace: str, name: str) -> str:
    """Name on the host of a namespaced object of the virtual cluster.

    Args:
        cluster: name of the virtual cluster.
        namespace: the object's namespace inside; "" for an object without one.
        name: the object's name inside.

    Returns:
        `<name>-<namespace>-<hash>`, a DNS-1123 label of at most 63 characters. Kinds share it: host objects
        of different kinds never meet.
    """
    return _compose(name, namespace, _digest(cluster, namespace, name))


@lru_cache(maxsize=8192)
def token_secret_name(cluster: str, namespace: str, pod: str, uid: str) -> str:
    """Name of the host Secret with a pod's service-account tokens, one for each incarnation of the pod.

    The slash keeps it apart from the copy of any Secret of the tenant: no name in Kubernetes has one.
    """
    return _compose(pod, namespace, _digest(cluster, namespace, f"{pod}/token/{uid}"))


def is_name(name: str) -> bool:
    """Whether an object can have this name (DNS-1123 subdomain).

    Kubernetes does not check the names in a pod's volumes and imagePullSecrets: `../x` stands there as well.
    """
    return len(name) <= _MAX_PREFIX and _SUBDOMAIN.fullmatch(name) is not None


_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _digest(*parts: str) -> str:
    raw = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=10).digest()
    return base64.b32encode(raw).decode("ascii").lower()


def _compose(name: str, namespace: str, digest: str) -> str:
    name, namespace = _clean(name), _clean(namespace)
    room = MAX_NAME - _HASH - 1
    if namespace:
        if len(name) + 1 + len(namespace) > room:
            namespace = namespace[: max(_MIN_NAMESPACE, room - 1 - len(name))].rstrip("-")
        room -= len(namespace) + 1
    if len(name) > room:
        name = name[: room - _TAIL - 1].rstrip("-") + "-" + name[-_TAIL:].lstrip("-")
    return "-".join(part for part in (name, namespace, digest) if part)


def _clean(part: str) -> str:
    """The readable part of a name: what a DNS label does not take becomes a hyphen, whoever wrote it."""
    return "".join(c if c in _LABEL_CHARACTERS else "-" for c in part).strip("-")


_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@lru_cache(maxsize=4096)
def label_key(key: str) -> str:
    """Key under which a host pod carries the tenant's label `key`.

    `app` becomes `labels.k3k-pulumi.io/app`, `app.kubernetes.io/name` becomes
    `app.kubernetes.io.labels.k3k-pulumi.io/name`. Tenants' labels never stand on the host under their own
    keys unless the policy says so: webhooks, network plugins and identity systems of the host act on labels
    (`sidecar.istio.io/inject`, `azure.workload.identity/use`, `io.cilium.k8s.policy...`), and nothing that a
    tenant writes may steer them. Different keys stay different, every selector is rewritten by this function
    too, and no key of a tenant, one that looks like ours included, meets one of ours.
    """
    return _domain_key(key, "labels")


@lru_cache(maxsize=4096)
def annotation_key(key: str) -> str:
    """Key under which a host pod carries the tenant's annotation `key`, for the downward API alone."""
    return _domain_key(key, "annotations")


def _domain_key(key: str, kind: str) -> str:
    prefix, _, name = key.rpartition("/")
    if not prefix:
        return f"{kind}.{DOMAIN}/{name}"
    whole = f"{prefix}.{kind}.{DOMAIN}"
    if len(whole) > _MAX_PREFIX:
        whole = f"{_digest(prefix)}.hashed-{kind}.{DOMAIN}"
    return f"{whole}/{name}"


def is_reserved(key: str) -> bool:
    """Whether a label or annotation key lies in our domain or one below it."""
    prefix, _, _ = key.lower().rpartition("/")
    return prefix == DOMAIN or prefix.endswith("." + DOMAIN)
