"""The kubelet's configuration: one JSON document made by the library, and where its other files are."""

from __future__ import annotations

from pathlib import Path

import msgspec

MAX_NODES = 1000
"""Most virtual Nodes of a cluster: each has a port of its own for its kubelet API."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the text names the file and the field."""


class NodeCapacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What a virtual Node claims to have.

    Nothing inside schedules by it: the host's scheduler places the pods, by what its nodes really have. The
    figures are what `kubectl describe node` shows, and large, because to read the host's Nodes takes a
    cluster-scoped right, which this kubelet does not have.
    """

    cpu: str = "64"
    memory: str = "256Gi"
    ephemeral_storage: str = "1Ti"
    pods: str = "1000"

    def resources(self) -> dict[str, str]:
        """As in Node.status.capacity."""
        return {
            "cpu": self.cpu,
            "memory": self.memory,
            "ephemeral-storage": self.ephemeral_storage,
            "pods": self.pods,
        }


class Paths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Folders and files of the kubelet's pod.

    Attributes:
        tls: server-ca.crt, client-ca.{crt,key}, kubelet-serving-ca.{crt,key}.
        policy: policy.json, re-read live.
        run: Writable, in memory: issued certificates.
        credentials: token and ca.crt of the service account on the host.
    """

    tls: Path = Path("/etc/k3k-kubelet/tls")
    policy: Path = Path("/etc/k3k-kubelet/policy")
    run: Path = Path("/run/k3k-kubelet")
    credentials: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`config.json`.

    Attributes:
        cluster: Name of the virtual cluster.
        namespace: Host namespace of its pods.
        control_plane_namespace: Host namespace of its control plane.
        anchor: ConfigMap in `namespace` that owns all we make there.
        service: Service in `control_plane_namespace` that leads to this process.
        lease: Lease in `control_plane_namespace` that says which process acts.
        service_account: Service account of the host pods.
        cluster_domain: DNS domain inside.
        version: The virtual cluster's Kubernetes version, such as `v1.34.4`.
        node_capacity: What virtual Nodes claim to have.
        paths: Where files are.
        health_port: Port of /livez and /readyz.
        first_port: Port of the first Node's kubelet API. The NetworkPolicies open 10250-11249.
    """

    cluster: str
    namespace: str
    control_plane_namespace: str
    anchor: str
    service: str
    lease: str
    service_account: str
    cluster_domain: str
    version: str
    node_capacity: NodeCapacity = NodeCapacity()
    paths: Paths = Paths()
    health_port: int = 8081
    first_port: int = 10250


def load(path: Path) -> Config:
    """Reads `config.json`.

    Raises:
        ConfigError: The file is missing, no JSON, or a field is missing, unknown or of the wrong type.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config, dec_hook=_decode)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
