"""Images: where they may come from, and when they are pulled."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.images import is_of, repository
from k3k_kubelet.translate.objects import Object, Refused


def image(value: str, context: Context, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """An image of the registries that the policy has in `pods.imageRegistries`."""
    registries = context.policy.image_registries
    if registries is not None and not is_of(value, registries):
        full = repository(value)
        what = f"{value!r} is no name of an image" if full is None else f"{value!r} is of {full}, which"
        raise Refused(
            path,
            f"{what} {'and ' if full is None else ''}is not allowed in this cluster",
            f"allowed by pods.imageRegistries of the cluster's policy: {', '.join(registries) or 'none'}",
        )
    return value


def pull(copy: Object, key: str, context: Context) -> None:
    """Have an image pulled at each start if the policy says so, by the field `key`."""
    if context.policy.always_pull_images:
        copy[key] = "Always"


def volume(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """An image volume is pulled by the same rule as a container's image."""
    pull(copy, "pullPolicy", context)
    return copy
