"""What a virtual Node tells by itself: its pods, their usage, the kubelet's own metrics."""

from __future__ import annotations

import orjson

from k3k_kubelet import metrics
from k3k_kubelet.server import resource_metrics, stats
from k3k_kubelet.server.messages import HttpError
from k3k_kubelet.server.routes import Page
from k3k_kubelet.usage import CpuCounters, PodUsage, UnavailableError, Usage

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


class Pages:
    """Answers to requests that are not about a stream.

    Args:
        usage: The pods of each Node and what they use.
    """

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._counters = CpuCounters()

    async def body(self, page: Page, node: str) -> tuple[bytes, str]:
        """The answer and its content type.

        Raises:
            HttpError: 503 for usage that the host does not tell.
        """
        match page:
            case Page.HEALTHZ:
                return b"ok", _TEXT
            case Page.METRICS:
                return metrics.exposition(), metrics.CONTENT_TYPE
            case Page.RESOURCE_METRICS:
                return await self._resource_metrics(node), metrics.CONTENT_TYPE
            case Page.STATS_SUMMARY:
                return orjson.dumps(await self._summary(node)), _JSON
            case Page.PODS:
                return self._pods(node), _JSON

    def _pods(self, node: str) -> bytes:
        """None is decoded: a thousand would hold up the event loop for a tenth of a second."""
        items = b",".join(self._usage.pods_of(node))
        return b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%b]}' % items

    async def _summary(self, node: str) -> dict[str, object]:
        try:
            return stats.summary(node, await self._counted(node), self._counters)
        except UnavailableError as error:
            raise HttpError(503, str(error)) from error

    async def _resource_metrics(self, node: str) -> bytes:
        """As with a real kubelet an error is one of the metrics: a scrape that failed would tell nothing."""
        try:
            return resource_metrics.exposition(node, await self._counted(node), self._counters)
        except UnavailableError:
            return resource_metrics.exposition(node, None, self._counters)

    async def _counted(self, node: str) -> list[PodUsage]:
        usages = await self._usage.of_node(node)
        self._counters.keep(self._usage.node_names())
        self._counters.add(node, usages, self._usage.uids_of(node))
        return usages
