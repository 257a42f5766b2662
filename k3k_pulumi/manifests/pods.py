"""What every infrastructure pod shares: security, placement, resources, and how it reads its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects
from k3k_pulumi.model import quantity

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

USER = 65532
"""User and group of every infrastructure container."""

_MEBIBYTE = 2**20


def template(
    spec: VirtualClusterSpec,
    component: str,
    *,
    service_account: str,
    mounts_token: bool,
    config: Iterable[str],
    pod: Mapping[str, Any],
) -> dict[str, Any]:
    """The pod template of a component.

    Args:
        spec: The cluster.
        component: Value of the component label.
        service_account: Name of the host ServiceAccount.
        mounts_token: Whether the pod calls the host's API.
        config: The texts that the pod reads at its start: when one changes, the pod is made anew.
        pod: The rest of the pod's spec: containers, volumes, ...
    """
    digest = hashlib.sha256("\0".join(config).encode()).hexdigest()
    annotations = {**spec.annotations, objects.CHECKSUM: digest}
    return {
        "metadata": {"labels": objects.labels(spec, component), "annotations": annotations},
        "spec": {
            "serviceAccountName": service_account,
            "automountServiceAccountToken": mounts_token,
            # The environment carries the API Service's ClusterIP.
            "enableServiceLinks": True,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
                **spec.security_context,
            },
            **_placement(spec),
            **pod,
        },
    }


def apart(spec: VirtualClusterSpec, component: str, replicas: int) -> dict[str, Any]:
    """Affinity that puts two replicas on different nodes, if it can be; the user's own rules come first.

    A Deployment's pods look at those of their own revision alone: in an update the pod that is about to go
    would drive the new ones to the same node.
    """
    if replicas == 1:
        return {}
    others = {"matchLabels": objects.selector(spec, component)}
    term = {
        "labelSelector": others,
        "matchLabelKeys": ["pod-template-hash"],
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    anti_affinity = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    return {"affinity": {"podAntiAffinity": anti_affinity, **spec.affinity}}


def container_security(*, add: Iterable[str] = ()) -> dict[str, Any]:
    """Security context of a container; `add` names capabilities it needs to be executed at all."""
    capabilities: dict[str, Any] = {"drop": ["ALL"]}
    if add:
        capabilities["add"] = list(add)
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": capabilities,
    }


def sizes(cpu: str, memory: str, limit: str) -> dict[str, Any]:
    """Resource requirements: requests, and a limit for memory, which a tenant could otherwise use up."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def go_memory_limit(resources: Mapping[str, Any]) -> list[dict[str, str]]:
    """Environment of a Go program: it collects garbage before its container's memory limit ends it."""
    limit = resources.get("limits", {}).get("memory")
    mebibytes = int(quantity.parse(limit or 0) * 9 / 10) // _MEBIBYTE
    return [{"name": "GOMEMLIMIT", "value": f"{mebibytes}MiB"}] if mebibytes else []


def http_probe(
    port: int, path: str, *, headers: Iterable[Mapping[str, Any]] = (), https: bool = False
) -> Any:
    """An httpGet probe of every second. The time-out leaves room for a busy node; success is seen at once."""
    get: dict[str, Any] = {"path": path, "port": port, "scheme": "HTTPS" if https else "HTTP"}
    if headers:
        get["httpHeaders"] = list(headers)
    return {"httpGet": get, "periodSeconds": 1, "timeoutSeconds": 5}


def startup(probe: Mapping[str, Any], seconds: int) -> dict[str, Any]:
    """The probe as a startup probe: the container has `seconds` to come up before it is restarted."""
    return {**probe, "failureThreshold": seconds}


def liveness(probe: Mapping[str, Any]) -> dict[str, Any]:
    """The probe as a liveness probe: patient, as a restart makes an overload worse."""
    return {**probe, "periodSeconds": 10, "timeoutSeconds": 15, "failureThreshold": 6}


def readiness(probe: Mapping[str, Any]) -> dict[str, Any]:
    """The probe as a readiness probe."""
    return {**probe, "failureThreshold": 3}


def memory_volume(name: str, limit: str) -> dict[str, Any]:
    """A volume for keys and scratch files, which never reach a disk."""
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": limit}}


def secret_files(*files: tuple[str, str, str]) -> dict[str, Any]:
    """A projected volume of (Secret, key, file name), in the order given."""
    by_secret: dict[str, list[dict[str, str]]] = {}
    for secret, key, path in files:
        by_secret.setdefault(secret, []).append({"key": key, "path": path})
    sources = [{"secret": {"name": secret, "items": items}} for secret, items in by_secret.items()]
    return {"projected": {"sources": sources, "defaultMode": 0o440}}


def _placement(spec: VirtualClusterSpec) -> dict[str, Any]:
    given = {
        "nodeSelector": spec.node_selector,
        "tolerations": spec.tolerations,
        "affinity": spec.affinity,
        "priorityClassName": spec.priority_class,
        "runtimeClassName": spec.runtime_class,
        "imagePullSecrets": [{"name": name} for name in spec.image_pull_secrets],
    }
    users = {} if spec.host_users is None else {"hostUsers": spec.host_users}
    return {key: value for key, value in given.items() if value} | users
