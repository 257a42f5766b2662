"""What leaves the host with a mirrored Node, and what Nodes claim that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet import policy
from k3k_kubelet.config import NodeCapacity
from k3k_kubelet.node import facts
from k3k_kubelet.policy import Pods, PodSettings, Toleration

HOST_NODE: dict[str, Any] = {
    "metadata": {
        "name": "n",
        "labels": {
            "kubernetes.io/arch": "arm64",
            "kubernetes.io/os": "linux",
            "kubernetes.io/hostname": "n.example",
            "node.kubernetes.io/instance-type": "m7g.large",
            "topology.kubernetes.io/zone": "z1",
            "topology.ebs.csi.aws.com/zone": "z1",
            "feature.node.kubernetes.io/cpu-cpuid.AVX512F": "true",
            "tenants.example.com/pool": "blue",
            "node-role.kubernetes.io/control-plane": "",
            "customer.example.com/name": "somebody-else",
            "k3k-pulumi.io/cluster": "forged",
        },
        "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
    },
    "spec": {"podCIDR": "10.1.0.0/24", "providerID": "aws:///i-1", "unschedulable": True},
    "status": {
        "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110", "example.com/gpu": "2"},
        "allocatable": {"cpu": "7", "memory": "30Gi", "pods": "110", "example.com/gpu": "2"},
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
        "nodeInfo": {
            "architecture": "arm64",
            "kernelVersion": "6.12.1",
            "osImage": "Debian 13",
            "containerRuntimeVersion": "containerd://2.1",
            "kubeletVersion": "v1.37.0",
            "machineID": "secret",
            "systemUUID": "secret",
            "bootID": "secret",
            "operatingSystem": "linux",
            "swap": {"capacity": 1},
        },
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"},
            {"type": "MemoryPressure", "status": "True", "reason": "KubeletHasInsufficientMemory"},
            {"type": "KernelDeadlock", "status": "True", "reason": "Hung", "message": "host's business"},
        ],
        "images": [{"names": ["registry.example/secret"]}],
        "volumesInUse": ["kubernetes.io/csi/x"],
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
    },
}


def requiring(**settings: Any) -> Pods:
    """A policy that requires this of every pod."""
    return Pods(required=PodSettings(**settings))


def test_a_mirrored_node_has_what_tenants_schedule_by_and_nothing_else() -> None:
    found = facts.mirrored("n", HOST_NODE, requiring(node_selector={"tenants.example.com/pool": "blue"}))
    assert found.labels == {
        "kubernetes.io/arch": "arm64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": "n.example",
        "node.kubernetes.io/instance-type": "m7g.large",
        "topology.kubernetes.io/zone": "z1",
        "topology.ebs.csi.aws.com/zone": "z1",
        "feature.node.kubernetes.io/cpu-cpuid.AVX512F": "true",
        "tenants.example.com/pool": "blue",
    }
    assert found.capacity["example.com/gpu"] == "2"
    assert found.allocatable["cpu"] == "7"
    assert set(found.info) == {
        "architecture",
        "containerRuntimeVersion",
        "kernelVersion",
        "operatingSystem",
        "osImage",
    }
    assert found.conditions["Ready"] == ("True", "KubeletReady", "ready")
    assert found.conditions["MemoryPressure"][0] == "True"
    assert "KernelDeadlock" not in found.conditions
    assert found.answers
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("status", "answers"), [("True", True), ("False", True), ("Unknown", False), (None, False)]
)
def test_a_host_node_that_is_silent_does_not_answer(status: str | None, answers: bool) -> None:
    conditions = [{"type": "Ready", "status": status, "reason": "R", "message": ""}] if status else []
    node = {**HOST_NODE, "status": {**HOST_NODE["status"], "conditions": conditions}}
    found = facts.mirrored("n", node, Pods())
    assert found.answers is answers
    assert found.conditions["Ready"][0] == (status or "Unknown")


def test_a_host_node_that_is_gone_does_not_answer() -> None:
    assert not facts.mirrored("n", None, Pods()).answers


def _taint(key: str, effect: str, value: str = "") -> dict[str, str]:
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


OURS = _taint(facts.HOST_TAINT, "NoSchedule")
TEAM = Toleration(key="team", value="a")
ANY_TEAM = Toleration(key="team", operator="Exists")


@pytest.mark.parametrize(
    ("taints", "pods", "shown"),
    [
        ([], Pods(), []),
        ([_taint("customer", "NoSchedule", "somebody")], Pods(), [OURS]),
        ([_taint("customer", "NoExecute", "somebody"), _taint("x", "NoSchedule")], Pods(), [OURS]),
        ([_taint("customer", "PreferNoSchedule", "somebody")], Pods(), []),
        ([_taint("node.kubernetes.io/unreachable", "NoExecute")], Pods(), []),
        ([_taint("node.kubernetes.io/unschedulable", "NoSchedule")], Pods(), []),
        ([_taint("team", "NoExecute", "a")], requiring(tolerations=(TEAM,)), []),
        ([_taint("team", "NoExecute", "b")], requiring(tolerations=(TEAM,)), [OURS]),
        ([_taint("team", "NoSchedule", "b")], requiring(tolerations=(ANY_TEAM,)), []),
        (
            [_taint("team", "NoExecute", "a")],
            Pods(allowed_tolerations=(ANY_TEAM,)),
            [_taint("team", "NoSchedule", "a")],
        ),
        (
            [_taint("team", "NoExecute"), _taint("team", "NoSchedule"), _taint("x", "NoSchedule")],
            Pods(allowed_tolerations=(ANY_TEAM,)),
            [OURS, _taint("team", "NoSchedule")],
        ),
        (
            [_taint("team", "NoExecute", "a")],
            Pods(defaults=PodSettings(tolerations=(ANY_TEAM,))),
            [_taint("team", "NoSchedule", "a")],
        ),
        (
            [_taint("team", "NoExecute", "a")],
            requiring(
                tolerations=(
                    Toleration(key="team", operator="Exists", effect="NoExecute", toleration_seconds=9),
                )
            ),
            [OURS],
        ),
    ],
)
def test_taints_of_the_host_keep_daemon_sets_off_and_evict_nobody(
    taints: list[dict[str, str]], pods: Pods, shown: list[dict[str, str]]
) -> None:
    assert facts.taints(taints, pods) == shown
    assert not [each for each in facts.taints(taints, pods) if each["effect"] == "NoExecute"]


def test_a_node_is_admitted_by_all_labels_of_the_policy() -> None:
    assert facts.admits(HOST_NODE, Pods())
    assert facts.admits(HOST_NODE, requiring(node_selector={"tenants.example.com/pool": "blue"}))
    assert not facts.admits(HOST_NODE, requiring(node_selector={"tenants.example.com/pool": "red"}))
    assert not facts.admits(HOST_NODE, requiring(node_selector={"absent": ""}))


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator} | ({"values": list(values)} if values else {})


def affine(*terms: dict[str, Any]) -> Pods:
    """A policy that requires one of these terms of every node."""
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    pods = {"required": {"affinity": {"nodeAffinity": required}}}
    return policy.load(policy.msgspec.json.encode({"apiVersion": "k3k-pulumi.io/v1", "pods": pods})).pods


POOL = "tenants.example.com/pool"
EXPRESSIONS = [
    (expression(POOL, "In", "red", "blue"), True),
    (expression(POOL, "In", "red"), False),
    (expression("absent", "In", "x"), False),
    (expression(POOL, "NotIn", "red"), True),
    (expression(POOL, "NotIn", "blue"), False),
    (expression("absent", "NotIn", "x"), True),
    (expression(POOL, "Exists"), True),
    (expression("absent", "Exists"), False),
    (expression(POOL, "DoesNotExist"), False),
    (expression("absent", "DoesNotExist"), True),
    (expression("cores", "Gt", "7"), True),
    (expression("cores", "Gt", "8"), False),
    (expression("cores", "Lt", "9"), True),
    (expression("cores", "Lt", "8"), False),
    (expression(POOL, "Gt", "1"), False),
    (expression("absent", "Lt", "1"), False),
]


@pytest.mark.parametrize(("one", "admitted"), EXPRESSIONS, ids=str)
def test_a_node_is_admitted_by_the_affinity_that_the_policy_requires(
    one: dict[str, Any], admitted: bool
) -> None:
    node = {"metadata": {"name": "n", "labels": {POOL: "blue", "cores": "8"}}}
    assert facts.admits(node, affine({"matchExpressions": [one]})) is admitted
    assert facts.admits(node, affine({"matchExpressions": [one, expression(POOL, "Exists")]})) is admitted
    other = {"matchExpressions": [expression("absent", "Exists")]}
    assert facts.admits(node, affine(other, {"matchExpressions": [one]})) is admitted


def test_a_node_is_admitted_by_its_name() -> None:
    node = {"metadata": {"name": "n"}}
    for name, operator, admitted in (("n", "In", True), ("m", "In", False), ("n", "NotIn", False)):
        term = {"matchFields": [expression("metadata.name", operator, name)]}
        assert facts.admits(node, affine(term)) is admitted


def test_labels_that_the_policy_selects_nodes_by_are_shown() -> None:
    by_affinity = affine({"matchExpressions": [expression(POOL, "Exists")]})
    by_default = Pods(defaults=PodSettings(node_selector={POOL: "red"}))
    for chosen in (by_affinity, by_default):
        assert facts.labels({POOL: "blue", "other": "x"}, chosen) == {POOL: "blue"}


def _quota(hard: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}


DEFAULTS = NodeCapacity.DEFAULTS


@pytest.mark.parametrize(
    ("setting", "quotas", "expected"),
    [
        (NodeCapacity(), [], DEFAULTS),
        (NodeCapacity(cpu="4"), [], {**DEFAULTS, "cpu": "4"}),
        (
            NodeCapacity(),
            [_quota({"requests.cpu": "10", "limits.cpu": "20", "memory": "8Gi", "count/pods": "50"})],
            {**DEFAULTS, "cpu": "10", "memory": "8Gi", "pods": "50"},
        ),
        (
            NodeCapacity(memory="1Gi"),
            [_quota({"requests.memory": "8Gi"}), _quota({"cpu": "2500m"}), _quota({"cpu": "3"})],
            {**DEFAULTS, "memory": "1Gi", "cpu": "2500m"},
        ),
        (
            NodeCapacity(),
            [_quota({"requests.example.com/gpu": "2", "requests.storage": "1Gi", "secrets": "9"})],
            {**DEFAULTS, "example.com/gpu": "2"},
        ),
        (
            NodeCapacity(extended_resources={"example.com/gpu": "4", "example.com/fpga": "1"}),
            [_quota({"requests.example.com/gpu": "2", "requests.example.com/nic": "8"})],
            {**DEFAULTS, "example.com/gpu": "4", "example.com/fpga": "1", "example.com/nic": "8"},
        ),
        (
            NodeCapacity(),
            [_quota({"cpu": "1"}, scopes=["Terminating"]), _quota({"cpu": "1"}, scopeSelector={"x": 1})],
            DEFAULTS,
        ),
    ],
)
def test_capacity_is_the_setting_then_the_quota_then_large(
    setting: NodeCapacity, quotas: list[dict[str, Any]], expected: dict[str, str]
) -> None:
    assert facts.capacity(setting, quotas) == expected
