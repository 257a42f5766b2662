"""Fields of a container as a whole."""

import re
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object, Refused
from k3k_kubelet.translate.rules import environment, images, settings

_ZERO = re.compile(r"[+-]?[0.]+([a-zA-Z]+[+-]?[0-9]*)?")


def finish(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """The last step of every kind of container."""
    environment.service_variables(copy, context)
    images.pull(copy, "imagePullPolicy", context)
    settings.container(copy, context, path)
    _check_amounts(copy.get("resources") or {}, f"{path}.resources")
    return copy


def _check_amounts(resources: Mapping[str, Any], path: str) -> None:
    """Refuses nothing of an extended resource: who asks for none of it gets a toleration for its nodes.

    The host's admission plugin ExtendedResourceToleration looks at names, not at amounts.
    """
    for kind in ("limits", "requests"):
        for name, amount in (resources.get(kind) or {}).items():
            if "/" in name and "kubernetes.io/" not in name and _ZERO.fullmatch(str(amount)):
                raise Refused(
                    f"{path}.{kind}[{name}]",
                    f"{amount!r} of an extended resource may open the nodes that have it",
                    "ask for 1 or more, or leave it out",
                )
