"""Volumes: what becomes another kind of volume on the host."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object, Refused
from k3k_kubelet.translate.rules.references import token


def volume(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A generic ephemeral volume is the claim that the virtual cluster makes for it, `<pod>-<volume>`."""
    if "ephemeral" in copy:
        del copy["ephemeral"]
        claim = context.use(context.claims, f"{context.name}-{copy['name']}", path, optional=False)
        copy["persistentVolumeClaim"] = {"claimName": claim}
    if len(copy) < 2:
        raise Refused(path, "the volume has no source", "name one, emptyDir for instance")
    return copy


def projection(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:
    """A source of a projected volume: tokens come from the pod's token Secret."""
    if "serviceAccountToken" in copy:
        copy["secret"] = token(copy.pop("serviceAccountToken"), context, path, value)
    return copy
