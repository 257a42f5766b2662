"""CPU seconds out of rates: what a scraper computes of them is the rate again."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from k3k_kubelet.usage import CpuCounters, PodSample, PodUsage
from k3k_kubelet.usage.reading import seconds

from kubelet.tests.usage.samples import pod_metrics, virtual_pod

NODE = "node-a"


def usage(pod: dict[str, Any], cpu: str, at: int) -> PodUsage:
    """A sample taken `at` seconds after some moment."""
    moment = datetime.datetime.fromtimestamp(1_800_000_000 + at, datetime.UTC).isoformat()
    sample = msgspec.convert(pod_metrics(pod["metadata"]["name"], cpu, at=moment), PodSample)
    return PodUsage(pod, sample, sample.containers[:1])


def test_a_counter_is_the_integral_of_the_rates() -> None:
    counters, pod = CpuCounters(), virtual_pod("web")
    alive = {"uid-web"}
    counters.add(NODE, [usage(pod, "500m", 0)], alive)
    assert counters.container(NODE, pod, "main") == pytest.approx(0.5 * 15)  # the window of the first sample
    counters.add(NODE, [usage(pod, "2", 60)], alive)
    counters.add(NODE, [usage(pod, "2", 60)], alive)  # the same sample, read again
    expected = pytest.approx(0.5 * 15 + 2 * 60)
    assert counters.container(NODE, pod, "main") == expected
    assert (counters.pod(NODE, pod), counters.node(NODE)) == (expected, expected)


def test_no_counter_goes_down_while_its_container_runs() -> None:
    counters, pod = CpuCounters(), virtual_pod("web")
    seen = []
    for cpu, at in (("1", 0), ("0", 15), ("-1", 30), ("1", 20), ("1", 45)):  # negative, and out of order
        counters.add(NODE, [usage(pod, cpu, at)], {"uid-web"})
        seen.append(counters.container(NODE, pod, "main"))
    assert seen == sorted(seen)
    counters.add(NODE, [], {"uid-web"})  # one reading of the host that lacks the pod
    assert counters.container(NODE, pod, "main") == seen[-1]


def test_another_run_of_a_container_begins_anew_and_its_pod_goes_on() -> None:
    counters, pod = CpuCounters(), virtual_pod("web")
    counters.add(NODE, [usage(pod, "1", 0)], {"uid-web"})
    before = counters.pod(NODE, pod)
    pod["status"]["containerStatuses"][0]["containerID"] = "containerd://web-2"
    counters.add(NODE, [usage(pod, "1", 60)], {"uid-web"})
    assert counters.container(NODE, pod, "main") == pytest.approx(15)
    assert counters.pod(NODE, pod) == pytest.approx(before + 15)


def test_pods_that_are_gone_are_forgotten_and_their_node_remembers_what_they_used() -> None:
    counters, pod = CpuCounters(), virtual_pod("web")
    counters.add(NODE, [usage(pod, "1", 0)], {"uid-web"})
    counters.add("node-b", [], set())
    assert counters.pod(NODE, pod) > 0
    counters.add(NODE, [], set())
    assert (counters.container(NODE, pod, "main"), counters.pod(NODE, pod)) == (0, 0)
    assert counters.node(NODE) == pytest.approx(15)


def test_nodes_that_are_gone_are_forgotten() -> None:
    counters, pod = CpuCounters(), virtual_pod("web")
    for node in (NODE, "node-b"):
        counters.add(node, [usage(pod, "1", 0)], {"uid-web"})
    counters.keep({NODE})
    found = [
        (counters.container(node, pod, "main") > 0, counters.pod(node, pod) > 0, counters.node(node) > 0)
        for node in (NODE, "node-b")
    ]
    assert found == [(True, True, True), (False, False, False)]


@pytest.mark.parametrize(
    ("text", "value"), [("15s", 15), ("10.5s", 10.5), ("1m0.25s", 60.25), ("1h1m", 3660), ("500ms", 0.5)]
)
def test_durations_as_go_writes_them(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "15", "s", "-1s", "1d", "1s "])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)
