"""What is changed in a Node that is there: ours is put right, the tenant's stays."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from k3k_kubelet.config import Config
from k3k_kubelet.events import timestamp
from k3k_kubelet.node import facts, manifest

Object = dict[str, Any]

CONFIG = Config(
    cluster="c",
    namespace="ns",
    control_plane_namespace="cp",
    anchor="a",
    service="s",
    lease="l",
    service_account="sa",
    cluster_domain="cluster.local",
    version="v1.34.4",
)
ZONE = "topology.kubernetes.io/zone"


def wanted(*, taints: list[Object] | None = None, failed: bool = False, **labels: str) -> Object:
    said = facts.on_use("n", {"cpu": "8", "pods": "1000"}, failed=failed)
    said = facts.Facts(
        {**said.labels, **labels}, taints or [], said.capacity, said.allocatable, said.info, said.conditions
    )
    return manifest.node("n", 10250, "192.0.2.1", CONFIG, said)


def stored(node: Object) -> Object:
    """The Node as an API server has it."""
    found = copy.deepcopy(node)
    found["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    found["status"]["capacity"]["pods"] = "1k"  # API servers shorten quantities
    return found


def patched(node: Object, change: Object | None) -> Object:
    """The Node after a JSON merge patch (RFC 7396)."""

    def merge(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        result = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merge(result.get(key), value)
        return result

    return merge(node, change) if change else node


def test_a_node_as_it_should_be_needs_no_change() -> None:
    node = wanted(taints=[{"key": "t", "effect": "NoSchedule"}])
    assert manifest.change(stored(node), node) is None
    assert manifest.status_change(stored(node), node, answers=True) is None


def test_labels_and_taints_of_the_tenant_stay_and_ours_come_back() -> None:
    ours = {"key": "t", "effect": "NoSchedule"}
    node = wanted(taints=[ours], **{ZONE: "z1"})
    found = stored(node)
    theirs = {"key": "maintenance", "value": "tenant", "effect": "NoExecute"}
    unreachable = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "T"}
    found["spec"] = {"taints": [theirs, unreachable], "unschedulable": True}
    found["metadata"]["labels"] |= {"tenant/label": "x", ZONE: "forged"}
    del found["metadata"]["labels"]["k3k-pulumi.io/cluster"]
    change = manifest.change(found, node)
    assert change is not None
    assert change["metadata"]["resourceVersion"] == "7"
    assert "unschedulable" not in change["spec"]
    after = patched(found, change)
    assert after["spec"]["taints"] == [theirs, unreachable, ours]
    assert after["metadata"]["labels"] == {**node["metadata"]["labels"], "tenant/label": "x"}
    assert manifest.change(after, node) is None


def test_what_the_host_takes_away_goes() -> None:
    before = wanted(taints=[{"key": "old", "effect": "NoSchedule"}], **{ZONE: "z1"})
    found = stored(before)
    found["metadata"]["labels"]["own"] = "x"
    now = wanted(taints=[{"key": "new", "effect": "NoSchedule"}])
    after = patched(found, manifest.change(found, now))
    assert ZONE not in after["metadata"]["labels"]
    assert after["metadata"]["labels"]["own"] == "x"
    assert after["spec"]["taints"] == [{"key": "new", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    "forged", ["", "[]", "null", '{"labels": 7}', '{"labels": [7], "taints": {}}', "{", "[" * 100_000]
)
def test_a_forged_annotation_does_no_harm(forged: str) -> None:
    node = wanted()
    found = stored(node)
    found["metadata"]["annotations"][manifest.OURS] = forged
    assert (
        patched(found, manifest.change(found, node))["metadata"]["annotations"]
        == node["metadata"]["annotations"]
    )


def _forge_capacity(node: Object) -> None:
    node["status"]["capacity"] = {"cpu": "1", "fpga": "9"}


def _spell_capacity_oddly(node: Object) -> None:
    node["status"]["capacity"]["cpu"] = "8e00000"  # which Go reads, and keeps


def _go_back_to_the_year_zero(node: Object) -> None:
    for condition in node["status"]["conditions"]:
        condition["lastHeartbeatTime"] = "0000-01-01T00:00:00Z"


def _forge_address(node: Object) -> None:
    node["status"]["addresses"] = [{"type": "InternalIP", "address": "169.254.169.254"}]


def _forge_port(node: Object) -> None:
    node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 6443}}


def _forge_ready(node: Object) -> None:
    node["status"]["conditions"][0]["status"] = "False"


def _drop_conditions(node: Object) -> None:
    del node["status"]["conditions"]


def _forge_version(node: Object) -> None:
    node["status"]["nodeInfo"]["kubeletVersion"] = "v9"


@pytest.mark.parametrize(
    "forge",
    [
        _forge_capacity,
        _spell_capacity_oddly,
        _go_back_to_the_year_zero,
        _forge_address,
        _forge_port,
        _forge_ready,
        _drop_conditions,
        _forge_version,
    ],
)
def test_a_forged_status_is_put_right(forge: Callable[[Object], None]) -> None:
    node = wanted()
    found = stored(node)
    forge(found)
    change = manifest.status_change(found, node, answers=True)
    assert change is not None
    after = patched(found, change)
    assert manifest.status_change(after, node, answers=True) is None
    assert after["status"]["addresses"] == node["status"]["addresses"]
    assert "fpga" not in after["status"]["capacity"]


def test_conditions_of_others_stay_and_transitions_keep_their_time() -> None:
    found = stored(wanted())
    for each in found["status"]["conditions"]:
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    found["status"]["conditions"].append({"type": "Tenants", "status": "True"})
    change = manifest.status_change(found, wanted(failed=True), answers=False)
    assert change is not None
    conditions = {each["type"]: each for each in change["status"]["conditions"]}
    assert conditions["Tenants"] == {"type": "Tenants", "status": "True"}
    assert conditions["Ready"]["status"] == "Unknown"
    assert conditions["Ready"]["lastTransitionTime"] != "2026-01-01T00:00:00Z"
    assert conditions["NetworkUnavailable"]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_heartbeat_times_stay_young_unless_the_host_node_is_silent() -> None:
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=301)
    for failed in (False, True):
        node = wanted(failed=failed)
        found = stored(node)
        for each in found["status"]["conditions"]:
            each["lastHeartbeatTime"] = timestamp(old)
        change = manifest.status_change(found, node, answers=not failed)
        assert (change is None) is failed


def test_what_the_node_controller_says_of_a_silent_node_is_left_alone() -> None:
    node = wanted(failed=True)
    found = stored(node)
    found["status"]["conditions"][0] |= {"reason": "Other", "message": "Kubelet stopped posting node status."}
    assert manifest.status_change(found, node, answers=False) is None
