"""The public input surface, as the Pulumi component analyzer and type checkers read it.

Rules of this module (the analyzer refuses anything else): TypedDicts with plain fields, no Literal, Union
other than Input and Optional, Enum, and no `from __future__ import annotations`. The docstring below a field
becomes its description in the schema for other languages, line breaks and all, so a long one is made of
several literals. What a value may be is checked in `k3k_pulumi.model`.
"""

# ruff: noqa: UP045

from collections.abc import Mapping, Sequence
from typing import Any, Optional, Required, TypedDict

import pulumi

from k3k_pulumi.fragment_types import Affinity, PodSecurityContext, ResourceRequirements, Toleration
from k3k_pulumi.pki_args import PkiArgs


class ImagesArgs(TypedDict, total=False):
    """Images in place of the default ones, as full references (`registry/name:tag` or `...@sha256:...`)."""

    server: Optional[str]
    """K3s, or kube-apiserver with the distribution `kubernetes`. Its version is what `version` says."""
    controller_manager: Optional[str]
    """kube-controller-manager; only with the distribution `kubernetes`."""
    etcd: Optional[str]
    """etcd; only with the distribution `kubernetes`."""
    kubelet: Optional[str]
    """The virtual kubelet, which also issues the control plane's certificates."""
    dns: Optional[str]
    """CoreDNS."""


class ExposeArgs(TypedDict, total=False):
    """How the cluster's API is reached from outside its own pods."""

    type: Optional[str]
    """`ClusterIP` (default), `NodePort` or `LoadBalancer`."""
    host: Optional[str]
    """DNS name or address that clients use; goes into the serving certificate. Required for `NodePort`."""
    node_port: Optional[int]
    """Port on the host's nodes, with `NodePort` or `LoadBalancer`. The host picks one by default."""
    source_cidrs: Optional[Sequence[str]]
    (
        "Address ranges that may connect. None by default: only the cluster's own pods may. With "
        "`NodePort` and `LoadBalancer`, packets carry a node's address by the time they are checked, unless "
        "`external_traffic_policy` is `Local`: the nodes' addresses have to be among these then."
    )
    external_traffic_policy: Optional[str]
    (
        "Of `NodePort` and `LoadBalancer`: `Cluster` (default), any node passes connections on, under its "
        "own address; `Local`, only nodes with a server do, and who connects is seen by his own address."
    )
    annotations: Optional[Mapping[str, str]]
    """Annotations of the API's Service, for load balancer controllers."""


class PersistenceArgs(TypedDict, total=False):
    """Where the cluster's datastore lies."""

    type: Optional[str]
    (
        "`dynamic` (default): a PersistentVolumeClaim. `ephemeral`: lost with the server's pod, or when its "
        "node loses power: no write waits for a disk. Cannot be changed later."
    )
    size: Optional[str]
    """Size of the claim, `5Gi` by default. It can grow later where the storage class allows that."""
    storage_class: Optional[str]
    """StorageClass of the claim; the host's default class when left out. Cannot be changed later."""


class ResourcesArgs(TypedDict, total=False):
    """Kubernetes resource requirements (`requests`, `limits`); each replaces its default as a whole."""

    server: Optional[ResourceRequirements]
    """The container of the API server (K3s, or kube-apiserver)."""
    kubelet: Optional[ResourceRequirements]
    """The container of the virtual kubelet."""
    dns: Optional[ResourceRequirements]
    """The container of CoreDNS."""


class DnsArgs(TypedDict, total=False):
    """The cluster's DNS: what it answers beyond the cluster's own names. docs/dns.md has more of it."""

    replicas: Optional[int]
    """Pods of CoreDNS: 1 (default), or 2 on different nodes of the host where there are any."""
    upstreams: Optional[Sequence[str]]
    (
        "Name servers for names outside the cluster: addresses, with a port where that is not 53. By default "
        "those that the node of CoreDNS' pod has."
    )
    stub_zones: Optional[Mapping[str, Sequence[str]]]
    """Name servers of single zones, for example `{"corp.example": ["10.0.0.53"]}`."""
    host_names: Optional[Sequence[str]]
    (
        "Services of the host whose names pods may look up, none by default: `<service>.<namespace>`, "
        "`*.<namespace>` or `*`. They are `<service>.<namespace>.svc.host.internal` inside."
    )
    host_domain: Optional[str]
    """DNS domain of the host's own cluster, `cluster.local` by default; of use with `host_names` alone."""
    source_cidrs: Optional[Sequence[str]]
    (
        "Address ranges that may ask beside the cluster's own pods: those of the nodes, where the policy "
        "lets pods use their network. None by default."
    )


class NodeCapacityArgs(TypedDict, total=False):
    """What the cluster's Nodes claim to have, as Kubernetes quantities. Nothing is scheduled by it."""

    cpu: Optional[str]
    """CPUs, for example `8`."""
    memory: Optional[str]
    """Memory, for example `32Gi`."""
    ephemeral_storage: Optional[str]
    """Local disk, for example `100Gi`."""
    pods: Optional[int]
    """Number of pods."""
    extended_resources: Optional[Mapping[str, int]]
    """Devices and the like, by the names that the host's nodes have them by: `{"example.com/gpu": 4}`."""


class VirtualClusterArgs(TypedDict, total=False):
    """Arguments of a VirtualCluster, all but `namespace` optional. It, `policy` and keys take Outputs."""

    namespace: Required[pulumi.Input[str]]
    """Host namespace of the cluster's workloads. Takes an Output. Required."""
    cluster_name: Optional[str]
    (
        "Name of the cluster, and the beginning of its host objects' names; the resource's name by default. "
        "Set to the old name, it lets the resource be renamed, with an alias, and nothing else. Cannot be "
        "changed later."
    )
    create_namespace: Optional[bool]
    """Whether the component makes `namespace` (default) or finds it."""
    control_plane_namespace: Optional[str]
    """Host namespace of the control plane, `<namespace>-<name>-control-plane` by default; not `namespace`."""
    create_control_plane_namespace: Optional[bool]
    (
        "Whether the component makes the control plane's namespace (default) or finds it. One that exists "
        "must admit pods of the Pod Security level `restricted`."
    )
    mode: Optional[str]
    """`shared` (default): workloads run as pods of the host."""
    distribution: Optional[str]
    """`k3s` (default) or `kubernetes`: what the control plane is. A change starts an empty cluster."""
    policy: Optional[pulumi.Input[Mapping[str, Any]]]
    (
        "`constraints` of a VirtualClusterPolicy. What they allow is the widest that the other arguments may "
        "ask for, and much of what is left out here is taken from them. docs/policy.md has each field. Takes "
        "an Output."
    )
    policy_from_namespace: Optional[bool]
    (
        "Whether `policy` is what a VirtualClusterPolicy left on `namespace`, which has to exist then. False "
        "by default."
    )
    version: Optional[str]
    """Version of the control plane: `v1.34.4+k3s1` (or `v1.34.4-k3s1`); for `kubernetes`, `v1.34.4`."""
    servers: Optional[int]
    """Number of servers. Only 1 so far."""
    kubelet_replicas: Optional[int]
    (
        "Processes of the virtual kubelet: 1 (default), or 2 on different nodes of the host where there are "
        "any: both serve logs and exec, one acts, and the other one goes on within 15 s of its death."
    )
    images: Optional[ImagesArgs]
    """Images in place of the default ones."""
    image_pull_secrets: Optional[Sequence[str]]
    """Names of Secrets in the control plane's namespace that hold registry credentials."""
    pki: Optional[PkiArgs]
    (
        "Keys of the cluster in place of new ones: its user's own, or those that it runs with already. When "
        "they are left out again, the cluster keeps the last ones. docs/takeover.md has more of it."
    )
    service_cidr: Optional[str]
    (
        "Address range of the cluster's Services, which have addresses of the host's: it has to contain the "
        "host's range, and on Kubernetes 1.33 and newer may be any of its IP family. By default it is found "
        "where the cluster runs. Cannot be changed later."
    )
    cluster_domain: Optional[str]
    """DNS domain inside the cluster, `cluster.local` by default. Pods keep the one they started with."""
    dns: Optional[DnsArgs]
    """The cluster's DNS."""
    expose: Optional[ExposeArgs]
    """How the cluster's API is reached from outside its own pods."""
    persistence: Optional[PersistenceArgs]
    """Where the cluster's datastore lies."""
    egress: Optional[str]
    (
        "What workloads may reach outside their cluster: `internet` (default: all but private ranges and "
        "`host_cidrs`), `none` or `all`."
    )
    host_cidrs: Optional[Sequence[str]]
    (
        "Address ranges of the host (pods, Services, nodes) beyond the private ones, denied to workloads. "
        "With the egress `internet`, a host that has addresses in other ranges than these is refused."
    )
    egress_cidrs: Optional[Sequence[str]]
    (
        "Address ranges that workloads, and the control plane with them, may reach beyond what `egress` "
        "says, private ones too. Clouds' metadata addresses are left out of ranges that have more than these."
    )
    require_network_policy: Optional[bool]
    (
        "Whether the cluster is ready only when a Job in `namespace` has proved that the host's network "
        "plugin enforces NetworkPolicies, in both directions. False by default."
    )
    ready_timeout: Optional[str]
    (
        "How long a deployment waits until the servers, the virtual kubelet and the DNS are ready, and then "
        "until the API answers where it runs: like `90s`, `5m` or `1h30m`, `10m` by default. After that it "
        "fails and says why; docs/recovery.md has what to do."
    )
    resources: Optional[ResourcesArgs]
    """Resource requirements of the control plane's containers."""
    node_selector: Optional[Mapping[str, str]]
    """Node selector of the control plane's pods."""
    tolerations: Optional[Sequence[Toleration]]
    """Tolerations of the control plane's pods, as in a pod's spec."""
    affinity: Optional[Affinity]
    """Affinity of the control plane's pods, as in a pod's spec."""
    priority_class: Optional[str]
    """PriorityClass of the control plane's pods."""
    runtime_class: Optional[str]
    """RuntimeClass of the control plane's pods."""
    host_users: Optional[bool]
    """Whether these pods run in their node's user namespace; False gives each one of its own."""
    security_context: Optional[PodSecurityContext]
    (
        "Security context of the control plane's pods, as in a pod's spec, over the default one; within what "
        "the Pod Security level `restricted` allows."
    )
    mirror_host_nodes: Optional[bool]
    (
        "Whether the cluster shows all Nodes of the host that its pods may run on, as they are there, rather "
        "than a Node for each that runs one of its pods. Gives the virtual kubelet the right to read all "
        "Nodes of the host, by a ClusterRole of its own. False by default."
    )
    admission_policy: Optional[bool]
    (
        "Whether the host's API server itself refuses pods of the virtual kubelet that `pods` does not "
        "allow, by a ValidatingAdmissionPolicy of the cluster's own: a second wall behind the kubelet's. "
        "Needs Kubernetes 1.30 on the host, and the right to make such policies. False by default."
    )
    node_capacity: Optional[NodeCapacityArgs]
    (
        "What the cluster's Nodes claim to have, without `mirror_host_nodes`. By default what ResourceQuotas "
        "of `namespace` allow, and large figures where there are none."
    )
    pods: Optional[Mapping[str, Any]]
    (
        'What the tenant\'s pods may be, for example `{"volumeTypes": ["configMap", "secret"]}`. '
        "docs/shared-mode.md has all keys; what is left out has the default there."
    )
    sync: Optional[Mapping[str, Any]]
    (
        "What is copied between the cluster and its host beside pods, kind by kind, for example "
        '`{"to_host": {"ingresses": {"enabled": True, "hosts": ["*.team.example.com"]}}}`. docs/sync.md '
        "has all keys and their defaults."
    )
    labels: Optional[Mapping[str, str]]
    """Labels added to every object the component makes."""
    annotations: Optional[Mapping[str, str]]
    """Annotations added to every object the component makes."""
