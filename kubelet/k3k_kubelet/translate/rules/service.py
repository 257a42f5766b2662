"""Rules for the fields of a Service."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.policy.sync import Services
from k3k_kubelet.translate import identity, names, ranges
from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Cluster, Object, Refused
from k3k_kubelet.translate.schema import OMIT

_POLICY = "sync.toHost.services"
_NOBODY = "no-pod"
"""Value of the component label that no object has."""


@dataclass(slots=True)
class ServiceNotes(Notes):
    """The translation of one Service.

    Attributes:
        cluster: the virtual cluster.
        settings: what its Services may be.
        service: the tenant's Service, never changed.
    """

    cluster: Cluster
    settings: Services
    service: Mapping[str, Any]


def kind(value: str, context: ServiceNotes, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """A type that the policy lets Services have."""
    if value not in context.settings.types:
        allowed = ", ".join((*context.settings.types, "ExternalName"))
        raise Refused(
            path,
            f"Services of type {value} are not given to this cluster",
            f"{_POLICY}.types allows: {allowed}",
        )
    return value


def external_ips(value: list[str], context: ServiceNotes, path: str, parent: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    """Addresses of the ranges that the policy names: the host's nodes take traffic to them for themselves."""
    for n, address in enumerate(value):
        _check_address(address, context, f"{path}[{n}]")
    return value


def load_balancer_ip(value: str, context: ServiceNotes, path: str, parent: Mapping[str, Any]) -> Any:
    """The address that a load balancer of the host is to have; without effect for other types."""
    if not value or parent.get("type") != "LoadBalancer":
        return OMIT
    _check_address(value, context, path)
    return value


def load_balancer_class(value: str, context: ServiceNotes, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """A class of the host's load balancers that the policy shares."""
    if value not in context.settings.load_balancer_classes:
        allowed = ", ".join(context.settings.load_balancer_classes) or "none"
        raise Refused(
            path,
            f"the class {value!r} of load balancers is not given to this cluster",
            f"{_POLICY}.loadBalancerClasses allows: {allowed}; without one it is the host's default",
        )
    return value


def later(value: Any, context: ServiceNotes, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """Left to `finish`."""
    return OMIT


def finish(spec: Object, context: ServiceNotes, path: str, value: Mapping[str, Any]) -> Object:
    """The selector, which every host Service has, and from where it may be reached."""
    namespace = str(context.service["metadata"]["namespace"])
    _limit_sources(spec, context, path)
    spec["selector"] = selector(value.get("selector") or {}, context.cluster, namespace)
    return spec


def source_ranges(spec: Mapping[str, Any]) -> list[ranges.Network]:
    """`loadBalancerSourceRanges`, which may have blanks around them, and bits beyond their prefix.

    Raises:
        Refused: one of them is none.
    """
    made = []
    for n, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        made.append(ranges.read(text, f"spec.loadBalancerSourceRanges[{n}]"))
    return made


def _limit_sources(spec: Object, context: ServiceNotes, path: str) -> None:
    """What the policy says of who may reach what is exposed.

    Nodes hide where a packet comes from, unless it is only for their own pods; and what kube-proxy and load
    balancers check by `loadBalancerSourceRanges` is not what comes to a node port.
    """
    allowed = context.settings.source_ranges
    limits = ranges.networks(allowed)
    outward = spec.get("type") in ("NodePort", "LoadBalancer") or spec.get("externalIPs")
    if not outward or ranges.are_everything(limits):
        return
    told = f"{_POLICY}.sourceRanges allows: {', '.join(allowed) or 'none'}"
    if spec.get("externalTrafficPolicy") != "Local" or not limits:
        raise Refused(
            f"{path}.externalTrafficPolicy",
            "this cluster's Services are not for everybody, and with this nobody knows who it is",
            f"set Local; {told}",
        )
    if spec["type"] != "LoadBalancer":
        return
    own = source_ranges(spec)
    meant = ranges.common(own, limits) if own else limits
    if not meant:
        raise Refused(
            f"{path}.loadBalancerSourceRanges",
            "none of these ranges may reach this cluster's Services",
            told,
        )
    spec["loadBalancerSourceRanges"] = [str(each) for each in meant]


def selector(own: Mapping[str, str], cluster: Cluster, namespace: str) -> dict[str, str]:
    """A Service's selector for the host.

    One without a selector gets one that no pod has. So the host's controllers keep its endpoints empty, and
    what a selector once found goes at once when it is taken away: Kubernetes itself leaves those addresses
    where they are, of which the next pod may be a stranger's.
    """
    limits = identity.labels(cluster.name, namespace)
    if not own:
        return limits | {identity.COMPONENT: _NOBODY}
    return {names.label_key(key): value for key, value in own.items()} | limits


def _check_address(text: str, context: ServiceNotes, path: str) -> None:
    given = context.settings.external_ips
    if not is_within(text, given):
        allowed = ", ".join(given) or "none"
        raise Refused(
            path,
            f"{text!r} is not an address given to this cluster",
            f"{_POLICY}.externalIPs allows: {allowed}",
        )


def is_within(text: str, given: Iterable[str]) -> bool:
    """Whether a text is an IP address of one of these CIDRs; an IPv4-mapped one is of none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address in ranges.MAPPED:
        return False
    return any(address in network for network in ranges.networks(tuple(given)))
