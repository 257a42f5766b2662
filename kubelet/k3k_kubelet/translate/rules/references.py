"""Names of objects that a pod refers to."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import names
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object
from k3k_kubelet.translate.schema import OMIT


def config_map(name: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:
    """The copy of a ConfigMap."""
    return context.use(context.config_maps, name, path, optional=parent.get("optional") is True)


def secret(name: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:
    """The copy of a Secret."""
    return context.use(context.secrets, name, path, optional=parent.get("optional") is True)


def claim(name: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """The copy of a PersistentVolumeClaim."""
    return context.use(context.claims, name, path, optional=False)


def image_pull_secret(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The copy of a Secret for pulling images; missing ones hold no pod back, empty entries mean nothing."""
    name = copy.get("name")
    if not name:
        return OMIT
    return {"name": context.use(context.secrets, name, f"{path}.name", optional=True)}


def token(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A serviceAccountToken projection becomes one of the pod's token Secret."""
    projection = context.token(copy.get("audience", ""), copy.get("expirationSeconds", DEFAULT_EXPIRATION))
    item = {"key": projection.key, "path": copy.get("path", "")}
    if "user" in copy:
        item["user"] = copy["user"]
    if _single_user(context.pod["spec"]):
        item["mode"] = 0o644
    secret_name = names.token_secret_name(context.cluster.name, context.namespace, context.name, context.uid)
    return {"name": secret_name, "items": [item]}


DEFAULT_EXPIRATION = 3600
"""Seconds of life of a projected token that does not say: the API's default."""


def _single_user(spec: Mapping[str, Any]) -> bool:
    """Whether all containers run as one stated user.

    The kubelet gives token files to that user; a Secret's files belong to root, so they must be readable by
    others whatever the volume's defaultMode is.
    """
    general = (spec.get("securityContext") or {}).get("runAsUser")
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    users = {(each.get("securityContext") or {}).get("runAsUser", general) for each in containers}
    return len(users) == 1 and None not in users
