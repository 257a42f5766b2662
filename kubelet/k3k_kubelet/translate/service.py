"""Services: the tenant's to the host's, and the status back.

Addresses and node ports are the host's. Where the spec has one, host and virtual cluster have the same; where
it has none yet, the host gives it, and `allocated` says what the Service inside has to get.
"""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.policy import Policy
from k3k_kubelet.translate import ingress_points, metadata
from k3k_kubelet.translate.objects import Cluster, HostObject, Object
from k3k_kubelet.translate.rules.service import ServiceNotes
from k3k_kubelet.translate.special import SPECIAL
from k3k_kubelet.translate.table.service import SERVICE_SPEC

CLEANUP = "service.kubernetes.io/load-balancer-cleanup"
"""Finalizer of a Service with a load balancer, as Kubernetes' own cloud controllers use it."""

_ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")
_INGRESS = ("hostname", "ip", "ipMode", "ports")


def has_copy(service: Mapping[str, Any]) -> bool:
    """Whether a Service is to have a copy on the host.

    Not one without an address of its own: a headless one leads to addresses that are real already, an
    ExternalName is a record in the cluster's DNS, on the host it would be one in the host's.
    """
    spec, metadata_ = service.get("spec") or {}, service["metadata"]
    if (metadata_["namespace"], metadata_["name"]) in SPECIAL:
        return False
    addresses = spec.get("clusterIP"), *(spec.get("clusterIPs") or ())
    return spec.get("type") != "ExternalName" and "None" not in addresses


def to_host(service: Mapping[str, Any], cluster: Cluster, policy: Policy) -> HostObject | None:
    """The host's copy of a Service.

    Args:
        service: the Service as the virtual API server has it, or, before it has given addresses and ports, as
            its admission has it.
        cluster: the virtual cluster.
        policy: what its Services may be.

    Returns:
        None for one without a copy, see `has_copy`.

    Raises:
        Refused: the Service has something that the host must not get; it names the field.
    """
    if not has_copy(service):
        return None
    settings = policy.sync.to_host.services
    notes = ServiceNotes(cluster, settings, service)
    spec = SERVICE_SPEC.copy({"type": "ClusterIP", **(service.get("spec") or {})}, notes, "spec")
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata.of_object(
            service, cluster, labels=settings.labels, annotations=settings.annotations
        ),
        "spec": _without_blanks(spec),
    }
    return HostObject(manifest, dropped=tuple(notes.dropped))


def allocated(service: Mapping[str, Any], host_service: Mapping[str, Any]) -> Object:
    """The spec of a Service inside with the addresses and ports that the host has given its copy."""
    own, found = service.get("spec") or {}, host_service["spec"]
    spec = {key: value for key, value in own.items() if key not in _ALLOCATED}
    spec |= {key: found[key] for key in _ALLOCATED if key in found}
    given = {_port_key(port): port.get("nodePort") for port in found.get("ports") or ()}
    ports = []
    for port in own.get("ports") or ():
        made = {key: value for key, value in port.items() if key != "nodePort"}
        if given.get(_port_key(port)):
            made["nodePort"] = given[_port_key(port)]
        ports.append(made)
    return spec | ({"ports": ports} if ports else {})


def load_balancer(host_service: Mapping[str, Any]) -> Object:
    """`status.loadBalancer` inside: where the host's load balancer answers."""
    if (host_service.get("spec") or {}).get("type") != "LoadBalancer":
        return {}
    return ingress_points.status(host_service, _INGRESS)


def awaits_cleanup(host_service: Mapping[str, Any]) -> bool:
    """Whether a load balancer of the host's stands behind a copy, or may do."""
    return host_service["spec"].get("type") == "LoadBalancer" or CLEANUP in (
        host_service["metadata"].get("finalizers") or ()
    )


def _port_key(port: Mapping[str, Any]) -> tuple[Any, Any]:
    return port.get("port"), port.get("protocol") or "TCP"


def _without_blanks(spec: Object) -> Object:
    """What is blank has not been given yet: applied as it is, it would be a wish for nothing."""
    made = {key: value for key, value in spec.items() if not _is_blank(value)}
    if "ports" in made:
        made["ports"] = [
            {key: value for key, value in port.items() if not _is_blank(value)} for port in made["ports"]
        ]
    return made


def _is_blank(value: Any) -> bool:
    return value is not False and value in ("", 0, [], [""])
