"""`kubelet_replicas`: what a second process of the virtual kubelet changes."""

from __future__ import annotations

from typing import Any

from tests.unit.support import find, manifests


def deployment(**args: Any) -> Any:
    return find(manifests(**args), "Deployment", "c-kubelet")["spec"]


def test_an_update_never_needs_room_for_one_more() -> None:
    for replicas in (1, 2):
        spec = deployment(kubelet_replicas=replicas)
        assert spec["replicas"] == replicas
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_two_stand_on_different_nodes_where_there_are_any() -> None:
    assert "affinity" not in deployment()["template"]["spec"]
    spec = deployment(kubelet_replicas=2)
    (preferred,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    term = preferred["podAffinityTerm"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"] == spec["selector"]
    assert term["labelSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_affinity_of_the_users_own_is_kept() -> None:
    term = {"topology_key": "zone"}
    own = {"required_during_scheduling_ignored_during_execution": [term]}
    for kind, ours in (("pod_affinity", True), ("pod_anti_affinity", False)):
        found = deployment(kubelet_replicas=2, affinity={kind: own})["template"]["spec"]["affinity"]
        camel = "podAffinity" if kind == "pod_affinity" else "podAntiAffinity"
        assert found[camel] == {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
        assert ("preferredDuringSchedulingIgnoredDuringExecution" in found["podAntiAffinity"]) is ours


def test_the_service_leads_to_replicas_that_serve() -> None:
    for replicas, unready in ((1, True), (2, False)):
        service = find(manifests(kubelet_replicas=replicas), "Service", "c-kubelet")
        assert service["spec"]["publishNotReadyAddresses"] is unready
