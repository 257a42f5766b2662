"""Rules for the fields of an HTTPRoute."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.policy.sync import HttpRoutes
from k3k_kubelet.translate import hosts
from k3k_kubelet.translate.objects import Object, Refused
from k3k_kubelet.translate.routing import Backend, Routing

GROUP = "gateway.networking.k8s.io"
HOSTS = "sync.toHost.httpRoutes.hosts"
GATEWAYS = "sync.toHost.httpRoutes.gateways"
FILTERS = (
    "CORS",
    "RequestHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "ResponseHeaderModifier",
    "URLRewrite",
)
"""Types of the standard channel that act on the request alone. ExtensionRef names an object of the
controller's."""
_TEXT = re.compile(r"[ -_a-~]*")
"""Printable ASCII but the back quote: controllers write values into expressions of their own."""

Granted = Callable[[Backend], bool]
"""Whether a ReferenceGrant lets the route's namespace use a Service of another one."""


@dataclass(slots=True, kw_only=True)
class RouteRouting(Routing):
    """The translation of one HTTPRoute.

    Attributes:
        settings: what the cluster's routes may be.
        granted: tells of references to other namespaces.
    """

    settings: HttpRoutes
    granted: Granted


def parent(copy: Object, context: RouteRouting, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """The host's Gateway that the policy has for the one that the tenant names."""
    group, kind = copy.pop("group", GROUP), copy.pop("kind", "Gateway")
    if (group, kind) != (GROUP, "Gateway"):
        raise Refused(
            f"{path}.kind", f"{kind!r} of the group {group!r} is no parent", f"use a Gateway of {GROUP}"
        )
    namespace, name = copy.get("namespace") or context.namespace, copy.get("name", "")
    for each in context.settings.gateways:
        if (each.namespace, each.name) == (namespace, name):
            own = {
                "group": GROUP,
                "kind": "Gateway",
                "namespace": each.host_namespace,
                "name": each.host_name,
            }
            return own | {key: copy[key] for key in ("sectionName", "port") if key in copy}
    known = ", ".join(f"{each.namespace}/{each.name}" for each in context.settings.gateways) or "none"
    raise Refused(
        path, f"Gateway {namespace}/{name} is not the host's", f"the policy's {GATEWAYS} has {known}"
    )


def hostnames(
    value: list[str],
    context: RouteRouting,
    path: str,
    parent: Mapping[str, Any],  # noqa: ARG001
) -> list[str]:
    """Hosts that the policy allows."""
    for n, each in enumerate(value):
        hosts.check(each, context.settings.hosts, f"{path}[{n}]", HOSTS)
    return value


def spec(copy: Object, context: RouteRouting, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A route without hostnames takes all that its Gateway's listeners take."""
    if not copy.get("hostnames"):
        hosts.check_any("a route without hostnames", context.settings.hosts, f"{path}.hostnames", HOSTS)
    return copy


def backend(copy: Object, context: RouteRouting, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """The host's Service of the one inside; in another namespace only with a ReferenceGrant there."""
    group, kind = copy.pop("group", ""), copy.pop("kind", "Service")
    if (group, kind) != ("", "Service"):
        raise Refused(f"{path}.kind", f"{kind!r} of the group {group!r} cannot be a backend", "use a Service")
    namespace = copy.pop("namespace", None) or context.namespace
    found = Backend(namespace, copy.get("name", ""), copy.get("port"))
    if found.namespace != context.namespace and not context.granted(found):
        raise Refused(
            f"{path}.namespace",
            f"no ReferenceGrant in {found.namespace} lets HTTPRoutes of {context.namespace} use "
            f"Service {found.name}",
            "make one there",
        )
    return copy | {"name": context.name_of(found.namespace, found.name, f"{path}.name")}


def text(value: str, context: RouteRouting, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """What can stand in an expression of a controller's."""
    if not _TEXT.fullmatch(value):
        raise Refused(
            path,
            f"{value!r} has characters that are not carried to the host",
            "use printable ASCII without the back quote",
        )
    return value


def one_of(allowed: Collection[str]) -> Callable[[str, Any, str, Mapping[str, Any]], str]:
    """A rule: the value is one of these."""

    def check(value: str, context: RouteRouting, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
        if value not in allowed:
            raise Refused(path, f"{value!r} is not allowed", f"allowed are {', '.join(sorted(allowed))}")
        return value

    return check
