"""Ingresses: the tenant's to the host's, and the status back."""

from collections.abc import Iterator, Mapping
from typing import Any

from k3k_kubelet.policy.sync import Ingresses
from k3k_kubelet.translate import ingress_points, metadata
from k3k_kubelet.translate.names import is_name
from k3k_kubelet.translate.objects import Cluster, HostObject, Object
from k3k_kubelet.translate.routing import Backend
from k3k_kubelet.translate.rules.ingress import IngressRouting, check_class
from k3k_kubelet.translate.table.ingress import INGRESS_SPEC

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
"""How an Ingress named its class before `spec.ingressClassName`; controllers still read it."""

_STATUS = ("hostname", "ip", "ports")


def to_host(ingress: Mapping[str, Any], cluster: Cluster, settings: Ingresses) -> HostObject:
    """The host's copy of an Ingress.

    Args:
        ingress: the Ingress as the virtual API server has it.
        cluster: the virtual cluster.
        settings: what its Ingresses may be.

    Raises:
        Refused: the Ingress has something that the host must not get; it names the field.
    """
    context = IngressRouting(cluster, ingress, settings=settings)
    spec = INGRESS_SPEC.copy(ingress.get("spec") or {}, context, "spec")
    made = metadata.of_object(ingress, cluster, annotations=settings.annotations)
    made["annotations"] |= _class_annotation(ingress, settings, spec)
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": made,
        "spec": spec,
    }
    return HostObject(manifest, secrets=context.secret_refs(), dropped=tuple(context.dropped))


def _class_annotation(ingress: Mapping[str, Any], settings: Ingresses, spec: Object) -> dict[str, str]:
    """The annotation that names the class, which has to be allowed as any other way to name one."""
    own: Mapping[str, str] = ingress["metadata"].get("annotations") or {}
    if CLASS_ANNOTATION in own:
        path = f"metadata.annotations[{CLASS_ANNOTATION}]"
        return {CLASS_ANNOTATION: check_class(own[CLASS_ANNOTATION], settings, path)}
    if "ingressClassName" not in spec:
        check_class("", settings, "spec.ingressClassName")
    return {}


def backends(ingress: Mapping[str, Any]) -> frozenset[Backend]:
    """The Services that an Ingress forwards to; also of one that translation refuses."""
    namespace = ingress["metadata"]["namespace"]
    services = (backend.get("service") or {} for backend in _backends(ingress.get("spec") or {}))
    return frozenset(
        Backend(namespace, service["name"], _port(service.get("port") or {}))
        for service in services
        if is_name(service.get("name") or "")
    )


def _port(port: Mapping[str, Any]) -> str | int | None:
    return port.get("name") or port.get("number")


def _backends(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield spec.get("defaultBackend") or {}
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            yield path.get("backend") or {}


def status(host_ingress: Mapping[str, Any]) -> Object:
    """The status inside: the addresses where the host's controller answers."""
    return {"loadBalancer": ingress_points.status(host_ingress, _STATUS)}
