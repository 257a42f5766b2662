"""What a Node tells of itself, read as its users read it: JSON, and Prometheus' own parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from k3k_kubelet.usage import reading
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from kubelet.tests.server.conftest import Run
from kubelet.tests.server.peers import Answer, answering, running
from kubelet.tests.usage.samples import pod_metrics

USED = {"kind": "PodMetricsList", "items": [pod_metrics("web"), pod_metrics("of-another-cluster")]}
TELLS = answering(200, json.dumps(USED).encode())
TELLS_NOTHING = answering(404, b"404 page not found", "text/plain")


def parsed(answer: Answer) -> list[Sample]:
    assert answer.code == 200
    assert answer.headers["content-type"][0].startswith("text/plain; version=0.0.4")
    return [s for family in text_string_to_metric_families(answer.body.decode()) for s in family.samples]


def test_resource_metrics_are_those_of_a_kubelet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FRESH_SECONDS", 120.0)

    async def test(folder: Path) -> None:
        async with running(folder, TELLS) as setup:
            here = parsed(await setup.ask("GET /metrics/resource"))
            elsewhere = parsed(await setup.ask("GET /metrics/resource", port=setup.other_port))
            (request,) = setup.received  # for both
            assert "/apis/metrics.k8s.io/v1beta1/namespaces/tenant/pods?" in request.line
            assert "labelSelector=k3k-pulumi.io/cluster%3Dvc" in request.line
        pod = {"pod": "web", "namespace": "default"}
        container = {"container": "main", **pod}
        at = 1767225660.0
        expected = [
            ("container_cpu_usage_seconds_total", container, 0.25 * 15, at),
            ("container_memory_working_set_bytes", container, 64 * 2**20, at),
            ("container_start_time_seconds", container, 1767225600.0, None),
            ("pod_cpu_usage_seconds_total", pod, 0.25 * 15, at),
            ("pod_memory_working_set_bytes", pod, 64 * 2**20, at),
            ("node_cpu_usage_seconds_total", {}, 0.25 * 15, at),
            ("node_memory_working_set_bytes", {}, 64 * 2**20, at),
            ("scrape_error", {}, 0, None),
            ("resource_scrape_error", {}, 0, None),
        ]
        assert [(s.name, s.labels, s.value, s.timestamp) for s in here] == expected
        assert {(s.name, s.value) for s in elsewhere if s.labels} == set()
        assert ("scrape_error", 0.0) in {(s.name, s.value) for s in elsewhere}

    run(test)


def test_a_host_that_tells_no_usage_is_a_scrape_error_and_no_summary(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, TELLS_NOTHING) as setup:
            samples = parsed(await setup.ask("GET /metrics/resource"))
            assert [(s.name, s.value) for s in samples] == [("scrape_error", 1), ("resource_scrape_error", 1)]
            refused = await setup.ask("GET /stats/summary")
            assert refused.code == 503
            assert "the host cluster has no metrics.k8s.io API" in refused.status["message"]

    run(test)


def test_the_summary_names_the_nodes_pods(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, TELLS) as setup:
            summary: dict[str, Any] = json.loads((await setup.ask("GET /stats/summary")).body)
            other = json.loads((await setup.ask("GET /stats/summary", port=setup.other_port)).body)
        time = "2026-01-01T00:01:00Z"
        cpu = {"time": time, "usageNanoCores": 250_000_000, "usageCoreNanoSeconds": 3_750_000_000}
        figures = {"cpu": cpu, "memory": {"time": time, "workingSetBytes": 64 * 2**20}}
        start = {"startTime": "2026-01-01T00:00:00Z"}
        assert summary["node"] == {"nodeName": "node-a", **figures}
        assert summary["pods"] == [
            {
                "podRef": {"name": "web", "namespace": "default", "uid": "uid-web"},
                **start,
                "containers": [{"name": "main", **start, **figures}],
                **figures,
            }
        ]
        assert other == {"node": {"nodeName": "node-b"}, "pods": []}

    run(test)


def test_pods_are_those_of_the_node(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, TELLS_NOTHING) as setup:
            here = json.loads((await setup.ask("GET /pods")).body)
            elsewhere = json.loads((await setup.ask("GET /pods", port=setup.other_port)).body)
        assert [pod["metadata"]["name"] for pod in here["items"]] == ["web"]
        assert elsewhere["items"] == []

    run(test)


def test_the_kubelets_own_metrics_count_what_it_serves(run: Run) -> None:
    async def test(folder: Path) -> None:
        async with running(folder, TELLS) as setup:
            await setup.ask("GET /stats/summary")
            await setup.ask("GET /no/such/page")
            samples = parsed(await setup.ask("GET /metrics"))
        served = {
            (s.labels["path"], s.labels["code"]): s.value
            for s in samples
            if s.name == "k3k_kubelet_http_requests_total"
        }
        assert served["stats/summary", "200"] >= 1
        assert served["other", "404"] >= 1
        names = {s.name for s in samples}
        assert {"process_resident_memory_bytes", "rest_client_requests_total"} <= names

    run(test)
