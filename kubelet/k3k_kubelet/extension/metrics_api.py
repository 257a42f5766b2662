"""PodMetrics and NodeMetrics of the virtual cluster (k8s.io/metrics/pkg/apis/metrics/v1beta1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.events import timestamp
from k3k_kubelet.extension import selectors
from k3k_kubelet.extension.documents import GROUP, GROUP_VERSION, KINDS
from k3k_kubelet.server.messages import HttpError
from k3k_kubelet.usage import PodUsage, UnavailableError, Usage

_FIELDS = ("metadata.name", "metadata.namespace")
_NO_WINDOW = "0s"


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        resource: `pods` or `nodes`.
        namespace: One namespace, None for all; None for nodes.
        name: One object, `""` for a list.
        label_selector: For a list; `field_selector` too.
    """

    resource: str
    namespace: str | None = None
    name: str = ""
    label_selector: str = ""
    field_selector: str = ""


class MetricsApi:
    """Answers queries.

    Args:
        usage: What pods use.
    """

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    async def answer(self, query: Query) -> dict[str, Any]:
        """An object or a List.

        Raises:
            HttpError: 400 for a selector that is none, 404, or 503 when the host does not tell.
        """
        try:
            found = await (self._pods(query) if query.resource == "pods" else self._nodes(query.name))
        except UnavailableError as error:
            raise HttpError(503, str(error)) from error
        if query.name:
            return _with_kind(query.resource, _the_one(found, query))
        kind = f"{KINDS[query.resource]}List"
        items = _selected(found, query)
        return {"kind": kind, "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}

    async def _pods(self, query: Query) -> list[dict[str, Any]]:
        if query.name:
            usage = await self._usage.pod(query.namespace or "", query.name)
            return [_pod(usage)] if usage else []
        return [_pod(usage) for usage in await self._usage.all(query.namespace)]

    async def _nodes(self, name: str) -> list[dict[str, Any]]:
        nodes = [node for node in self._usage.nodes() if name in ("", node["metadata"]["name"])]
        return [_node(node, await self._usage.of_node(node["metadata"]["name"])) for node in nodes]


def table(resource: str, answer: dict[str, Any], include: str) -> dict[str, Any]:
    """An answer as the Table that `kubectl get` prints.

    Args:
        resource: `pods` or `nodes`.
        answer: An object or a List.
        include: includeObject of the request: `None`, `Metadata` or `Object`.
    """
    columns = [_column("Name", "name"), *(_column(name, "") for name in ("Cpu", "Memory", "Window"))]
    items = answer.get("items", [answer])
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": [_row(resource, item, include) for item in items],
    }


def _column(name: str, form: str) -> dict[str, Any]:
    return {"name": name, "type": "string", "format": form, "description": "", "priority": 0}


def _row(resource: str, item: dict[str, Any], include: str) -> dict[str, Any]:
    usage = item["usage"] if resource == "nodes" else _sum(item["containers"])
    row: dict[str, Any] = {"cells": [item["metadata"]["name"], usage["cpu"], usage["memory"], item["window"]]}
    if include == "Object":
        return {**row, "object": _with_kind(resource, item)}
    if include == "None":
        return row
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**row, "object": {**partial, "metadata": item["metadata"]}}


def _pod(usage: PodUsage) -> dict[str, Any]:
    return {
        "metadata": _metadata(usage.pod["metadata"]),
        "timestamp": usage.sample.timestamp,
        "window": usage.sample.window,
        "containers": [
            {"name": each.name, "usage": _amounts(each.nanocores, each.memory)} for each in usage.containers
        ],
    }


def _node(node: dict[str, Any], usages: Sequence[PodUsage]) -> dict[str, Any]:
    newest = max(usages, key=lambda usage: usage.sample.at, default=None)
    return {
        "metadata": _metadata(node["metadata"]),
        "timestamp": newest.sample.timestamp if newest else timestamp(),
        "window": newest.sample.window if newest else _NO_WINDOW,
        "usage": _amounts(sum(u.nanocores for u in usages), sum(u.memory for u in usages)),
    }


def _amounts(nanocores: int, memory: int) -> dict[str, str]:
    """In the units of metrics-server."""
    return {"cpu": f"{nanocores}n", "memory": f"{memory // 1024}Ki"}


def _sum(containers: Sequence[dict[str, Any]]) -> dict[str, str]:
    cpu = sum(int(each["usage"]["cpu"].removesuffix("n")) for each in containers)
    memory = sum(int(each["usage"]["memory"].removesuffix("Ki")) for each in containers)
    return _amounts(cpu, memory * 1024)


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if metadata.get(key)}
    return {**kept, "creationTimestamp": timestamp()}


def _selected(found: list[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    try:
        by_labels = selectors.labels(query.label_selector)
        by_fields = selectors.fields(query.field_selector, _FIELDS)
    except ValueError as error:
        raise HttpError(400, str(error)) from error
    return [
        each
        for each in found
        if by_labels(each["metadata"].get("labels") or {})
        and by_fields({f"metadata.{key}": each["metadata"].get(key, "") for key in ("name", "namespace")})
    ]


def _the_one(found: Sequence[dict[str, Any]], query: Query) -> dict[str, Any]:
    if not found:
        details = {"name": query.name, "group": GROUP, "kind": query.resource}
        name = f"{query.namespace}/{query.name}" if query.namespace else query.name
        raise HttpError(404, f'no usage is known of {query.resource} "{name}"', details=details)
    return found[0]


def _with_kind(resource: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"kind": KINDS[resource], "apiVersion": GROUP_VERSION, **item}
