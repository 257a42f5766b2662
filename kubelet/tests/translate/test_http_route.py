"""HTTPRoutes on the host: the policy's Gateways and hosts, the tenant's Services, and nothing else."""

import copy
from typing import Any

import pytest
from k3k_kubelet.policy.sync import Gateway, HttpRoutes
from k3k_kubelet.translate import HostObject, Refused, http_route, names
from k3k_kubelet.translate.routing import Backend

from kubelet.tests.translate.builders import CLUSTER

GATEWAY = Gateway(namespace="infra", name="public", host_namespace="gateways", host_name="shared")
SETTINGS = HttpRoutes(enabled=True, gateways=(GATEWAY,), hosts=("app.example.com",))
PARENT = {"namespace": "infra", "name": "public"}
HOST_PARENT = {
    "group": "gateway.networking.k8s.io",
    "kind": "Gateway",
    "namespace": "gateways",
    "name": "shared",
}
WEB = {"name": "web", "port": 80}


def host_name(name: str, namespace: str = "shop") -> str:
    return names.host_name(CLUSTER.name, namespace, name)


def make(rule: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    rules = [{"backendRefs": [WEB], **(rule or {})}]
    return {
        "metadata": {"name": "front", "namespace": "shop", "uid": "u1", "generation": 3},
        "spec": {"parentRefs": [PARENT], "hostnames": ["app.example.com"], "rules": rules, **spec},
    }


def to_host(
    obj: dict[str, Any], settings: HttpRoutes = SETTINGS, granted: http_route.Granted = lambda _: False
) -> HostObject:
    """Translate, and see that the input stays as it was."""
    before = copy.deepcopy(obj)
    made = http_route.to_host(obj, CLUSTER, settings, granted)
    assert obj == before
    return made


def refused(obj: dict[str, Any], settings: HttpRoutes = SETTINGS) -> tuple[str, str]:
    with pytest.raises(Refused) as found:
        to_host(obj, settings)
    return found.value.path, str(found.value)


def test_gateways_and_backends_have_the_host_s_names() -> None:
    rule = {
        "matches": [
            {
                "path": {"type": "PathPrefix", "value": "/api"},
                "headers": [{"name": "x-a", "value": "b"}],
                "queryParams": [{"type": "RegularExpression", "name": "q", "value": "^a+$"}],
                "method": "GET",
            }
        ],
        "backendRefs": [{**WEB, "weight": 3}, {**WEB, "kind": "Service", "group": "", "namespace": "shop"}],
        "timeouts": {"request": "5s"},
    }
    made = to_host(make(rule, parentRefs=[{**PARENT, "sectionName": "web", "port": 80}])).manifest
    assert made["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert made["metadata"]["annotations"]["k3k-pulumi.io/generation"] == "3"
    assert made["spec"] == {
        "parentRefs": [{**HOST_PARENT, "sectionName": "web", "port": 80}],
        "hostnames": ["app.example.com"],
        "rules": [
            {
                **rule,
                "backendRefs": [
                    {"name": host_name("web"), "port": 80, "weight": 3},
                    {"name": host_name("web"), "port": 80},
                ],
            }
        ],
    }


def test_a_gateway_of_the_routes_own_namespace_needs_no_namespace() -> None:
    own = Gateway(namespace="shop", name="gw", host_namespace="gateways", host_name="shared")
    settings = HttpRoutes(enabled=True, gateways=(own,), hosts=("*",))
    assert to_host(make(parentRefs=[{"name": "gw"}]), settings).manifest["spec"]["parentRefs"] == [
        HOST_PARENT
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"parentRefs": [{"name": "public"}]}, "spec.parentRefs[0]"),
        ({"parentRefs": [PARENT, {"namespace": "gateways", "name": "shared"}]}, "spec.parentRefs[1]"),
        ({"parentRefs": [{**PARENT, "kind": "Service", "group": ""}]}, "spec.parentRefs[0].kind"),
        ({"hostnames": ["victim.example.com"]}, "spec.hostnames[0]"),
        ({"hostnames": []}, "spec.hostnames"),
        ({"useDefaultGateways": "All"}, "spec.useDefaultGateways"),
        ({"unheardOf": 1}, "spec.unheardOf"),
    ],
)
def test_parents_and_hosts_are_those_of_the_policy(change: dict[str, Any], path: str) -> None:
    assert refused(make(**change))[0] == path


FILTERS: list[dict[str, Any]] = [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}},
    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["server"]}},
    {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}},
    {
        "type": "URLRewrite",
        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
    },
    {"type": "CORS", "cors": {"allowOrigins": ["https://example.com"], "maxAge": 60}},
]


@pytest.mark.parametrize("found", FILTERS, ids=lambda each: each["type"])
def test_filters_that_act_on_the_request_alone_are_carried(found: dict[str, Any]) -> None:
    rule = to_host(make({"filters": [found]})).manifest["spec"]["rules"][0]
    assert rule["filters"] == [found]


def test_a_mirror_is_a_backend_like_any_other() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "copy", "port": 80}}}
    made = to_host(make({"filters": [mirror]})).manifest["spec"]["rules"][0]["filters"][0]
    assert made["requestMirror"] == {"backendRef": {"name": host_name("copy"), "port": 80}}
    assert http_route.backends(make({"filters": [mirror]})) == {
        Backend("shop", "web", 80),
        Backend("shop", "copy", 80),
    }
    foreign = {"type": "RequestMirror", "requestMirror": {"backendRef": {**WEB, "namespace": "other"}}}
    path = "spec.rules[0].filters[0].requestMirror.backendRef.namespace"
    assert refused(make({"filters": [foreign]}))[0] == path


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (
            {"filters": [{"extensionRef": {"group": "traefik.io", "kind": "Middleware", "name": "x"}}]},
            "filters[0].extensionRef",
        ),
        ({"filters": [{"type": "ExtensionRef"}]}, "filters[0].type"),
        ({"filters": [{"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP"}}]}, "filters[0].type"),
        (
            {"backendRefs": [{"name": "api@internal", "kind": "TraefikService", "group": "traefik.io"}]},
            "backendRefs[0].kind",
        ),
        ({"backendRefs": [{"name": "api@internal", "port": 80}]}, "backendRefs[0].name"),
        ({"backendRefs": [{**WEB, "namespace": "other"}]}, "backendRefs[0].namespace"),
        ({"backendRefs": [{**WEB, "filters": [{"type": "ExtensionRef"}]}]}, "backendRefs[0].filters[0].type"),
        ({"matches": [{"path": {"type": "Exact", "value": "/a`"}}]}, "matches[0].path.value"),
        ({"matches": [{"headers": [{"name": "a", "value": "b\n"}]}]}, "matches[0].headers[0].value"),
        ({"matches": [{"path": {"type": "Glob", "value": "/"}}]}, "matches[0].path.type"),
        ({"sessionPersistence": {"sessionName": "x"}}, "sessionPersistence"),
        ({"retry": {"attempts": 3}}, "retry"),
    ],
)
def test_what_reaches_further_is_refused(rule: dict[str, Any], path: str) -> None:
    assert refused(make(rule))[0] == f"spec.rules[0].{path}"


def test_a_grant_lets_a_route_use_a_service_of_another_namespace() -> None:
    route = make({"backendRefs": [{**WEB, "namespace": "other"}]})
    made = to_host(route, granted=lambda backend: backend[:2] == ("other", "web"))
    assert made.manifest["spec"]["rules"][0]["backendRefs"] == [
        {"name": host_name("web", "other"), "port": 80}
    ]


def grant(kind: str = "HTTPRoute", namespace: str = "shop", **to: Any) -> dict[str, Any]:
    source = {"group": "gateway.networking.k8s.io", "kind": kind, "namespace": namespace}
    return {"spec": {"from": [source], "to": [{"group": "", "kind": "Service", **to}]}}


@pytest.mark.parametrize(
    ("grants", "granted"),
    [
        ([], False),
        ([grant()], True),
        ([grant(name="web")], True),
        ([grant(name="api")], False),
        ([grant(name="api"), grant(name="web")], True),
        ([grant(namespace="elsewhere")], False),
        ([grant(kind="GRPCRoute")], False),
        ([grant(kind="HTTPRoute") | {"spec": {}}], False),
        ([{"spec": {**grant()["spec"], "to": [{"group": "", "kind": "Secret"}]}}], False),
    ],
)
def test_grants(grants: list[dict[str, Any]], granted: bool) -> None:
    assert http_route.is_granted(grants, "shop", Backend("other", "web", 80)) is granted


def reported(generation: int, **parent: Any) -> dict[str, Any]:
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": generation,
    }
    reference = {**HOST_PARENT, **parent}
    return {"parentRef": reference, "controllerName": "example.com/gateway", "conditions": [condition]}


def host_route(generation: int, seen: int) -> dict[str, Any]:
    others = reported(seen, name="foreign")
    return {
        "metadata": {
            "namespace": "tenants",
            "generation": generation,
            "annotations": {"k3k-pulumi.io/generation": "3"},
        },
        "status": {"parents": [reported(seen), others]},
    }


def test_the_status_inside_names_the_tenants_gateways_and_generation() -> None:
    made = http_route.status(make(), host_route(8, 8), SETTINGS)
    (parent,) = made["parents"]
    assert parent["parentRef"] == PARENT
    assert parent["controllerName"] == "example.com/gateway"
    assert parent["conditions"] == [{**reported(3)["conditions"][0]}]


def test_a_generation_that_no_controller_has_seen_is_not_said_to_be_observed() -> None:
    route = make()
    known = {"type": "Accepted", "status": "True", "observedGeneration": 2}
    parent = {"parentRef": PARENT, "controllerName": "example.com/gateway", "conditions": [known]}
    route["status"] = {"parents": [parent]}
    (made,) = http_route.status(route, host_route(8, 7), SETTINGS)["parents"]
    assert made["conditions"][0]["observedGeneration"] == 2
    del route["status"]
    (made,) = http_route.status(route, host_route(8, 7), SETTINGS)["parents"]
    assert "observedGeneration" not in made["conditions"][0]


ODD = (None, "", "x", 7, 1.5, True, [], ["x"], [[]], [None], {}, {"x": []}, [{"name": []}])


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_route_is_refused_or_leads_nowhere(odd: Any) -> None:
    """The tenant's CRD need not have the schema of the Gateway API."""
    reference = {"name": odd, "namespace": odd, "port": odd, "kind": odd}
    rules = ({"backendRefs": odd}, {"filters": odd}, {"filters": [{"requestMirror": odd}]})
    mirror = {"filters": [{"requestMirror": {"backendRef": odd}}]}
    specs = [{"rules": [each]} for each in (odd, *rules, mirror, {"backendRefs": [reference]})]
    for spec in (odd, {"rules": odd}, {"parentRefs": odd}, {"parentRefs": [reference]}, *specs):
        route = {**make(), "spec": spec, "status": {"parents": odd}}
        assert http_route.backends(route) <= {Backend("shop", "x", None), Backend("shop", "x", 7)}
        assert http_route.status(route, host_route(8, 8), SETTINGS)["parents"] == []
        with pytest.raises(Refused):
            to_host(route)
    conditions = [{"parentRef": odd, "conditions": odd}, {"parentRef": PARENT, "conditions": [{"type": odd}]}]
    for status in (odd, {"parents": odd}, {"parents": conditions}):
        (said,) = http_route.status({**make(), "status": status}, host_route(8, 8), SETTINGS)["parents"]
        assert said["parentRef"] == PARENT
    for grant in ({}, {"spec": odd}, {"spec": {"from": odd, "to": odd}}):
        assert not http_route.is_granted([grant], "shop", Backend("other", "web", 80))
