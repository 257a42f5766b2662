"""Where the host's load balancers and ingress controllers answer: `status.loadBalancer` of a copy."""

from collections.abc import Mapping, Sequence
from typing import Any

from k3k_kubelet.translate.objects import Object

_PORT = ("error", "port", "protocol")


def status(copy: Mapping[str, Any], keys: Sequence[str]) -> Object:
    """`status.loadBalancer` inside.

    Args:
        copy: the object on the host.
        keys: what each of its points of entry may say, `ports` of them without what nobody knows.
    """
    found = ((copy.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    ingress = []
    for each in found:
        point = {key: each[key] for key in keys if each.get(key)}
        if "ports" in point:
            point["ports"] = [{key: port[key] for key in _PORT if key in port} for port in point["ports"]]
        ingress.append(point)
    return {"ingress": ingress} if ingress else {}
