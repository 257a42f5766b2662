"""What pods tell of their host node when nobody may read it."""

from __future__ import annotations

import itertools
from typing import Any

from k3k_kubelet.cache import Store
from k3k_kubelet.node import health
from k3k_kubelet.node.health import PodsHealth

_versions = itertools.count(1)


def condition(kind: str, status: str, reason: str = "") -> dict[str, str]:
    return {"type": kind, "status": status} | ({"reason": reason} if reason else {})


READY = [condition("Ready", "True"), condition("ContainersReady", "True")]
MARKED = [condition("Ready", "False"), condition("ContainersReady", "True")]
CRASHED = [
    condition("Ready", "False", "ContainersNotReady"),
    condition("ContainersReady", "False", "ContainersNotReady"),
]
GATED = [condition("Ready", "False", "ReadinessGatesNotReady"), condition("ContainersReady", "True")]


class Pods:
    """Pods of the host and what is concluded from them."""

    def __init__(self) -> None:
        self.store = Store({"owner": lambda _: ("x/marked",), health.INDEX: health.signs})
        self.told: list[str] = []
        self.health: PodsHealth | None = None

    def watch(self) -> PodsHealth:
        self.health = PodsHealth(self.store, self.told.append)
        return self.health

    def put(
        self,
        name: str,
        conditions: list[dict[str, str]],
        node: str = "n",
        phase: str = "Running",
        restarts: int = 0,
    ) -> None:
        self.store.put(self._pod(name, conditions, node, phase, restarts))

    def remove(self, name: str) -> None:
        self.store.remove(self._pod(name, MARKED, "n", "Running", 0))

    @staticmethod
    def _pod(
        name: str, conditions: list[dict[str, str]], node: str, phase: str, restarts: int
    ) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "uid": name, "resourceVersion": str(next(_versions))},
            "spec": {"nodeName": node},
            "status": {
                "phase": phase,
                "conditions": conditions,
                "containerStatuses": [{"name": "c", "restartCount": restarts}],
            },
        }


def test_a_node_fails_with_its_last_pod_and_comes_back_with_its_first() -> None:
    pods = Pods()
    found = pods.watch()
    pods.put("a", READY)
    pods.put("b", READY)
    pods.put("other", READY, node="m")
    pods.put("a", MARKED)
    assert not found.has_failed("n")
    pods.put("b", MARKED)
    assert found.has_failed("n")
    assert not found.has_failed("m")
    pods.put("a", READY)
    assert not found.has_failed("n")
    assert pods.told == ["n", "n"]


def test_a_kubelet_that_shows_itself_is_enough() -> None:
    """After a restart its pods crash, one after the other, before any of them is ready."""
    pods = Pods()
    found = pods.watch()
    for name in ("a", "b"):
        pods.put(name, READY)
        pods.put(name, MARKED)
    assert found.has_failed("n")
    pods.put("a", CRASHED, restarts=1)
    assert not found.has_failed("n")
    pods.put("b", MARKED)  # somebody else has written b: nothing new
    assert not found.has_failed("n")


def test_pods_that_are_not_ready_by_themselves_say_nothing_of_the_node() -> None:
    pods = Pods()
    found = pods.watch()
    pods.put("a", CRASHED)
    pods.put("b", GATED)
    pods.put("c", [])
    pods.put("d", MARKED, phase="Succeeded")
    assert not found.has_failed("n")


def test_a_node_stays_failed_when_its_pods_are_gone() -> None:
    pods = Pods()
    found = pods.watch()
    pods.put("a", READY)
    pods.put("a", MARKED)
    pods.remove("a")
    assert found.has_failed("n")
    pods.put("daemon", [], phase="Pending")
    assert found.has_failed("n")
    pods.put("daemon", [], phase="Pending", restarts=1)
    assert not found.has_failed("n")
    pods.put("a", MARKED)
    assert found.has_failed("n")
    found.forget("n")
    assert not found.has_failed("n")


def test_what_was_before_the_start_counts() -> None:
    pods = Pods()
    pods.put("a", READY, node="well")
    pods.put("b", MARKED, node="well")
    pods.put("c", MARKED, node="failed")
    found = pods.watch()
    assert found.has_failed("failed")
    assert not found.has_failed("well")
