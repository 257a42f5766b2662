"""What holds for every pod that a virtual cluster has on the host, whatever its tenant wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from k3k_kubelet.policy import BASELINE_CAPABILITIES, SAFE_SYSCTLS

from kubelet.tests.translate.invariants import members, references
from tests.e2e.support.clusters import PREFIX

VOLUMES = {"configMap", "downwardAPI", "emptyDir", "image", "persistentVolumeClaim", "projected", "secret"}
SOURCES = {"configMap", "downwardAPI", "secret"}
FOREVER = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
POWERS = {"hostIPC", "hostNetwork", "hostPID", "privileged", "hostPort", "hostIP"}
NEVER = {
    "ephemeralContainers",
    "nominatedNodeName",
    "priorityClassName",
    "resourceClaims",
    "runtimeClassName",
}


def copies_of(cluster: str, namespace: str, objects: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Those of the host's objects that say they are of that virtual namespace, by label or annotation."""
    wanted = {f"{PREFIX}cluster": cluster, f"{PREFIX}namespace": namespace}
    found = []
    for each in objects:
        metadata = each["metadata"]
        if any((metadata.get(part) or {}).items() >= wanted.items() for part in ("labels", "annotations")):
            found.append(each)
    return found


def broken(
    cluster: str, namespace: str, host_pod: Mapping[str, Any], objects: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """What a host pod has that it must not have.

    Args:
        cluster: name of the virtual cluster.
        namespace: the pod's namespace inside.
        host_pod: its copy, as the host's API server has it.
        objects: ConfigMaps, Secrets and claims of the workload namespace.
    """
    metadata, spec = host_pod["metadata"], host_pod["spec"]
    yield from _broken_metadata(cluster, namespace, metadata)
    expected = {
        "serviceAccountName": f"{cluster}-workload",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "schedulerName": "default-scheduler",
        "priority": 0,
    }
    yield from (f"spec.{key} is {spec.get(key)!r}" for key in expected if spec.get(key) != expected[key])
    yield from (f"spec.{key} is there" for key in NEVER & spec.keys())
    if any("f:nodeName" in (each["fieldsV1"].get("f:spec") or {}) for each in metadata["managedFields"]):
        yield "spec.nodeName was not the scheduler's choice"
    for toleration in spec.get("tolerations", ()):
        if toleration.get("key") not in FOREVER or toleration.get("effect") != "NoExecute":
            yield f"tolerates {toleration}"
    for volume in spec.get("volumes", ()):
        kinds = volume.keys() - {"name"}
        sources = {kind for each in volume.get("projected", {}).get("sources", ()) for kind in each}
        if not kinds <= VOLUMES or not sources <= SOURCES:
            yield f"volume {volume}"
    own = {each["metadata"]["name"] for each in copies_of(cluster, namespace, objects)}
    there = {each["metadata"]["name"] for each in objects}
    for path, key, value, around in members({key: spec[key] for key in spec if key != "nodeSelector"}):
        yield from _broken_member(cluster, path, key, value)
        for name in references(key, value, around):
            if name in there - own:
                yield f"spec{path} refers to {name}, which is not the tenant's"


def _broken_metadata(cluster: str, namespace: str, metadata: Mapping[str, Any]) -> Iterator[str]:
    labels, annotations = metadata["labels"], metadata["annotations"]
    expected = {
        f"{PREFIX}cluster": cluster,
        f"{PREFIX}namespace": namespace,
        f"{PREFIX}component": "workload",
    }
    yield from (f"label {key} is {labels.get(key)!r}" for key in expected if labels.get(key) != expected[key])
    for key in (*labels, *annotations):
        domain = key.rpartition("/")[0]
        if f"{domain}/" != PREFIX and not domain.endswith(f".{PREFIX[:-1]}"):
            yield f"label or annotation {key} is not ours"
    owners = [(each["kind"], each["name"], each.get("controller")) for each in metadata["ownerReferences"]]
    if owners != [("ConfigMap", f"{cluster}-anchor", True)]:
        yield f"owners {owners}"
    if metadata.get("finalizers"):
        yield f"finalizers {metadata['finalizers']}"


def _broken_member(cluster: str, path: str, key: str, value: Any) -> Iterator[str]:
    if key in POWERS and value:
        yield f"spec{path} is {value!r}"
    if key == "host" and value and ".httpHeaders" not in path:
        yield f"spec{path} is {value!r}"
    if key == "add" and not set(value) <= set(BASELINE_CAPABILITIES):
        yield f"spec{path} is {value!r}"
    if key == "sysctls" and not {each["name"] for each in value} <= set(SAFE_SYSCTLS):
        yield f"spec{path} is {value!r}"
    if key in ("seccompProfile", "appArmorProfile") and value.get("type") != "RuntimeDefault":
        yield f"spec{path} is {value!r}"
    if key == "labelSelector" and value["matchLabels"].get(f"{PREFIX}cluster") != cluster:
        yield f"spec{path} is not limited to the cluster"
