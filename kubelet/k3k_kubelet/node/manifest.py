"""What a virtual Node and its Lease look like, and what has to change in those there are. Pure functions."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Set
from typing import Any

from k3k_kubelet import quantity
from k3k_kubelet.config import Config
from k3k_kubelet.events import micro_timestamp, timestamp
from k3k_kubelet.node.facts import Facts
from k3k_kubelet.translate import identity
from k3k_kubelet.translate.names import DOMAIN

Object = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
"""As Kubernetes' kubelet; the node lifecycle controller looks at how long ago the Lease changed."""

STATUS_SECONDS = 300.0
"""How old heartbeat times in Node.status get, as Kubernetes' kubelet has them when nothing changes."""

OURS = f"{DOMAIN}/node"
"""Annotation of a Node: which of its labels and taints are ours, as JSON; all others are the tenant's."""


def node(name: str, port: int, address: str, config: Config, facts: Facts) -> Object:
    """A virtual Node.

    Args:
        name: The host node's name.
        port: Port of its kubelet API.
        address: ClusterIP of the kubelet's Service.
        config: The kubelet's configuration.
        facts: What it says of itself.
    """
    labels = {**facts.labels, identity.CLUSTER: config.cluster}
    ours = {"labels": sorted(labels), "taints": [_taint_id(each) for each in facts.taints]}
    annotations = {OURS: json.dumps(ours, separators=(",", ":"))}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"taints": facts.taints} if facts.taints else {},
        "status": _status(name, port, address, config, facts),
    }


def _status(name: str, port: int, address: str, config: Config, facts: Facts) -> Object:
    now = timestamp()
    return {
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ],
        "capacity": facts.capacity,
        "allocatable": facts.allocatable,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "kubeProxyVersion": "",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            **facts.info,
            # That of the API served here. The host's own may be one that this API server does not support.
            "kubeletVersion": config.version,
        },
        "conditions": [
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }
            for kind, (value, reason, message) in facts.conditions.items()
        ],
    }


def change(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object | None:
    """The JSON merge patch that gives a Node our labels, taints and annotation, and leaves it the tenant's.

    Returns:
        A patch tied to the version of `found`; None if it has them.
    """
    metadata, target = found["metadata"], wanted["metadata"]
    before = _ours(metadata)
    labels = _difference(metadata.get("labels") or {}, target["labels"], before["labels"])
    annotations = _difference(metadata.get("annotations") or {}, target["annotations"], ())
    present = (found.get("spec") or {}).get("taints") or []
    ours = wanted["spec"].get("taints") or []
    replaced = {*before["taints"], *(_taint_id(each) for each in ours)}
    taints = [each for each in present if _taint_id(each) not in replaced] + ours
    made: Object = {}
    if labels or annotations:
        parts = {"labels": labels, "annotations": annotations}
        made["metadata"] = {key: value for key, value in parts.items() if value}
    if _sorted(taints) != _sorted(present):
        made["spec"] = {"taints": taints}
    return _tied(made, metadata) if made else None


def status_change(found: Mapping[str, Any], wanted: Mapping[str, Any], *, answers: bool) -> Object | None:
    """The JSON merge patch of the status.

    Args:
        found: The Node.
        wanted: As it should be.
        answers: Whether its host node is heard of: if so, its heartbeat times are kept young.

    Returns:
        A patch tied to the version of `found`; None if all is as wanted. Conditions that are not ours stay,
        ours keep the time of their last transition.
    """
    status, target = found.get("status") or {}, wanted["status"]
    made: Object = {}
    for key in ("addresses", "daemonEndpoints"):
        if status.get(key) != target[key]:
            made[key] = target[key]
    for key in ("capacity", "allocatable"):
        difference = _amounts(status.get(key) or {}, target[key])
        if difference:
            made[key] = difference
    info = _difference(status.get("nodeInfo") or {}, target["nodeInfo"], ())
    if info:
        made["nodeInfo"] = info
    conditions = status.get("conditions") or []
    if _differ(conditions, target["conditions"]) or (answers and _is_stale(conditions)):
        made["conditions"] = _merged(conditions, target["conditions"])
    return _tied({"status": made}, found["metadata"]) if made else None


def lease(name: str, node_uid: str) -> Object:
    """The Lease of a Node, renewed at this moment, deleted with the Node."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": micro_timestamp(),
        },
    }


def port_of(node_object: Mapping[str, Any]) -> int | None:
    """Port of a Node's kubelet API, None if it has none."""
    endpoints = (node_object.get("status") or {}).get("daemonEndpoints") or {}
    port = (endpoints.get("kubeletEndpoint") or {}).get("Port")
    return port if isinstance(port, int) and port > 0 else None


def address_of(node_object: Mapping[str, Any]) -> str | None:
    """InternalIP of a Node, None if it has none."""
    addresses = (node_object.get("status") or {}).get("addresses") or ()
    return next((each["address"] for each in addresses if each["type"] == "InternalIP"), None)


def service_ports(ports: Set[int], config: Config) -> list[Object]:
    """Ports of the kubelet's Service: the extension server's, the first Node's, those of further Nodes.

    Args:
        ports: Those of Nodes.
        config: The kubelet's configuration.
    """
    first = config.first_port
    named = {"extension": config.extension_port}
    named |= {f"node-{port - first}": port for port in sorted(ports | {first})}
    return [
        {"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in named.items()
    ]


def _tied(patch: Object, metadata: Mapping[str, Any]) -> Object:
    version = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    return {**patch, "metadata": {**patch.get("metadata", {}), **version}}


def _ours(metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    """Which labels and taints we gave a Node. The annotation is the tenant's to write: it may be anything."""
    try:
        found = json.loads((metadata.get("annotations") or {}).get(OURS, "{}"))
    except (ValueError, RecursionError):
        found = None
    parts = found if isinstance(found, dict) else {}
    lists = {key: parts.get(key) for key in ("labels", "taints")}
    return {
        key: [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
        for key, value in lists.items()
    }


def _taint_id(taint: Mapping[str, Any]) -> str:
    return f"{taint['key']}:{taint['effect']}"


def _sorted(taints: list[Object]) -> list[Object]:
    return sorted(taints, key=_taint_id)


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], removable: Any) -> dict[str, Any]:
    """The merge patch of a map; of what is not wanted, it removes the keys in `removable`."""
    changed = {key: value for key, value in wanted.items() if found.get(key) != value}
    return changed | dict.fromkeys(key for key in removable if key in found and key not in wanted)


def _amounts(found: Mapping[str, str], wanted: Mapping[str, str]) -> Object:
    """The merge patch of a map of quantities, which API servers write as they like: 1000 pods as 1k."""
    changed = {key: value for key, value in wanted.items() if not _is_amount(found.get(key, ""), value)}
    return changed | dict.fromkeys(key for key in found if key not in wanted)


def _is_amount(found: str, wanted: str) -> bool:
    """Whether a quantity is another one, maybe spelled otherwise. Go reads some that we do not (5e0003)."""
    try:
        return found == wanted or quantity.parse(found) == quantity.parse(wanted)
    except ValueError:
        return False


def _differ(found: list[Object], wanted: list[Object]) -> bool:
    present = {each["type"]: each for each in found}
    for each in wanted:
        other = present.get(each["type"], {})
        # The node lifecycle controller has reasons of its own for a Node that is silent.
        keys = ("status",) if each["status"] == "Unknown" else ("status", "reason", "message")
        if any(each[key] != other.get(key, "") for key in keys):
            return True
    return False


def _is_stale(conditions: list[Object]) -> bool:
    ready = next((each for each in conditions if each["type"] == "Ready"), {})
    beat = ready.get("lastHeartbeatTime")
    if not beat:
        return True
    try:
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(beat)
    except ValueError:  # the year 0, which Go has
        return True
    return not -STATUS_SECONDS < age.total_seconds() < STATUS_SECONDS


def _merged(found: list[Object], wanted: list[Object]) -> list[Object]:
    before = {each["type"]: each for each in found}
    ours = []
    for each in wanted:
        old = before.pop(each["type"], {})
        same = old.get("status") == each["status"] and old.get("lastTransitionTime")
        ours.append({**each, "lastTransitionTime": old["lastTransitionTime"]} if same else each)
    return ours + list(before.values())
