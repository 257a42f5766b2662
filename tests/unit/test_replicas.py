"""`kubelet_replicas`, `dns.replicas`: what a second pod changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.support import find, manifests


def deployment(name: str = "c-kubelet", /, **args: Any) -> Any:
    return find(manifests(**args), "Deployment", name)["spec"]


BOTH = pytest.mark.parametrize(
    ("name", "two"), [("c-kubelet", {"kubelet_replicas": 2}), ("c-dns", {"dns": {"replicas": 2}})]
)


def test_an_update_of_the_kubelet_never_needs_room_for_one_more() -> None:
    for replicas in (1, 2):
        spec = deployment(kubelet_replicas=replicas)
        assert spec["replicas"] == replicas
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_an_update_of_dns_leaves_one_that_answers() -> None:
    for replicas, surge, unavailable in ((1, 1, 0), (2, 0, 1)):
        spec = deployment("c-dns", dns={"replicas": replicas})
        assert spec["replicas"] == replicas
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_two_name_servers_are_never_evicted_at_once_and_one_alone_holds_up_no_drain() -> None:
    assert not [each for each in manifests() if each["kind"] == "PodDisruptionBudget"]
    objects = manifests(dns={"replicas": 2})
    budget = find(objects, "PodDisruptionBudget", "c-dns", "team-c-control-plane")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == find(objects, "Deployment", "c-dns")["spec"]["selector"]


@BOTH
def test_two_stand_on_different_nodes_where_there_are_any(name: str, two: dict[str, Any]) -> None:
    assert "affinity" not in deployment(name)["template"]["spec"]
    spec = deployment(name, **two)
    (preferred,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    term = preferred["podAffinityTerm"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"] == spec["selector"]
    assert term["labelSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


@BOTH
def test_affinity_of_the_users_own_is_kept(name: str, two: dict[str, Any]) -> None:
    term = {"topology_key": "zone"}
    own = {"required_during_scheduling_ignored_during_execution": [term]}
    for kind, ours in (("pod_affinity", True), ("pod_anti_affinity", False)):
        found = deployment(name, **two, affinity={kind: own})["template"]["spec"]["affinity"]
        camel = "podAffinity" if kind == "pod_affinity" else "podAntiAffinity"
        assert found[camel] == {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
        assert ("preferredDuringSchedulingIgnoredDuringExecution" in found["podAntiAffinity"]) is ours


def test_the_service_leads_to_replicas_that_serve() -> None:
    for replicas, unready in ((1, True), (2, False)):
        service = find(manifests(kubelet_replicas=replicas), "Service", "c-kubelet")
        assert service["spec"]["publishNotReadyAddresses"] is unready
