"""What holds for every host pod of the baseline policy, whatever the tenant wrote."""

from collections.abc import Iterator
from typing import Any

from k3k_kubelet.policy import BASELINE_CAPABILITIES, SAFE_SYSCTLS
from k3k_kubelet.translate import HostPod, names

from kubelet.tests.translate.builders import CLUSTER, OWNER

CLUSTER_LABEL = "k3k-pulumi.io/cluster"
NEVER = {
    "clusterTrustBundle",
    "evictionResponders",
    "namespaceSelector",
    "namespaces",
    "nodeName",
    "overhead",
    "podCertificate",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "resourceClaimName",
    "resourceClaimTemplateName",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "schedulingGroup",
    "serviceAccount",
    "serviceAccountToken",
    "windowsOptions",
}
"""Keys that no host pod of the baseline policy has anywhere."""
POWERS = {"hostIPC", "hostNetwork", "hostPID", "privileged"}
VOLUMES = {
    "name",
    "configMap",
    "downwardAPI",
    "emptyDir",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
TEXT = (
    "metadata.annotations['k3k-pulumi.io/",
    "metadata.labels['",
    "metadata.annotations['",
)
PLAIN = {"spec.nodeName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}


def members(value: Any, path: str = "") -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """Every (path, key, value, object around it) below a value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}", key, item, value
            yield from members(item, f"{path}.{key}")
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from members(item, f"{path}[{n}]")


def broken(made: HostPod, pod: dict[str, Any]) -> Iterator[str]:
    """What a host pod has that it must not have."""
    metadata, spec = made.manifest["metadata"], made.manifest["spec"]
    yield from broken_metadata(metadata, pod)
    if (spec["serviceAccountName"], spec["automountServiceAccountToken"], spec["enableServiceLinks"]) != (
        CLUSTER.service_account,
        False,
        False,
    ):
        yield "the service account"
    for volume in spec.get("volumes", ()):
        if not volume.keys() <= VOLUMES:
            yield f"volume {volume}"
    yield from broken_parts(spec, allowed(made, pod))


def broken_parts(spec: dict[str, Any], own: set[str]) -> Iterator[str]:
    """What the spec of a pod or of a container has that it must not have.

    Args:
        spec: as the host gets it.
        own: host names of the objects that it may refer to.
    """
    for path, key, value, around in members(spec):
        free = ".env[" in path or ".limits." in path or ".requests." in path or ".nodeSelector." in path
        if key in NEVER and not free:
            yield path
        if key in POWERS and value:
            yield path
        if key == "hostPort" or (key in ("host", "hostIP") and value and "items" not in path):
            yield path
        if key == "add" and not set(value) <= set(BASELINE_CAPABILITIES):
            yield path
        if key == "sysctls" and not {each["name"] for each in value if "name" in each} <= set(SAFE_SYSCTLS):
            yield path
        if key in ("seccompProfile", "appArmorProfile") and value.get("type") != "RuntimeDefault":
            yield path
        if key == "labelSelector" and value["matchLabels"].get(CLUSTER_LABEL) != CLUSTER.name:
            yield path
        if key == "fieldPath" and value not in PLAIN and not value.startswith(TEXT):
            yield path
        if key == "fieldPath" and "['" in value and not names.is_reserved(value.split("'")[1]):
            yield path
        yield from (f"{path}: {name}" for name in references(key, value, around) if name not in own)


def broken_metadata(metadata: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    if metadata.keys() != {"name", "namespace", "labels", "annotations", "ownerReferences"}:
        yield "the metadata's fields"
    own = pod["metadata"]
    expected = {
        CLUSTER_LABEL: "team",
        "k3k-pulumi.io/namespace": own["namespace"],
        "k3k-pulumi.io/component": "workload",
    }
    if metadata["labels"].items() < expected.items() or metadata["labels"] | expected != metadata["labels"]:
        yield "the identity labels"
    if [key for key in (*metadata["labels"], *metadata["annotations"]) if not names.is_reserved(key)]:
        yield "a key outside our domain"
    if metadata["annotations"]["k3k-pulumi.io/uid"] != own["uid"]:
        yield "the uid"
    if metadata["ownerReferences"] != [OWNER] or metadata["namespace"] != CLUSTER.namespace:
        yield "the owner or the namespace"


def references(key: str, value: Any, around: dict[str, Any]) -> Iterator[str]:
    """Names of objects that a member of a pod's spec refers to."""
    if key in ("configMapRef", "configMapKeyRef", "secretRef", "secretKeyRef"):
        yield from (value[name] for name in ("name",) if name in value)
    elif key in ("secretName", "claimName"):
        yield value
    elif key in ("configMap", "secret") and ("name" not in around or isinstance(value, dict)):
        yield from (value[name] for name in ("name", "secretName") if name in value)
    elif key == "imagePullSecrets":
        yield from (each["name"] for each in value)


def allowed(made: HostPod, pod: dict[str, Any]) -> set[str]:
    """Host names that the pod may refer to: copies from its own namespace, and its token Secret."""
    own = pod["metadata"]
    found = {each.host_name for each in made.config_maps | made.secrets | made.claims}
    assert found == {
        names.host_name("team", own["namespace"], each.name)
        for each in made.config_maps | made.secrets | made.claims
    }
    return found | {names.token_secret_name("team", own["namespace"], own["name"], own["uid"])}
