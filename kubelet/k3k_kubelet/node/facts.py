"""What a virtual Node says of itself: as the host's node of its name has it, or without a right to read that.

Pure functions. All that leaves the host does so by a list of what may: labels, parts of nodeInfo, conditions.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from k3k_kubelet import quantity
from k3k_kubelet.config import NodeCapacity
from k3k_kubelet.policy import Pods, Toleration
from k3k_kubelet.translate.names import DOMAIN

Object = dict[str, Any]

HOST_TAINT = f"{DOMAIN}/host-taint"
"""Taint of ours on a mirrored Node whose host node has taints that the policy tolerates nowhere."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}

_LABELS = frozenset(
    {
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "node.kubernetes.io/windows-build",
    }
)
_LABEL_DOMAINS = ("topology.", "feature.node.kubernetes.io/")
"""Beginnings of keys: where a node is (topology.kubernetes.io/zone, topology.ebs.csi.aws.com/zone), and what
its hardware can do (Node Feature Discovery)."""

_INFO = ("architecture", "containerRuntimeVersion", "kernelVersion", "operatingSystem", "osImage")
"""The rest of nodeInfo identifies machines (machineID, systemUUID, bootID) or is the virtual cluster's."""

_CONDITIONS = {
    "Ready": ("True", "KubeletReady", "the host runs pods of this cluster here"),
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "the host looks after its nodes"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "the host looks after its nodes"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "the host looks after its nodes"),
    "NetworkUnavailable": ("False", "HostNetwork", "the host looks after its network"),
}
_UNKNOWN = ("Unknown", "NodeStatusUnknown", "the host's node does not answer any more")
"""As the node lifecycle controller writes it of a kubelet that is silent."""


class Facts(msgspec.Struct, frozen=True):
    """What a virtual Node says.

    Attributes:
        labels: Labels, ours not among them.
        taints: Taints as in Node.spec; none of the effect NoExecute.
        capacity: As in Node.status.
        allocatable: As in Node.status.
        info: Parts of Node.status.nodeInfo.
        conditions: By type: status, reason and message.
    """

    labels: dict[str, str]
    taints: list[Object]
    capacity: dict[str, str]
    allocatable: dict[str, str]
    info: dict[str, str]
    conditions: dict[str, tuple[str, str, str]]

    @property
    def answers(self) -> bool:
        """Whether the host's node is heard of at all: if not, the Node's Lease is not renewed either."""
        return self.conditions["Ready"][0] != "Unknown"


def architecture() -> str:
    """GOARCH of this machine; virtual Nodes have it too where the host's Nodes cannot be read."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def on_use(name: str, capacity: Mapping[str, str], *, failed: bool) -> Facts:
    """A Node whose host node cannot be read.

    Args:
        name: The node's name.
        capacity: See `capacity`.
        failed: Whether the host has given the node up.
    """
    labels = {
        "kubernetes.io/arch": architecture(),
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    info = {
        "architecture": architecture(),
        "containerRuntimeVersion": "k3k-pulumi://host",
        "kernelVersion": platform.release(),
        "operatingSystem": "linux",
        "osImage": "k3k-pulumi virtual node",
    }
    return Facts(labels, [], dict(capacity), dict(capacity), info, _silent() if failed else dict(_CONDITIONS))


def mirrored(name: str, host_node: Mapping[str, Any] | None, policy: Pods) -> Facts:
    """A Node as the host has it.

    Args:
        name: The node's name.
        host_node: The host's Node; None when the host has none any more.
        policy: Which labels pods may be bound to, and which taints they tolerate.
    """
    if host_node is None:
        return on_use(name, {}, failed=True)
    status = host_node.get("status") or {}
    info = status.get("nodeInfo") or {}
    found = {each["type"]: each for each in status.get("conditions") or ()}
    conditions = dict(_CONDITIONS)
    for kind in _CONDITIONS:
        if kind in found:
            each = found[kind]
            conditions[kind] = (each["status"], each.get("reason") or "", each.get("message") or "")
    if "Ready" not in found:
        conditions["Ready"] = _UNKNOWN
    return Facts(
        labels(host_node["metadata"].get("labels") or {}, policy),
        taints((host_node.get("spec") or {}).get("taints") or (), policy),
        dict(status.get("capacity") or {}),
        dict(status.get("allocatable") or {}),
        {key: info[key] for key in _INFO if info.get(key)},
        conditions,
    )


def labels(host_labels: Mapping[str, str], policy: Pods) -> dict[str, str]:
    """Labels of a host node that tenants may see: what it is, where it is, and what the policy selects by."""
    selected = {
        key
        for each in (policy.defaults, policy.required)
        for key in (*each.node_selector, *each.affinity.keys())
    }
    return {
        key: value
        for key, value in host_labels.items()
        if key in _LABELS or key.startswith(_LABEL_DOMAINS) or key in selected
    }


def taints(host_taints: Iterable[Mapping[str, Any]], policy: Pods) -> list[Object]:
    """Taints of a mirrored Node: they keep DaemonSets from Nodes where their pods could not run.

    Nothing else inside looks at them but the controller that evicts pods from Nodes with NoExecute taints. It
    knows only the tolerations that pods have inside, not those the policy gives them on the host, nor which
    taints were there when they came: so no taint has that effect here, and what the policy has every pod
    tolerate is left out. A taint that pods may tolerate is shown, the others together as one of ours: what
    they say is the host's business. Those of node.kubernetes.io come from the Node's own conditions.
    """
    shown: dict[str, Object] = {}
    for taint in host_taints:
        key, effect = taint["key"], taint["effect"]
        if effect == "PreferNoSchedule" or key.startswith("node.kubernetes.io/"):
            continue
        if any(_tolerates(each, taint) for each in policy.required.tolerations):
            continue
        if any(
            _tolerates(each, taint) for each in (*policy.allowed_tolerations, *policy.defaults.tolerations)
        ):
            value = {"value": taint["value"]} if taint.get("value") else {}
            shown[key] = {"key": key, **value, "effect": "NoSchedule"}
        else:
            shown[HOST_TAINT] = {"key": HOST_TAINT, "effect": "NoSchedule"}
    return [shown[key] for key in sorted(shown)]


def admits(host_node: Mapping[str, Any], policy: Pods) -> bool:
    """Whether pods of this cluster may run on a host node: whether it is one that the policy requires."""
    found, required = host_node["metadata"].get("labels") or {}, policy.required
    has_labels = all(found.get(key) == value for key, value in required.node_selector.items())
    return has_labels and required.affinity.admits(host_node)


def capacity(setting: NodeCapacity, quotas: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What a Node claims to have where the host's cannot be read.

    What `setting` names holds, then what the workload namespace's ResourceQuotas allow: the smallest where
    several limit the same. A quota that counts some pods only says nothing of a Node.
    """
    least: dict[str, str] = {}
    for quota in quotas:
        spec = quota.get("spec") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        for resource, amount in _amounts(spec.get("hard") or {}):
            if resource not in least or quantity.parse(amount) < quantity.parse(least[resource]):
                least[resource] = amount
    return NodeCapacity.DEFAULTS | least | setting.resources()


def _amounts(hard: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Resources of nodes that a quota limits, by the names that nodes give them."""
    for key, amount in hard.items():
        name = {"count/pods": "pods"}.get(key, key)
        for prefix in ("requests.", "limits."):
            name = name.removeprefix(prefix)
        if name in NodeCapacity.DEFAULTS or ("/" in name and key.startswith("requests.")):
            yield name, amount


def _silent() -> dict[str, tuple[str, str, str]]:
    return {kind: _CONDITIONS[kind] if kind == "NetworkUnavailable" else _UNKNOWN for kind in _CONDITIONS}


def _tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    """Kubernetes' own rule (Toleration.ToleratesTaint), for tolerations without an end."""
    if toleration.toleration_seconds is not None:
        return False
    if toleration.effect and toleration.effect != taint["effect"]:
        return False
    if toleration.key and toleration.key != taint["key"]:
        return False
    return toleration.operator == "Exists" or toleration.value == (taint.get("value") or "")
