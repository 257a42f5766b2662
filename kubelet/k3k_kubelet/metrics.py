"""The kubelet's own Prometheus metrics: all of them are declared here, whoever counts with them.

Where Kubernetes has a metric for the same thing, it has that name and unit here too (client-go has
`rest_client_*` and `workqueue_*`), so that dashboards and alerts that exist fit. No label has a value from a
request or an object's name: a tenant cannot make series.
"""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
"""Of `exposition`."""

REGISTRY = CollectorRegistry()
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)

_REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0)
_WORK_SECONDS = (0.001, 0.01, 0.1, 1.0, 10.0)

BUILD = Info(
    "k3k_kubelet_build", "Versions: of the kubelet, and of Kubernetes as its Nodes say.", registry=REGISTRY
)
LEADER = Gauge("k3k_kubelet_leader", "1 in the process that holds the Lease and writes.", registry=REGISTRY)
OBJECTS = Gauge(
    "k3k_kubelet_objects",
    "Objects known, by API server (host or virtual) and resource.",
    ["api", "resource"],
    registry=REGISTRY,
)
WATCH_RESTARTS = Counter(
    "k3k_kubelet_watch_restarts_total",
    "Watches begun again, by why: ended (in turn), failed, gone or lost (both listed again first).",
    ["api", "resource", "reason"],
    registry=REGISTRY,
)
API_REQUESTS = Counter(
    "rest_client_requests_total",
    "Requests to the API servers, by answer; code 0 for none.",
    ["api", "method", "code"],
    registry=REGISTRY,
)
API_SECONDS = Histogram(
    "rest_client_request_duration_seconds",
    "How long requests to the API servers took, watches excepted.",
    ["api", "method"],
    buckets=_REQUEST_SECONDS,
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge("workqueue_depth", "Keys that wait for work.", ["name"], registry=REGISTRY)
QUEUE_ADDS = Counter("workqueue_adds_total", "Keys added.", ["name"], registry=REGISTRY)
QUEUE_RETRIES = Counter(
    "workqueue_retries_total", "Work that failed and is done again.", ["name"], registry=REGISTRY
)
QUEUE_WAIT_SECONDS = Histogram(
    "workqueue_queue_duration_seconds",
    "How long keys waited for work.",
    ["name"],
    buckets=_WORK_SECONDS,
    registry=REGISTRY,
)
QUEUE_WORK_SECONDS = Histogram(
    "workqueue_work_duration_seconds",
    "How long the work of a key took.",
    ["name"],
    buckets=_WORK_SECONDS,
    registry=REGISTRY,
)
SERVED = Counter(
    "k3k_kubelet_http_requests_total",
    "Requests served, by server (kubelet or extension), what was asked for, and answer.",
    ["server", "path", "code"],
    registry=REGISTRY,
)
STREAMS = Gauge(
    "k3k_kubelet_streams", "Open streams: exec, attach, portforward, log.", ["action"], registry=REGISTRY
)
STREAM_BYTES = Counter(
    "k3k_kubelet_stream_bytes_total",
    "Bytes passed through streams: to clients or to the host.",
    ["direction"],
    registry=REGISTRY,
)


def observe(gauge: Gauge, value: Callable[[], float], **labels: str) -> None:
    """Has a gauge ask for its value whenever the metrics are read."""
    (gauge.labels(**labels) if labels else gauge).set_function(value)


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    """The metrics in Prometheus' text format."""
    return prometheus_client.generate_latest(registry)
