"""Fields of a container as a whole."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object
from k3k_kubelet.translate.rules import environment, images, settings


def finish(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """The last step of every kind of container."""
    environment.service_variables(copy, context)
    images.pull(copy, "imagePullPolicy", context)
    settings.container(copy, context, path)
    return copy
