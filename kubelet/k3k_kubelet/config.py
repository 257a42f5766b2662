"""The kubelet's configuration: one JSON document made by the library, and where its other files are."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

MAX_NODES = 1000
"""Most virtual Nodes of a cluster: each has a port of its own for its kubelet API."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the text names the file and the field."""


class NodeCapacity(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", omit_defaults=True
):
    """What a virtual Node claims to have, where the host's Nodes cannot be read.

    Nothing inside schedules by it: the host's scheduler places the pods, by what its nodes really have. The
    figures are what `kubectl describe node` shows. What is None comes from the ResourceQuotas of the workload
    namespace, else from DEFAULTS.
    """

    DEFAULTS: ClassVar[dict[str, str]] = {
        "cpu": "64",
        "memory": "256Gi",
        "ephemeral-storage": "1Ti",
        "pods": "1000",
    }

    cpu: str | None = None
    memory: str | None = None
    ephemeral_storage: str | None = None
    pods: str | None = None
    extended_resources: dict[str, str] = {}

    def resources(self) -> dict[str, str]:
        """Those that are set, by their names in Node.status.capacity."""
        found = {
            "cpu": self.cpu,
            "memory": self.memory,
            "ephemeral-storage": self.ephemeral_storage,
            "pods": self.pods,
        }
        return {
            name: amount for name, amount in found.items() if amount is not None
        } | self.extended_resources


class Paths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Folders and files of the kubelet's pod.

    Attributes:
        tls: server-ca.crt, client-ca.{crt,key}, kubelet-serving-ca.{crt,key}, request-header-ca.crt.
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
        mirror_host_nodes: Whether all Nodes of the host appear inside, as they are there; takes the right to
            read them.
        unused_node_seconds: How long no pod must have named a Node before it goes.
        denied_cidrs: Where the cluster's pods may not connect to; EndpointSlices of a tenant's own lead to no
            such address that is not a pod's of the cluster.
        name_servers: Whether they may, all the same, connect to port 53 there.
        host_ranges: Where the host's own addresses (nodes, pods, Services) have to be: what `denied_cidrs`
            leaves open must not contain any that nobody gave. Empty: anywhere.
        paths: Where files are.
        health_port: Port of /livez and /readyz.
        extension_port: Port for the virtual API server's aggregator and webhooks. The NetworkPolicies open
            9443.
        extension_address: Address at which the API server calls webhooks; by default the ClusterIP of
            `service`.
        api_address: Address of the API server that pods and `default/kubernetes` get; by default the one by
            which this process reaches it.
        dual_stack: Whether the virtual API server has ranges of both IP families for Services.
        admission_seconds: How long the creation of a Service may take inside after its admission. The host's
            Service goes then, unless there is one inside. An API server ends requests after 60 s.
        first_port: Port of the first Node's kubelet API. The NetworkPolicies open 10250-11249.
        address: Address at which the kubelet API listens; all of the machine's by default.
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
    mirror_host_nodes: bool = False
    unused_node_seconds: float = 60.0
    denied_cidrs: tuple[str, ...] = ("0.0.0.0/0", "::/0")
    name_servers: bool = False
    host_ranges: tuple[str, ...] = ()
    paths: Paths = Paths()
    health_port: int = 8081
    first_port: int = 10250
    extension_port: int = 9443
    extension_address: str = ""
    api_address: str = ""
    dual_stack: bool = False
    admission_seconds: float = 90.0
    address: str = ""


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
