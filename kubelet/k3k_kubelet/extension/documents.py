"""Discovery and OpenAPI of metrics.k8s.io/v1beta1: what kubectl and the API server's aggregator ask for."""

from __future__ import annotations

from typing import Any

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
GROUP_VERSION = f"{GROUP}/{VERSION}"
KINDS = {"nodes": "NodeMetrics", "pods": "PodMetrics"}
"""Resource -> kind."""

_PREFIX = f"io.k8s.metrics.pkg.apis.metrics.{VERSION}"
_VERSIONS = {"groupVersion": GROUP_VERSION, "version": VERSION}
_API_GROUP: dict[str, Any] = {"name": GROUP, "versions": [_VERSIONS], "preferredVersion": _VERSIONS}


def document(segments: tuple[str, ...]) -> dict[str, Any] | None:
    """A discovery or OpenAPI document, None for a path that has none."""
    match segments:
        case ("apis",):
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_API_GROUP]}
        case ("apis", "metrics.k8s.io"):
            return {"kind": "APIGroup", "apiVersion": "v1", **_API_GROUP}
        case ("apis", "metrics.k8s.io", "v1beta1"):
            return _resources()
        case ("openapi", "v2"):
            return _openapi_v2()
        case ("openapi", "v3"):
            path = f"apis/{GROUP_VERSION}"
            return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"}}}
        case ("openapi", "v3", "apis", "metrics.k8s.io", "v1beta1"):
            return _openapi_v3()
    return None


def _resources() -> dict[str, Any]:
    resources = [
        {
            "name": plural,
            "singularName": "",
            "namespaced": plural == "pods",
            "kind": kind,
            "verbs": ["get", "list"],
        }
        for plural, kind in KINDS.items()
    ]
    kind = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION}
    return {**kind, "resources": resources}


def _openapi_v2() -> dict[str, Any]:
    definitions = _schemas("#/definitions/")
    return {"swagger": "2.0", "info": _info(), "paths": {}, "definitions": definitions}


def _openapi_v3() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for plural, kind in KINDS.items():
        namespaced = plural == "pods"
        inside = "/namespaces/{namespace}" if namespaced else ""
        base = f"/apis/{GROUP_VERSION}{inside}/{plural}"
        paths[base] = _operation("list", kind, f"{kind}List", namespaced=namespaced)
        paths[f"{base}/{{name}}"] = _operation("get", kind, kind, namespaced=namespaced, named=True)
    schemas = _schemas("#/components/schemas/")
    return {"openapi": "3.0.0", "info": _info(), "paths": paths, "components": {"schemas": schemas}}


def _info() -> dict[str, str]:
    return {"title": "k3k-pulumi virtual kubelet", "version": VERSION}


def _operation(
    action: str, kind: str, answer: str, *, namespaced: bool, named: bool = False
) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name, given in (("namespace", namespaced), ("name", named))
        if given
    ]
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_PREFIX}.{answer}"}}}
    get = {
        "operationId": f"{action}Metrics{VERSION.capitalize()}{kind}",
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": kind},
    }
    return {"get": get, **({"parameters": parameters} if parameters else {})}


def _schemas(base: str) -> dict[str, Any]:
    """The types, with references below `base`."""
    amounts = {
        "description": "cpu in cores, the mean of the window; memory in bytes, the working set.",
        "type": "object",
        "additionalProperties": {"description": "A quantity.", "type": "string"},
    }
    taken = {
        "timestamp": _text("End of the time over which usage was measured, RFC 3339."),
        "window": _text("Length of that time, as 10.5s."),
    }
    container = {
        "description": "Usage of a container.",
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": _text("Name of the container in the pod."), "usage": amounts},
    }
    containers = {
        "description": "Its running containers.",
        "type": "array",
        "items": {"$ref": f"{base}{_PREFIX}.ContainerMetrics"},
    }
    node = "Usage of a node: the sum of what this cluster's pods use there."
    found = {
        "ContainerMetrics": container,
        "NodeMetrics": _object("NodeMetrics", node, {**taken, "usage": amounts}),
        "PodMetrics": _object("PodMetrics", "Usage of a pod.", {**taken, "containers": containers}),
    }
    for kind in KINDS.values():
        items = {"description": "The list.", "type": "array", "items": {"$ref": f"{base}{_PREFIX}.{kind}"}}
        found[f"{kind}List"] = _object(f"{kind}List", f"A list of {kind}.", {"items": items})
    return {f"{_PREFIX}.{name}": schema for name, schema in found.items()}


def _object(kind: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    common = {
        "apiVersion": _text("Version of this schema."),
        "kind": _text("Name of this schema."),
        "metadata": {"description": "Standard metadata.", "type": "object"},
    }
    return {
        "description": description,
        "type": "object",
        "required": list(properties),
        "properties": {**common, **properties},
        "x-kubernetes-group-version-kind": [{"group": GROUP, "kind": kind, "version": VERSION}],
    }


def _text(description: str) -> dict[str, str]:
    return {"description": description, "type": "string"}
