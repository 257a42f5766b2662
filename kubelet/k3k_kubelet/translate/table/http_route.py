"""The field table: an HTTPRoute's spec, v1 of the Gateway API, the standard channel.

A whitelist alone: the type is not part of Kubernetes, and the host's CRD may have more fields or fewer.
"""

from k3k_kubelet.translate.rules import http_route
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INTEGER,
    STRING,
    STRINGS,
    Field,
    ListOf,
    Struct,
    by_policy,
    copied,
    refused,
    translated,
)

_EXPERIMENTAL = "it is not in the standard channel of the Gateway API"
_TEXT = translated(STRING, "as it is; printable ASCII without the back quote", http_route.text)


def _choice(*allowed: str) -> Field:
    return translated(STRING, f"as it is; one of {', '.join(allowed)}", http_route.one_of(allowed))


_PARENT = Struct(
    "ParentReference",
    {
        "group": translated(STRING, "that of the Gateway API alone"),
        "kind": translated(STRING, "Gateway alone"),
        "namespace": translated(STRING, "the host's Gateway of sync.toHost.httpRoutes.gateways"),
        "name": translated(STRING, "the host's Gateway of sync.toHost.httpRoutes.gateways"),
        "sectionName": copied(STRING),
        "port": copied(INTEGER),
    },
    http_route.parent,
)
_PATH_MATCH = Struct(
    "HTTPPathMatch", {"type": _choice("Exact", "PathPrefix", "RegularExpression"), "value": _TEXT}
)
_MATCH = Struct(
    "HTTPRouteMatch",
    {
        "path": translated(_PATH_MATCH, "see there"),
        "headers": translated(
            ListOf(
                Struct(
                    "HTTPHeaderMatch",
                    {"type": _choice("Exact", "RegularExpression"), "name": _TEXT, "value": _TEXT},
                )
            ),
            "see there",
        ),
        "queryParams": translated(
            ListOf(
                Struct(
                    "HTTPQueryParamMatch",
                    {"type": _choice("Exact", "RegularExpression"), "name": _TEXT, "value": _TEXT},
                )
            ),
            "see there",
        ),
        "method": _TEXT,
    },
)
_HEADERS = ListOf(Struct("HTTPHeader", {"name": _TEXT, "value": _TEXT}))
_HEADER_FILTER = Struct(
    "HTTPHeaderFilter",
    {
        "set": translated(_HEADERS, "see there"),
        "add": translated(_HEADERS, "see there"),
        "remove": copied(STRINGS),
    },
)
_PATH_MODIFIER = Struct(
    "HTTPPathModifier",
    {
        "type": _choice("ReplaceFullPath", "ReplacePrefixMatch"),
        "replaceFullPath": _TEXT,
        "replacePrefixMatch": _TEXT,
    },
)
_REDIRECT = Struct(
    "HTTPRequestRedirectFilter",
    {
        "scheme": _TEXT,
        "hostname": _TEXT,
        "path": translated(_PATH_MODIFIER, "see there"),
        "port": copied(INTEGER),
        "statusCode": copied(INTEGER),
    },
)
_REWRITE = Struct(
    "HTTPURLRewriteFilter", {"hostname": _TEXT, "path": translated(_PATH_MODIFIER, "see there")}
)
_CORS = Struct(
    "HTTPCORSFilter",
    {
        "allowOrigins": copied(STRINGS),
        "allowCredentials": copied(BOOLEAN),
        "allowMethods": copied(STRINGS),
        "allowHeaders": copied(STRINGS),
        "exposeHeaders": copied(STRINGS),
        "maxAge": copied(INTEGER),
    },
)
_REFERENCE = {
    "group": translated(STRING, "the core group alone"),
    "kind": translated(STRING, "Service alone"),
    "namespace": translated(STRING, "another one only with a ReferenceGrant there; the host has one for all"),
    "name": translated(STRING, "the host's Service of the one inside"),
    "port": copied(INTEGER),
}
_MIRROR = Struct(
    "HTTPRequestMirrorFilter",
    {
        "backendRef": translated(
            Struct("BackendObjectReference", _REFERENCE, http_route.backend), "see there"
        ),
        "percent": copied(INTEGER),
        "fraction": copied(
            Struct("Fraction", {"numerator": copied(INTEGER), "denominator": copied(INTEGER)})
        ),
    },
)
_FILTER = Struct(
    "HTTPRouteFilter",
    {
        "type": _choice(*http_route.FILTERS),
        "requestHeaderModifier": translated(_HEADER_FILTER, "see there"),
        "responseHeaderModifier": translated(_HEADER_FILTER, "see there"),
        "requestMirror": translated(_MIRROR, "see there"),
        "requestRedirect": translated(_REDIRECT, "see there"),
        "urlRewrite": translated(_REWRITE, "see there"),
        "cors": translated(_CORS, "see there"),
        "extensionRef": refused(
            "an object of the tenant's cluster is nothing to a controller of the host's",
            "use a filter of the Gateway API itself",
        ),
        "externalAuth": refused(_EXPERIMENTAL),
    },
)
_FILTERS = translated(ListOf(_FILTER), "see there")
_BACKEND = Struct(
    "HTTPBackendRef", {**_REFERENCE, "weight": copied(INTEGER), "filters": _FILTERS}, http_route.backend
)
_TIMEOUTS = Struct("HTTPRouteTimeouts", {"request": copied(STRING), "backendRequest": copied(STRING)})
_RULE = Struct(
    "HTTPRouteRule",
    {
        "name": copied(STRING),
        "matches": translated(ListOf(_MATCH), "see there"),
        "filters": _FILTERS,
        "backendRefs": translated(ListOf(_BACKEND), "see there"),
        "timeouts": copied(_TIMEOUTS),
        "retry": refused(_EXPERIMENTAL),
        "sessionPersistence": refused(_EXPERIMENTAL),
    },
)

HTTP_ROUTE_SPEC = Struct(
    "HTTPRouteSpec",
    {
        "parentRefs": by_policy(ListOf(_PARENT), "if sync.toHost.httpRoutes.gateways has them"),
        "hostnames": by_policy(
            STRINGS, "if sync.toHost.httpRoutes.hosts has them; none, only with `*`", http_route.hostnames
        ),
        "rules": translated(ListOf(_RULE), "see there"),
        "useDefaultGateways": refused(_EXPERIMENTAL),
    },
    http_route.spec,
)
