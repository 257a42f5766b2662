"""What is copied between the two clusters beside pods and what they use, kind by kind.

The direction is part of a kind's place: each has one that is safe. `toHost` are objects of the tenant that
the host acts on, `fromHost` are objects of the host that are shown inside.
"""

import ipaddress
from typing import Annotated, Literal

from msgspec import Meta, field

from k3k_kubelet.policy.document import AllowedKey, Document, LabelKey, LabelValue, Name, about

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
Cidr = Annotated[str, Meta(pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")]
ClassName = Annotated[str, Meta(pattern=r"^(\*|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)$", max_length=253)]
"""Name of a class; `*` for any."""
HostName = Annotated[str, Meta(pattern=rf"^(\*|(\*\.)?{_LABEL}(\.{_LABEL})*)$", max_length=253)]
"""A host name, `*.example.com` for those one label below it, `*` for any."""
EVERYWHERE = ("0.0.0.0/0", "::/0")
LoadBalancerClass = Annotated[
    str, Meta(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$", max_length=317)
]


def _check_network(field: str, text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"`{field}` has {text!r}, which is no range of addresses: {error}") from None


class Selector(Document, frozen=True):
    """A choice of objects by their labels."""

    match_labels: Annotated[dict[LabelKey, LabelValue], about("Labels that an object must have.")] = field(
        default_factory=dict
    )

    def matches(self, labels: dict[str, str] | None) -> bool:
        """Whether an object with these labels is chosen; without `matchLabels` every one is."""
        return all((labels or {}).get(key) == value for key, value in self.match_labels.items())


class ToHost(Document, frozen=True):
    """A kind whose objects get copies on the host."""

    enabled: Annotated[
        bool, about("Objects of this kind get copies on the host. Turned off, the copies are removed.")
    ] = True
    selector: Annotated[
        Selector, about("Only objects with these labels; what had a copy and is no longer chosen loses it.")
    ] = Selector()


class Services(ToHost, frozen=True):
    """Services, with the exposure of what they lead to."""

    types: Annotated[
        tuple[Literal["ClusterIP", "NodePort", "LoadBalancer"], ...],
        about("Types that Services may have; ExternalName and headless ones need no copy and always may be."),
    ] = ("ClusterIP", "NodePort", "LoadBalancer")
    external_ips: Annotated[
        tuple[Cidr, ...],
        about(
            "Ranges that `externalIPs` and `loadBalancerIP` may be of. The host's nodes take traffic to "
            "external IPs for themselves."
        ),
    ] = field(default=(), name="externalIPs")
    load_balancer_classes: Annotated[
        tuple[LoadBalancerClass, ...], about("Values that `loadBalancerClass` may have.")
    ] = ()
    annotations: Annotated[
        tuple[AllowedKey, ...],
        about('Annotations that host Services have as well; "example.com/" is a whole prefix.'),
    ] = ()
    labels: Annotated[
        tuple[AllowedKey, ...],
        about(
            'Labels that host Services have under their own keys as well; "example.com/" is a whole prefix.'
        ),
    ] = ()
    source_ranges: Annotated[
        tuple[Cidr, ...],
        about(
            "Ranges that Services of type NodePort or LoadBalancer, and external IPs, may be reached from. "
            "Where they are less than everything such a Service needs `externalTrafficPolicy: Local`: else "
            "nobody on the host sees where a packet comes from."
        ),
    ] = EVERYWHERE

    def __post_init__(self) -> None:
        for each in self.external_ips:
            _check_network("externalIPs", each)
        for each in self.source_ranges:
            _check_network("sourceRanges", each)


class EndpointSlices(ToHost, frozen=True):
    """EndpointSlices of Services without a selector."""


class DataSource(Document, frozen=True):
    """An object of the host, in the workloads' namespace, that claims may be filled from."""

    kind: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z0-9]*$")], about("Its kind, such as VolumeSnapshot.")
    ]
    name: Annotated[Name, about("Its name, the same inside and on the host.")]
    api_group: Annotated[
        Annotated[str, Meta(pattern=r"^([a-z0-9.-]+)?$")],
        about('Its API group; "" for the core group.'),
    ] = ""


class PersistentVolumeClaims(ToHost, frozen=True):
    """PersistentVolumeClaims."""

    enabled: Annotated[
        bool,
        about(
            "Claims get copies on the host. Turned off, copies without a volume are removed; those that have "
            "one stay until their claim is deleted."
        ),
    ] = True
    selector: Annotated[
        Selector,
        about(
            "Only claims with these labels; a copy that has a volume stays whatever becomes of the labels."
        ),
    ] = Selector()
    storage_classes: Annotated[
        tuple[ClassName, ...],
        about(
            "StorageClasses of the host that claims may have by the same name. A claim that names none gets "
            "the first one, with `*` the host's default. `*` stands for every class, but not for the empty "
            "name: that would bind any volume without a class."
        ),
    ] = ("*",)
    data_sources: Annotated[
        tuple[DataSource, ...],
        about(
            "What claims may be filled from beside claims of their own namespace. A claim of the host that "
            "is named here goes before one of that name inside."
        ),
    ] = ()
    volume_attributes_classes: Annotated[
        tuple[ClassName, ...],
        about("VolumeAttributesClasses of the host that claims may have by the same name."),
    ] = ()


class Ingresses(ToHost, frozen=True):
    """Ingresses."""

    enabled: Annotated[
        bool, about("Objects of this kind get copies on the host. Turned off, the copies are removed.")
    ] = False
    classes: Annotated[
        tuple[ClassName, ...],
        about("IngressClasses of the host that Ingresses may have by the same name; `*` for any."),
    ] = ("*",)
    hosts: Annotated[
        tuple[HostName, ...],
        about(
            "Host names that rules and TLS may have: exact, `*.example.com` for those one label below, or "
            "`*`, which allows Ingresses without a host as well. Every Ingress needs one from this list."
        ),
    ] = ()
    annotations: Annotated[
        tuple[AllowedKey, ...],
        about(
            'Annotations that host Ingresses have as well; "example.com/" is a whole prefix. Those of '
            "controllers may steer more than the Ingress: allow them one by one."
        ),
    ] = ()
    controller_namespaces: Annotated[
        tuple[Name, ...],
        about("Host namespaces whose pods may connect to the pods behind an Ingress; all without any."),
    ] = ()


class Gateway(Document, frozen=True):
    """A Gateway of the host that the tenant knows by a name inside."""

    namespace: Annotated[Name, about("Namespace that routes inside name.")]
    name: Annotated[Name, about("Name that routes inside name.")]
    host_namespace: Annotated[Name, about("Namespace of the Gateway on the host.")]
    host_name: Annotated[Name, about("Its name on the host.")]


class HttpRoutes(ToHost, frozen=True):
    """HTTPRoutes of the Gateway API."""

    enabled: Annotated[
        bool, about("Objects of this kind get copies on the host. Turned off, the copies are removed.")
    ] = False
    gateways: Annotated[
        tuple[Gateway, ...], about("Gateways of the host that routes may attach to, and their names inside.")
    ] = ()
    hosts: Annotated[
        tuple[HostName, ...],
        about(
            "Host names that routes may have: exact, `*.example.com` for those one label below, or `*`, "
            "which allows routes without a host as well. Every route needs one from this list."
        ),
    ] = ()

    controller_namespaces: Annotated[
        tuple[Name, ...],
        about("Host namespaces whose pods may connect to the pods behind a route; without any, everybody."),
    ] = ()

    def __post_init__(self) -> None:
        mapped = [(each.namespace, each.name) for each in self.gateways]
        twice = next((each for each in mapped if mapped.count(each) > 1), None)
        if twice:
            raise ValueError(f"`gateways` has {'/'.join(twice)} twice")


class PodDisruptionBudgets(ToHost, frozen=True):
    """PodDisruptionBudgets."""


class NetworkPolicies(ToHost, frozen=True):
    """NetworkPolicies."""


class SyncToHost(Document, frozen=True):
    """Kinds whose objects inside get copies on the host."""

    services: Annotated[Services, about("Services.")] = Services()
    endpoint_slices: Annotated[EndpointSlices, about("EndpointSlices of Services without a selector.")] = (
        EndpointSlices()
    )
    persistent_volume_claims: Annotated[PersistentVolumeClaims, about("PersistentVolumeClaims.")] = (
        PersistentVolumeClaims()
    )
    ingresses: Annotated[Ingresses, about("Ingresses.")] = Ingresses()
    http_routes: Annotated[HttpRoutes, about("HTTPRoutes of the Gateway API.")] = HttpRoutes()
    pod_disruption_budgets: Annotated[PodDisruptionBudgets, about("PodDisruptionBudgets.")] = (
        PodDisruptionBudgets()
    )
    network_policies: Annotated[
        NetworkPolicies,
        about("NetworkPolicies. They take from what the cluster's pods may, and never add to it."),
    ] = NetworkPolicies()


class FromHost(Document, frozen=True):
    """A kind of the host's classes that are shown inside."""

    enabled: Annotated[
        bool,
        about(
            "Classes are read from the host and shown inside as they are there. This takes the right to read "
            "them, by a ClusterRole."
        ),
    ] = False
    selector: Annotated[Selector, about("With `enabled`, only classes with these labels on the host.")] = (
        Selector()
    )
    names: Annotated[
        tuple[Name, ...],
        about(
            "Classes to show. With `enabled`, only these of the host's; without, they are made inside by "
            "their names alone, and nothing is read from the host."
        ),
    ] = ()


class SyncFromHost(Document, frozen=True):
    """Kinds of the host that are shown inside."""

    storage_classes: Annotated[FromHost, about("StorageClasses.")] = FromHost()
    ingress_classes: Annotated[FromHost, about("IngressClasses.")] = FromHost()
    priority_classes: Annotated[
        FromHost, about("PriorityClasses, of those that `pods.priorityClasses` has.")
    ] = FromHost()


class Sync(Document, frozen=True):
    """What is copied, and in which direction."""

    to_host: Annotated[SyncToHost, about("From the virtual cluster to the host.")] = SyncToHost()
    from_host: Annotated[SyncFromHost, about("From the host into the virtual cluster.")] = SyncFromHost()
