"""Rules for the fields of an Ingress."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.policy.sync import Ingresses
from k3k_kubelet.translate import hosts
from k3k_kubelet.translate.objects import Object, Refused
from k3k_kubelet.translate.routing import Routing
from k3k_kubelet.translate.schema import OMIT

HOSTS = "sync.toHost.ingresses.hosts"
CLASSES = "sync.toHost.ingresses.classes"
_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_PATH = re.compile(r"/([A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
"""Characters that RFC 3986 lets a path have. Controllers write paths into files and expressions of their own,
where quotes, braces or line ends would reach further."""


@dataclass(slots=True, kw_only=True)
class IngressRouting(Routing):
    """The translation of one Ingress.

    Attributes:
        settings: what the cluster's Ingresses may be.
    """

    settings: Ingresses


def check_class(name: str, settings: Ingresses, path: str) -> str:
    """Give back the name of an IngressClass; `""` stands for the host's default one.

    Raises:
        Refused: the policy does not allow it.
    """
    if "*" not in settings.classes and name not in settings.classes:
        found = f"IngressClass {name!r} is not allowed" if name else "no IngressClass is named"
        listed = ", ".join(settings.classes) or "none"
        raise Refused(path, found, f"the policy's {CLASSES} allows {listed}")
    return name


def class_name(value: str, context: IngressRouting, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """A class that the policy allows."""
    return check_class(value, context.settings, path) or OMIT


def host(value: str, context: IngressRouting, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """A host that the policy allows."""
    return hosts.check(value, context.settings.hosts, path, HOSTS) if value else OMIT


def rule(copy: Object, context: IngressRouting, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """A rule without a host takes the requests for all."""
    if "host" not in copy:
        hosts.check_any("a rule without a host", context.settings.hosts, f"{path}.host", HOSTS)
    return copy


def default_backend(
    copy: Object,
    context: IngressRouting,
    path: str,
    parent: Mapping[str, Any],  # noqa: ARG001
) -> Object:
    """The default backend takes the requests that no rule takes, of anybody's hosts."""
    hosts.check_any("a default backend", context.settings.hosts, path, HOSTS)
    return copy


def tls(copy: Object, context: IngressRouting, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """Hosts that the policy allows; none would be all."""
    found = copy.get("hosts") or []
    if not found:
        hosts.check_any("TLS without hosts", context.settings.hosts, f"{path}.hosts", HOSTS)
    for n, each in enumerate(found):
        hosts.check(each, context.settings.hosts, f"{path}.hosts[{n}]", HOSTS)
    return copy


def secret(value: str, context: IngressRouting, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The copy of a Secret."""
    return context.secret(value, path) if value else OMIT


def service(value: str, context: IngressRouting, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """The host's Service of the one inside."""
    return context.name_of(context.namespace, value, path)


def url_path(value: str, context: IngressRouting, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """A path that is nothing else."""
    if not value:
        return OMIT
    if not _PATH.fullmatch(value):
        raise Refused(
            path,
            f"{value!r} has characters that a path of a URL cannot have",
            "use those of RFC 3986, others percent-encoded",
        )
    return value


def path_type(value: str, context: IngressRouting, path: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """One of those that Kubernetes has."""
    if value not in _TYPES:
        raise Refused(path, f"{value!r} is not known", f"allowed are {', '.join(_TYPES)}")
    return value
