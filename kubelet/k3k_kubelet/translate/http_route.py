"""HTTPRoutes: the tenant's to the host's, and the status back."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from k3k_kubelet.policy.sync import HttpRoutes
from k3k_kubelet.translate import metadata
from k3k_kubelet.translate.names import DOMAIN, is_name
from k3k_kubelet.translate.objects import Cluster, HostObject, Object
from k3k_kubelet.translate.routing import Backend
from k3k_kubelet.translate.rules.http_route import GROUP, Granted, RouteRouting
from k3k_kubelet.translate.table.http_route import HTTP_ROUTE_SPEC

GENERATION = f"{DOMAIN}/generation"
"""Annotation of the copy: the generation inside that its spec was made from."""

_CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")


def to_host(route: Mapping[str, Any], cluster: Cluster, settings: HttpRoutes, granted: Granted) -> HostObject:
    """The host's copy of an HTTPRoute.

    Args:
        route: the route as the virtual API server has it.
        cluster: the virtual cluster.
        settings: what its routes may be.
        granted: whether a ReferenceGrant lets the route's namespace use a Service of another one.

    Raises:
        Refused: the route has something that the host must not get; it names the field.
    """
    context = RouteRouting(cluster, route, settings=settings, granted=granted)
    spec = HTTP_ROUTE_SPEC.copy(route.get("spec") or {}, context, "spec")
    made = metadata.of_object(route, cluster)
    made["annotations"][GENERATION] = str(route["metadata"].get("generation", 0))
    manifest = {"apiVersion": f"{GROUP}/v1", "kind": "HTTPRoute", "metadata": made, "spec": spec}
    return HostObject(manifest, dropped=tuple(context.dropped))


def backends(route: Mapping[str, Any]) -> frozenset[Backend]:
    """The Services that a route forwards or mirrors to; also of one that translation refuses."""
    namespace = route["metadata"]["namespace"]
    found = (_backend(reference, namespace) for reference in _references(_object(route.get("spec"))))
    return frozenset(backend for backend in found if backend is not None)


def _backend(reference: Mapping[str, Any], namespace: str) -> Backend | None:
    name, port = reference.get("name"), reference.get("port")
    namespace = reference.get("namespace") or namespace
    is_service = reference.get("kind", "Service") == "Service" and isinstance(name, str) and is_name(name)
    if not is_service or not isinstance(namespace, str) or not isinstance(port, int | None):
        return None
    return Backend(namespace, str(name), port)


def _references(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in _objects(spec.get("rules")):
        references = _objects(rule.get("backendRefs"))
        yield from references
        for filters in [rule, *references]:
            for each in _objects(filters.get("filters")):
                yield _object(_object(each.get("requestMirror")).get("backendRef"))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list. The tenant owns his CRDs: anything may stand where objects belong."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def is_granted(grants: Iterable[Mapping[str, Any]], namespace: str, backend: Backend) -> bool:
    """Whether HTTPRoutes may use a Service of another namespace.

    Args:
        grants: the ReferenceGrants of the Service's namespace.
        namespace: that of the routes.
        backend: the Service.
    """
    for grant in grants:
        spec = _object(grant.get("spec"))
        sources, targets = _objects(spec.get("from")), _objects(spec.get("to"))
        source = {"group": GROUP, "kind": "HTTPRoute", "namespace": namespace}
        if any(all(each.get(key) == value for key, value in source.items()) for each in sources) and any(
            (each.get("group", ""), each.get("kind")) == ("", "Service")
            and each.get("name") in (None, "", backend.name)
            for each in targets
        ):
            return True
    return False


def status(route: Mapping[str, Any], host_route: Mapping[str, Any], settings: HttpRoutes) -> Object:
    """The status inside: what the host's controllers say about each parent.

    A condition's observedGeneration is that of the route inside when the controller has seen the copy as it
    is now; else it stays what it was.

    Args:
        route: the route inside.
        host_route: its copy.
        settings: which Gateway inside is which of the host's.
    """
    copy = host_route["metadata"]
    seen = copy.get("generation", 0)
    generation = int((copy.get("annotations") or {}).get(GENERATION) or 0)
    before = {
        (
            str(each.get("controllerName")),
            _name(_object(each.get("parentRef"))),
            str(condition.get("type")),
        ): condition
        for each in _objects(_object(route.get("status")).get("parents"))
        for condition in _objects(each.get("conditions"))
    }
    parents = []
    for own, reported in _reported(route, host_route, settings):
        conditions = []
        for found in reported.get("conditions") or ():
            condition = {key: found[key] for key in _CONDITION if key in found}
            key = str(reported.get("controllerName")), _name(own), str(found.get("type"))
            known = before.get(key) or {}
            observed = (
                generation if found.get("observedGeneration") == seen else known.get("observedGeneration")
            )
            if observed:
                condition["observedGeneration"] = observed
            conditions.append(condition)
        parents.append(
            {
                "parentRef": own,
                "controllerName": reported.get("controllerName", ""),
                "conditions": conditions,
            }
        )
    return {"parents": parents}


def _reported(
    route: Mapping[str, Any], host_route: Mapping[str, Any], settings: HttpRoutes
) -> Iterator[tuple[Object, Mapping[str, Any]]]:
    """Each parentRef inside with what the host says about its Gateway."""
    namespace = route["metadata"]["namespace"]
    hosts = {(each.namespace, each.name): (each.host_namespace, each.host_name) for each in settings.gateways}
    own_namespace = host_route["metadata"].get("namespace")
    for own in _objects(_object(route.get("spec")).get("parentRefs")):
        gateway = hosts.get((str(own.get("namespace") or namespace), str(own.get("name"))))
        wanted = (gateway, own.get("sectionName"), own.get("port"))
        for reported in (host_route.get("status") or {}).get("parents") or ():
            reference = reported.get("parentRef") or {}
            found = (reference.get("namespace") or own_namespace, reference.get("name"))
            if wanted == (found, reference.get("sectionName"), reference.get("port")):
                yield dict(own), reported


def _name(reference: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(reference.get(key)) for key in ("namespace", "name", "sectionName", "port"))
