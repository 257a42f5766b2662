"""The field table: an Ingress' spec."""

from k3k_kubelet.translate.rules import ingress
from k3k_kubelet.translate.schema import (
    INTEGER,
    STRING,
    STRINGS,
    ListOf,
    Struct,
    by_policy,
    copied,
    refused,
    translated,
)

_SERVICE = Struct(
    "IngressServiceBackend",
    {
        "name": translated(STRING, "the host's Service of the one inside", ingress.service),
        "port": copied(
            Struct("ServiceBackendPort", {"name": copied(STRING), "number": copied(INTEGER)}),
            "the host's Service has the same ports by the same names",
        ),
    },
)
_BACKEND = Struct(
    "IngressBackend",
    {
        "resource": refused(
            "an object of the tenant's cluster is nothing to a controller of the host's", "use a Service"
        ),
        "service": translated(_SERVICE, "see there"),
    },
)
_PATH = Struct(
    "HTTPIngressPath",
    {
        "backend": translated(_BACKEND, "see there"),
        "path": translated(
            STRING, "as it is; characters that no path can have are refused", ingress.url_path
        ),
        "pathType": translated(
            STRING, "as it is; Exact, Prefix or ImplementationSpecific", ingress.path_type
        ),
    },
)
_RULE = Struct(
    "IngressRule",
    {
        "host": by_policy(STRING, "if sync.toHost.ingresses.hosts has it; none, only with `*`", ingress.host),
        "http": translated(
            Struct("HTTPIngressRuleValue", {"paths": translated(ListOf(_PATH), "see there")}), "see there"
        ),
    },
    ingress.rule,
)
_TLS = Struct(
    "IngressTLS",
    {
        "hosts": by_policy(
            STRINGS, "if sync.toHost.ingresses.hosts has them (checked with the entry); none, only with `*`"
        ),
        "secretName": translated(
            STRING, "the Secret's copy, which is there as long as the Ingress is", ingress.secret
        ),
    },
    ingress.tls,
)

INGRESS_SPEC = Struct(
    "IngressSpec",
    {
        "defaultBackend": by_policy(
            _BACKEND, "if sync.toHost.ingresses.hosts has `*`", ingress.default_backend
        ),
        "ingressClassName": by_policy(
            STRING, "if sync.toHost.ingresses.classes has it; none, only with `*`", ingress.class_name
        ),
        "rules": translated(ListOf(_RULE), "see there"),
        "tls": translated(ListOf(_TLS), "see there"),
    },
)
