"""Objects the tests put into a dev cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devcluster.images import AGNHOST, BUSYBOX

__all__ = ["AGNHOST", "BUSYBOX", "claim", "pod", "service"]


def pod(
    name: str,
    command: Sequence[str],
    *,
    image: str = BUSYBOX,
    node: str | None = None,
    labels: Mapping[str, str] | None = None,
    claim: str | None = None,
    host_port: int | None = None,
    security: Mapping[str, Any] | None = None,
    restart: str = "Always",
) -> dict[str, Any]:
    """A pod with one container `main`; a claim is mounted at /data; ends at once when it is deleted."""
    container: dict[str, Any] = {"name": "main", "image": image, "command": list(command)}
    container["imagePullPolicy"] = "Never"
    spec: dict[str, Any] = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "restartPolicy": restart,
        "dnsPolicy": "Default",
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    if host_port:
        container["ports"] = [{"containerPort": 80, "hostPort": host_port}]
    if security:
        container["securityContext"] = dict(security)
    metadata = {"name": name, "labels": dict(labels or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def claim(name: str) -> dict[str, Any]:
    """A claim for a volume of the default class."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def service(name: str, port: int, *, dual: bool = False) -> dict[str, Any]:
    """A Service for the pods with the label app=<name>."""
    spec: dict[str, Any] = {"selector": {"app": name}, "ports": [{"port": port}]}
    if dual:
        spec["ipFamilyPolicy"] = "RequireDualStack"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
