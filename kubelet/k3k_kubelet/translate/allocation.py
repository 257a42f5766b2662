"""Addresses and ports of Services: what a Service lacks of them, and what it takes over from its host twin.

Source of the rules: pkg/registry/core/service (strategy.go, storage.go: patchAllocatedValues, needsClusterIP,
needsNodePort, needsHCNodePort) of Kubernetes.
"""

import copy
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.objects import Object

HEADLESS = "None"
ALLOCATED = ("clusterIP", "clusterIPs", "healthCheckNodePort", "ports")
"""Fields of a spec with what an API server gives."""
_CLUSTER_IP, _NODE_PORT, _LOAD_BALANCER = "ClusterIP", "NodePort", "LoadBalancer"


def kind_of(service: Mapping[str, Any]) -> str:
    """The type of a Service."""
    return str(service["spec"].get("type") or _CLUSTER_IP)


def needs_address(service: Mapping[str, Any]) -> bool:
    """Whether a Service has a ClusterIP, or is to get one."""
    is_addressed = kind_of(service) in (_CLUSTER_IP, _NODE_PORT, _LOAD_BALANCER)
    return is_addressed and HEADLESS not in addresses(service)


def needs_node_ports(service: Mapping[str, Any]) -> bool:
    """Whether each port has a node port, or is to get one."""
    kind = kind_of(service)
    allocates = service["spec"].get("allocateLoadBalancerNodePorts") is not False
    return kind == _NODE_PORT or (kind == _LOAD_BALANCER and allocates)


def needs_health_port(service: Mapping[str, Any]) -> bool:
    """Whether it has a healthCheckNodePort, or is to get one."""
    return kind_of(service) == _LOAD_BALANCER and service["spec"].get("externalTrafficPolicy") == "Local"


def addresses(service: Mapping[str, Any]) -> list[str]:
    """Its ClusterIPs, of which older servers know the first alone."""
    spec = service["spec"]
    first = [spec["clusterIP"]] if spec.get("clusterIP") else []
    return list(spec.get("clusterIPs") or first)


def completed(new: Mapping[str, Any], old: Mapping[str, Any]) -> Object:
    """A Service as an update makes it: what it does not say of addresses and ports, it keeps.

    An API server does this after admission.
    """
    service = copy.deepcopy(dict(new))
    spec, before = service["spec"], old["spec"]
    if needs_address(old) and needs_address(new):
        if not spec.get("clusterIP"):
            spec["clusterIP"] = before.get("clusterIP", "")
        if not spec.get("clusterIPs") and spec["clusterIP"] == before.get("clusterIP"):
            spec["clusterIPs"] = addresses(old)
    if needs_node_ports(old) and needs_node_ports(new):
        _keep_node_ports(spec.get("ports") or (), before.get("ports") or ())
    if needs_health_port(old) and needs_health_port(new) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)
    return service


def _keep_node_ports(ports: Any, before: Any) -> None:
    """Ports keep theirs by their names, unless another one says it already."""
    by_name = {port.get("name", ""): port.get("nodePort", 0) for port in before}
    known = {port.get("nodePort", 0) for port in before}
    used = known & {port.get("nodePort", 0) for port in ports}
    for port in ports:
        if not port.get("nodePort"):
            kept = by_name.get(port.get("name", ""), 0)
            if kept and kept not in used:
                port["nodePort"] = kept
                used.add(kept)


def asks_the_host(service: Mapping[str, Any], old: Mapping[str, Any], *, dual_stack: bool) -> bool:
    """Whether an update needs addresses or ports that the Service does not have yet.

    Args:
        service: The Service as `completed` gives it.
        old: The same before the update.
        dual_stack: Whether the virtual API server has two IP families.
    """
    if needs_address(service):
        if not addresses(service) or (set(addresses(service)) - set(_had(old))):
            return True
        policy = service["spec"].get("ipFamilyPolicy", "SingleStack")
        if dual_stack and policy != "SingleStack" and len(addresses(service)) < 2:
            return bool(policy != old["spec"].get("ipFamilyPolicy", "SingleStack"))
    if needs_node_ports(service) and not _node_ports(service).items() <= _node_ports(old).items():
        return True
    had = old["spec"].get("healthCheckNodePort", 0) if needs_health_port(old) else 0
    health: int = service["spec"].get("healthCheckNodePort", 0)
    return needs_health_port(service) and (health == 0 or bool(health != had))


def _had(old: Mapping[str, Any]) -> list[str]:
    return addresses(old) if needs_address(old) else []


def _node_ports(service: Mapping[str, Any]) -> dict[tuple[int, str], int]:
    """Node ports by port and protocol, 0 for one that is to be allocated."""
    if not needs_node_ports(service):
        return {}
    return {_port_key(port): port.get("nodePort") or 0 for port in service["spec"].get("ports") or ()}


def _port_key(port: Mapping[str, Any]) -> tuple[int, str]:
    return port["port"], port.get("protocol") or "TCP"


def unallocated(service: Mapping[str, Any]) -> Object:
    """A Service as it would be before it had addresses and ports."""
    spec = {key: value for key, value in service["spec"].items() if key not in ALLOCATED}
    ports = [
        {key: value for key, value in port.items() if key != "nodePort"}
        for port in service["spec"].get("ports") or ()
    ]
    return {**service, "spec": {**spec, "ports": ports}}


def first_family(host: Mapping[str, Any]) -> Object:
    """A host Service as one with the first of its IP families alone: what a single-stack API server takes."""
    spec: Object = {**host["spec"], "ipFamilyPolicy": "SingleStack"}
    spec |= {key: spec[key][:1] for key in ("clusterIPs", "ipFamilies") if spec.get(key)}
    return {**host, "spec": spec}


def agrees(service: Mapping[str, Any], host: Mapping[str, Any]) -> bool:
    """Whether a Service has the addresses of its host twin."""
    mine, theirs = addresses(service), addresses(host)
    return bool(mine) and mine == theirs[: len(mine)]
