"""NetworkPolicies that let others in: those of a virtual cluster deny everything from outside.

Rules see packets after DNAT, so they name the pods and the ports that a Service leads to.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.objects import Cluster, Object, Refused
from k3k_kubelet.translate.rules.service import selector

PORTS = "services"
"""Purpose of what `of_service` makes."""


def network_policy(
    service: Mapping[str, Any],
    cluster: Cluster,
    purpose: str,
    *,
    ports: Iterable[Mapping[str, Any]] | None = None,
    peers: Iterable[Mapping[str, Any]] = (),
) -> Object | None:
    """The NetworkPolicy by which others may connect to the pods of a Service.

    Args:
        service: the Service inside.
        cluster: the virtual cluster.
        purpose: what it is for; one for each, so that a Service may have several. The colon in what the
            policy's name is made of keeps it apart from the copies of the tenant's objects.
        ports: those of the Service's ports that are meant; all of them by default.
        peers: who may connect, as in `spec.ingress[].from` of a NetworkPolicy; anybody by default.

    Returns:
        None where there is nothing to open: without a selector nobody knows which pods are meant.
    """
    spec, metadata = service.get("spec") or {}, service["metadata"]
    namespace, name = metadata["namespace"], f"{metadata['name']}:{purpose}"
    meant = [_target(port) for port in (spec.get("ports") or () if ports is None else ports)]
    if not spec.get("selector") or not meant:
        return None
    rule: Object = {"ports": meant}
    sources = [dict(each) for each in peers]
    if sources:
        rule["from"] = sources
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.host_name(cluster.name, namespace, name),
            "namespace": cluster.namespace,
            "labels": identity.labels(cluster.name, namespace),
            "annotations": identity.annotations(cluster.name, service) | {identity.NAME: name},
            "ownerReferences": [dict(cluster.owner)],
        },
        "spec": {
            "podSelector": {"matchLabels": selector(spec["selector"], cluster, namespace)},
            "policyTypes": ["Ingress"],
            "ingress": [rule],
        },
    }


def of_service(service: Mapping[str, Any], cluster: Cluster) -> Object | None:
    """The NetworkPolicy of a Service that is to be reached from outside; None for one that is not.

    `loadBalancerSourceRanges` limit it where packets arrive with their sender's address, which is with
    `externalTrafficPolicy: Local`. Else a node may pass them on with its own, and the ranges are
    enforced where Kubernetes does it: by the load balancer and by kube-proxy.

    Raises:
        Refused: one of the ranges is none.
    """
    spec = service.get("spec") or {}
    outward = spec.get("type") in ("NodePort", "LoadBalancer")
    if not outward and not spec.get("externalIPs"):
        return None
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if spec.get("externalTrafficPolicy") != "Local" or spec.get("type") != "LoadBalancer":
        ranges = ()
    peers = [{"ipBlock": {"cidr": _range(text, n)}} for n, text in enumerate(ranges)]
    return network_policy(service, cluster, PORTS, peers=peers)


def _range(text: str, n: int) -> str:
    """A range as NetworkPolicies take it; Services may have blanks around it, and bits beyond its prefix."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        path = f"spec.loadBalancerSourceRanges[{n}]"
        raise Refused(path, f"{text!r} is not a CIDR", "write it like 192.0.2.0/24") from None


def _target(port: Mapping[str, Any]) -> Object:
    return {"protocol": port.get("protocol") or "TCP", "port": port.get("targetPort") or port["port"]}
