"""NetworkPolicies that let others in: those of a virtual cluster deny everything from outside.

Rules see packets after DNAT, so they name the pods and the ports that a Service leads to. Pods that a
NetworkPolicy of the tenant's isolates are left out: whom these let in is for `translate.entrance`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from k3k_kubelet.policy.sync import EVERYWHERE
from k3k_kubelet.translate import identity, names, ranges
from k3k_kubelet.translate.objects import Cluster, Object
from k3k_kubelet.translate.rules.network_policy import check_size, distinct
from k3k_kubelet.translate.rules.service import selector, source_ranges

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
        purpose: what it is for; one for each, so that a Service may have several.
        ports: those of the Service's ports that are meant; all of them by default.
        peers: who may connect, as in `spec.ingress[].from` of a NetworkPolicy; anybody by default.

    Returns:
        None where there is nothing to open: without a selector nobody knows which pods are meant.
    """
    spec, metadata = service.get("spec") or {}, service["metadata"]
    namespace = metadata["namespace"]
    meant = [_target(port) for port in (spec.get("ports") or () if ports is None else ports)]
    if not spec.get("selector") or not meant:
        return None
    rule: Object = {"ports": meant}
    sources = distinct(dict(each) for each in peers)
    if sources:
        rule["from"] = sources
    chosen: Object = {
        "matchLabels": selector(spec["selector"], cluster, namespace),
        "matchExpressions": [{"key": identity.ISOLATED["Ingress"], "operator": "DoesNotExist"}],
    }
    return manifest(service, cluster, f"{metadata['name']}:{purpose}", chosen, [rule])


def manifest(
    obj: Mapping[str, Any], cluster: Cluster, alias: str, chosen: Object, rules: list[Object]
) -> Object:
    """A NetworkPolicy for packets that come.

    Args:
        obj: what it is made for.
        cluster: the virtual cluster.
        alias: what its name is made of; the colon in it keeps it apart from copies of the tenant's objects.
        chosen: selector of the host's pods.
        rules: `spec.ingress`.

    Raises:
        Refused: they have too many ranges.
    """
    check_size(rules)
    namespace = obj["metadata"]["namespace"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.host_name(cluster.name, namespace, alias),
            "namespace": cluster.namespace,
            "labels": identity.labels(cluster.name, namespace),
            "annotations": identity.annotations(cluster.name, obj) | {identity.NAME: alias},
            "ownerReferences": [dict(cluster.owner)],
        },
        "spec": {"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": rules},
    }


def of_service(
    service: Mapping[str, Any], cluster: Cluster, allowed: Sequence[str] = EVERYWHERE
) -> Object | None:
    """The NetworkPolicy of a Service that is to be reached from outside; None for one that is not.

    `loadBalancerSourceRanges` limit it where packets arrive with their sender's address, which is with
    `externalTrafficPolicy: Local`. Else a node may pass them on with its own, and the ranges are
    enforced where Kubernetes does it: by the load balancer and by kube-proxy.

    Args:
        service: the Service inside.
        cluster: the virtual cluster.
        allowed: ranges from which the policy lets Services be reached.

    Raises:
        Refused: one of the ranges is none.
    """
    spec = service.get("spec") or {}
    outward = spec.get("type") in ("NodePort", "LoadBalancer")
    if not outward and not spec.get("externalIPs"):
        return None
    limits = ranges.networks(tuple(allowed))
    limited = not ranges.are_everything(limits)
    if spec.get("externalTrafficPolicy") != "Local":
        # Where a packet comes from is not seen: `rules.service` refuses such a Service if it matters.
        return None if limited else network_policy(service, cluster, PORTS)
    own = source_ranges(spec) if spec.get("type") == "LoadBalancer" else []
    meant = (ranges.common(own, limits) if own else list(limits)) if limited else own
    if limited and not meant:
        return None
    return network_policy(service, cluster, PORTS, peers=[{"ipBlock": {"cidr": str(each)}} for each in meant])


def _target(port: Mapping[str, Any]) -> Object:
    return {"protocol": port.get("protocol") or "TCP", "port": port.get("targetPort") or port["port"]}
