"""What a host pod of a virtual cluster may be, as validations in CEL: the part `pods` of a policy document.

The virtual kubelet makes no other pods by itself. These say it once more, from the same document, in the
words of the host's own API server. What nobody can change in a pod is looked at when the pod is made, so that
a policy that has become narrower does not keep older pods from being updated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k3k_pulumi.manifests.policy.whitelist import container, pod, volumes
from k3k_pulumi.manifests.policy.whitelist.cel import Validation, validation

__all__ = ["Validation", "validation", "validations", "variables"]

_VARIABLES = {
    "created": 'request.operation == "CREATE"',
    # All of a new pod; later the debug containers that join it.
    "containers": (
        "variables.created ? object.spec.containers + object.spec.?initContainers.orValue([]) : "
        "object.spec.?ephemeralContainers.orValue([]).filter(c, !(c.name in "
        "oldObject.spec.?ephemeralContainers.orValue([]).map(o, o.name)))"
    ),
    "volumes": "variables.created ? object.spec.?volumes.orValue([]) : []",
    "tolerations": (
        "object.spec.?tolerations.orValue([]).filter(t, variables.created || "
        "!(t in oldObject.spec.?tolerations.orValue([])))"
    ),
}
_IMAGES = {
    "known": (
        "variables.created ? [] : (oldObject.spec.containers + oldObject.spec.?initContainers.orValue([]))"
        '.map(c, c.name + " " + c.?image.orValue(""))'
    ),
    # New ones, and those that a change brings.
    "images": (
        'variables.containers.map(c, c.?image.orValue("")) + '
        'variables.volumes.filter(v, has(v.image)).map(v, v.image.?reference.orValue("")) + '
        "(variables.created ? [] : (object.spec.containers + object.spec.?initContainers.orValue([]))"
        '.filter(c, !((c.name + " " + c.?image.orValue("")) in variables.known))'
        '.map(c, c.?image.orValue("")))'
    ),
}


def variables(pods: Mapping[str, Any]) -> dict[str, str]:
    """Name -> expression of what the validations share; none comes before what it needs.

    They need one more before all of them: `cluster`, the name of the cluster whose kubelet writes the pod.
    """
    return {
        **_VARIABLES,
        **({} if pods["imageRegistries"] is None else _IMAGES),
        **({"readOnlyVolumes": volumes.read_only(pods)} if pods["hostPaths"] else {}),
    }


def validations(pods: Mapping[str, Any]) -> list[Validation]:
    """All validations of a document.

    Args:
        pods: the document's part `pods`, complete: what a user left out has its default.
    """
    return [*pod.validations(pods), *volumes.validations(pods), *container.validations(pods)]
