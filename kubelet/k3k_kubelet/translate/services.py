"""The variables by which containers find Services, as the kubelet of Kubernetes makes them.

A kubelet gives them the lowest rank: `env` and `envFrom` of the container win, and `$(NAME)` in `env` finds
them. The one place of that rank which a pod can name is the first source of `envFrom`: a ConfigMap of ours,
one for each virtual namespace. As on any node, a container that starts again gets the variables of the day.

Source of the rules: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables, getServiceEnvVarMap) and
pkg/kubelet/envvars of Kubernetes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_kubelet.translate import config
from k3k_kubelet.translate.objects import Cluster, Object

LINKS = ":service-links"
"""What the ConfigMap with all variables of a namespace stands for; no object inside can have that name."""
KUBERNETES = ":kubernetes"
"""The same for the one without the namespace's Services, for pods with `enableServiceLinks: false`."""

MAX_BYTES = 1_000_000
"""Of names and values: a ConfigMap takes 1 MiB. Services in the order of their names, as many as fit."""


def source(spec: Mapping[str, Any]) -> str:
    """Name of the ConfigMap that a pod with this spec gets its variables from."""
    return KUBERNETES if spec.get("enableServiceLinks") is False else LINKS


def config_map(cluster: Cluster, namespace: str, name: str, services: Iterable[Mapping[str, Any]]) -> Object:
    """The host's ConfigMap with the variables of a namespace.

    Args:
        cluster: the virtual cluster.
        namespace: the namespace inside.
        name: LINKS or KUBERNETES.
        services: the namespace's Services; unused for KUBERNETES.
    """
    data = kubernetes(cluster)
    if name == LINKS:
        size = _size(data)
        for service in sorted(services, key=lambda each: str(each["metadata"]["name"])):
            found = variables(service)
            size += _size(found)
            if size > MAX_BYTES:
                break
            data |= found
    return config.config_map_to_host(
        {"metadata": {"name": name, "namespace": namespace}, "data": data}, cluster
    )


def kubernetes(cluster: Cluster) -> dict[str, str]:
    """Variables that lead a pod to its own API server, as those of the Service `default/kubernetes`."""
    ports = [{"name": "https", "port": cluster.api_port}]
    return variables(
        {"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": cluster.api_host, "ports": ports}}
    )


def variables(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables of one Service; none for one without an address of its own (headless, ExternalName)."""
    spec = service.get("spec") or {}
    address, ports = spec.get("clusterIP") or "None", spec.get("ports") or ()
    if address == "None" or not ports:
        return {}
    prefix = _name(service["metadata"]["name"])
    made = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            made[f"{prefix}_SERVICE_PORT_{_name(port['name'])}"] = str(port["port"])
    joined = f"[{address}]" if ":" in address else address
    for n, port in enumerate(ports):
        protocol, number = port.get("protocol") or "TCP", str(port["port"])
        url = f"{protocol.lower()}://{joined}:{number}"
        if n == 0:
            made[f"{prefix}_PORT"] = url
        of_port = f"{prefix}_PORT_{number}_{protocol.upper()}"
        made[of_port] = url
        made[f"{of_port}_PROTO"] = protocol.lower()
        made[f"{of_port}_PORT"] = number
        made[f"{of_port}_ADDR"] = address
    return made


def _name(text: str) -> str:
    return text.upper().replace("-", "_")


def _size(data: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in data.items())
