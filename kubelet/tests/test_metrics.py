"""The kubelet's own metrics: what counts, and that their text is Prometheus'."""

from __future__ import annotations

import asyncio
import importlib.metadata
from pathlib import Path

import k3k_kubelet
from k3k_kubelet import metrics
from k3k_kubelet.cache import WorkQueue
from prometheus_client.parser import text_string_to_metric_families

from kubelet.tests.waiting import eventually


def sample(metric: str, /, **labels: str) -> float:
    """The value of a sample as a scraper reads it, 0 for one that is not there."""
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for found in family.samples:
            if found.name == metric and labels.items() <= found.labels.items():
                return found.value
    return 0.0


def test_a_queue_counts_what_it_gets_repeats_and_how_long_it_takes() -> None:
    tries: list[str] = []

    async def work(key: str) -> None:
        tries.append(key)
        if len(tries) == 1:
            raise ValueError(key)

    async def run() -> None:
        queue: WorkQueue[str] = WorkQueue("counted", work, first_backoff=0.001, expected=(ValueError,))
        queue.add("a")
        queue.add("b")
        assert sample("workqueue_depth", name="counted") == 2
        task = asyncio.create_task(queue.run())
        await eventually(lambda: len(tries) == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert sample("workqueue_adds_total", name="counted") == 3
    assert sample("workqueue_retries_total", name="counted") == 1
    assert sample("workqueue_depth", name="counted") == 0
    assert sample("workqueue_queue_duration_seconds_count", name="counted") == 3
    assert sample("workqueue_work_duration_seconds_count", name="counted") == 3


def test_no_metric_has_the_name_of_an_object_as_label() -> None:
    """What a tenant names must not become series: labels are closed sets."""
    known = {"api", "resource", "reason", "method", "code", "name", "server", "path", "action", "direction"}
    for family in metrics.REGISTRY.collect():
        for found in family.samples:
            assert found.labels.keys() <= known | {"le", "version", "kubernetes"}, found


def test_the_documentation_names_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    declared = [
        family.name for family in metrics.REGISTRY.collect() if not family.name.startswith("process_")
    ]
    assert declared
    assert [name for name in declared if f"`{name}" not in page] == []


def test_the_version_is_that_of_the_package() -> None:
    assert k3k_kubelet.__version__ == importlib.metadata.version("k3k-kubelet")
