"""The specification of a virtual cluster."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import duration, limits, names, networks, parts, versions
from k3k_pulumi.model.dns import Dns, contradictions
from k3k_pulumi.model.document import DOCUMENT
from k3k_pulumi.model.parts import Cidr, Integer, Part, below, choices, fragment, lines, rule, wrong
from k3k_pulumi.model.pki import Pki, useless
from k3k_pulumi.model.policy import VirtualClusterPolicySpec
from k3k_pulumi.model.problems import describe, unknown
from k3k_pulumi.model.text import one_of

_MODES = ("shared",)
_LATER_MODES = ("virtual", "hosted")
_ETCD_IMAGE = "registry.k8s.io/etcd:3.6.4-0"
"""One for all versions: each supported Kubernetes works with etcd 3.6, and an etcd never goes back."""
_DNS_IMAGE = "docker.io/coredns/coredns:1.15.0"
"""One for all versions: it reads Services, EndpointSlices and Namespaces, which all have."""


def _read_version(value: Any, info: ValidationInfo) -> versions.Version:
    distribution = info.data.get("distribution")
    if distribution is None:
        return versions.Version(1, 0, 0)  # refused already
    if not isinstance(value, str):
        raise wrong(f"must be a string {versions.FORMATS[distribution]}")
    try:
        return versions.parse(distribution, value or versions.DEFAULTS[distribution])
    except ValueError as error:
        raise wrong(str(error)) from None


def _read_policy(value: Any) -> VirtualClusterPolicySpec | None:
    if value is None or isinstance(value, VirtualClusterPolicySpec):
        return value
    try:
        return VirtualClusterPolicySpec.of(value)
    except InputError as error:
        raise below(list(error.problems)) from None


def _is_group(value: Any) -> Any:
    """Refuses what is no group of keys without showing it, as it may be a key."""
    if isinstance(value, Mapping | Pki):
        return value
    raise lines(["pki: must be a map; its single values may be Outputs, it may not"])


class VirtualClusterSpec(Part):
    """All plain values of a virtual cluster, checked. Made by `parse`."""

    # The order matters: a field's rules see only the fields above it.
    name: str
    namespace: str
    control_plane_namespace: str = Field(default="", validate_default=True)
    policy: Annotated[VirtualClusterPolicySpec | None, PlainValidator(_read_policy)] = None
    create_namespace: StrictBool = True
    policy_from_namespace: StrictBool = False
    create_control_plane_namespace: StrictBool = True
    mode: str = "shared"
    distribution: Annotated[str, choices(*versions.DISTRIBUTIONS)] = "k3s"
    version: Annotated[versions.Version, PlainValidator(_read_version)] = Field(
        default="", validate_default=True
    )
    servers: Integer = 1
    kubelet_replicas: Integer = 1
    images: parts.Images = parts.Images()
    image_pull_secrets: tuple[parts.ObjectName, ...] = ()
    pki: Annotated[Pki, BeforeValidator(_is_group)] = Pki()
    service_cidr: Cidr | None = None
    cluster_domain: parts.Domain = "cluster.local"
    expose: parts.Expose = parts.Expose()
    persistence: parts.Persistence = parts.Persistence()
    egress: Annotated[str, choices("internet", "none", "all")] = "internet"
    host_cidrs: tuple[Cidr, ...] = ()
    egress_cidrs: tuple[Cidr, ...] = ()
    require_network_policy: StrictBool = False
    ready_timeout: parts.Duration = "10m"
    dns: Dns = Dns()
    resources: parts.Resources = parts.Resources()
    node_selector: parts.NodeSelector = Field(default_factory=dict)
    tolerations: parts.Tolerations = Field(default_factory=list)
    affinity: parts.Affinity = Field(default_factory=dict)
    priority_class: parts.ObjectName | None = None
    runtime_class: parts.ObjectName | None = None
    host_users: StrictBool | None = None
    security_context: parts.SecurityContext = Field(default_factory=dict)
    mirror_host_nodes: StrictBool = False
    admission_policy: StrictBool = False
    node_capacity: parts.NodeCapacity = parts.NodeCapacity()
    pods: Annotated[dict[str, Any], fragment(DOCUMENT["pods"])] = Field(default_factory=dict)
    sync: Annotated[dict[str, Any], fragment(DOCUMENT["sync"])] = Field(default_factory=dict)
    labels: parts.Labels = Field(default_factory=dict)
    annotations: parts.Annotations = Field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, args: Mapping[str, Any]) -> VirtualClusterSpec:
        """Checks the arguments of the virtual cluster `name` and fills in the defaults.

        A key with the value None counts as absent, at every level. With the constraints of a policy in
        `policy`, the specification has what holds under it.

        Raises:
            InputError: With all problems found, not only the first.
        """
        # The name is no argument, though the model has it.
        problems = [unknown("name", cls)] if "name" in args else []
        try:
            spec = cls.model_validate({**args, "name": name})
            if spec.policy and not problems:
                taken, problems = limits.resolve(spec, spec.policy)
                if not problems:
                    whose = dict.fromkeys(taken, f" of VirtualClusterPolicy {spec.policy.name!r}")
                    spec = cls.model_validate({**args, **taken, "name": name}, context=whose)
        except ValidationError as error:
            problems += describe(error, cls)
        if problems:
            raise InputError(f"VirtualCluster {name!r}", problems)
        return spec

    @functools.cached_property
    def names(self) -> names.Names:
        """Names of all host objects."""
        return names.Names(self.name, self.namespace, self.control_plane_namespace)

    @property
    def ready_seconds(self) -> int:
        """`ready_timeout` in seconds."""
        return duration.seconds(self.ready_timeout)

    @property
    def server_image(self) -> str:
        """Image of K3s or kube-apiserver."""
        if self.images.server:
            return self.images.server
        if self.distribution == "k3s":
            return f"docker.io/rancher/k3s:{self.version.tag}"
        return f"registry.k8s.io/kube-apiserver:{self.version.tag}"

    @property
    def controller_manager_image(self) -> str:
        """Image of kube-controller-manager, for the distribution `kubernetes`."""
        return self.images.controller_manager or f"registry.k8s.io/kube-controller-manager:{self.version.tag}"

    @property
    def etcd_image(self) -> str:
        """Image of etcd, for the distribution `kubernetes`."""
        return self.images.etcd or _ETCD_IMAGE

    @property
    def dns_image(self) -> str:
        """Image of CoreDNS."""
        return self.images.dns or _DNS_IMAGE

    @property
    def kubelet_image(self) -> str:
        """Image of the virtual kubelet: the one released with this library."""
        return self.images.kubelet or f"ghcr.io/k3k-pulumi/kubelet:{versions.LIBRARY}"

    @field_validator("name")
    @classmethod
    def _is_cluster_name(cls, value: str) -> str:
        if not names.is_cluster_name(value):
            raise wrong(
                "must be lower-case letters, digits and '-', begin with a letter, end with a letter or "
                f"digit, and have at most {names.CLUSTER_LENGTH} characters: Services and labels of pods are "
                "named after it"
            )
        return value

    @field_validator("namespace")
    @classmethod
    def _is_namespace(cls, value: str) -> str:
        if not names.is_label(value):
            raise wrong(names.LABEL_RULE)
        return value

    @field_validator("control_plane_namespace")
    @classmethod
    def _is_control_plane_namespace(cls, value: str, info: ValidationInfo) -> str:
        namespace, name = info.data.get("namespace"), info.data.get("name")
        if not value:
            if namespace is None or name is None:
                return value  # one of the two is refused already
            value = names.default_control_plane_namespace(namespace, name)
            if len(value) > names.LABEL_LENGTH:
                raise lines(
                    [
                        f"control_plane_namespace: its default {value!r} has {len(value)} characters, a "
                        f"namespace has at most {names.LABEL_LENGTH}: set it"
                    ]
                )
        elif not names.is_label(value):
            raise wrong(names.LABEL_RULE)
        if value == namespace:
            raise wrong("must differ from namespace: there the virtual kubelet may read every Secret")
        return value

    @field_validator("policy_from_namespace")
    @classmethod
    def _is_somewhere(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("policy") is not None:
            raise wrong("has no use with policy, which says the constraints itself: leave one of the two out")
        if value and info.data.get("create_namespace"):
            raise wrong("needs create_namespace=False: a policy is bound to a namespace that exists")
        return value

    @field_validator("mode")
    @classmethod
    def _is_mode(cls, value: str) -> str:
        if value in _LATER_MODES:
            raise wrong(f"is not available yet in this version: must be {one_of(_MODES)}")
        if value not in _MODES:
            raise wrong(f"must be {one_of(_MODES)}")
        return value

    @field_validator("servers")
    @classmethod
    def _is_one(cls, value: int) -> int:
        if value < 1:
            raise wrong("must be 1")
        if value > 1:
            raise wrong("is not available yet in this version: must be 1")
        return value

    @field_validator("kubelet_replicas")
    @classmethod
    def _is_one_or_two(cls, value: int) -> int:
        if value not in (1, 2):
            raise wrong("must be 1 or 2")
        return value

    @field_validator("dns")
    @classmethod
    def _fits_the_cluster(cls, value: Dns, info: ValidationInfo) -> Dns:
        domain, egress = info.data.get("cluster_domain"), info.data.get("egress")
        if domain is not None and egress is not None:
            whose = (info.context or {}).get("egress", "")
            if found := contradictions(value, domain, egress, whose):
                raise lines(found)
        return value

    @field_validator("images")
    @classmethod
    def _has_no_foreign_image(cls, value: parts.Images, info: ValidationInfo) -> parts.Images:
        if info.data.get("distribution") == "k3s":
            foreign = [field for field in ("controller_manager", "etcd") if getattr(value, field)]
            if foreign:
                raise lines(
                    [
                        f"images.{field}: {getattr(value, field)!r} has no use with the distribution 'k3s', "
                        "whose server image holds everything: leave it out"
                        for field in foreign
                    ]
                )
        return value

    @field_validator("pki")
    @classmethod
    def _has_no_foreign_key(cls, value: Pki, info: ValidationInfo) -> Pki:
        distribution = info.data.get("distribution")
        if distribution is not None and (found := useless(value, distribution)):
            raise lines(found)
        return value

    @field_validator("node_capacity")
    @classmethod
    def _is_not_mirrored(cls, value: parts.NodeCapacity, info: ValidationInfo) -> parts.NodeCapacity:
        if info.data.get("mirror_host_nodes") and value != parts.NodeCapacity():
            raise lines(
                [
                    "node_capacity: has no use with mirror_host_nodes, which shows what the host's Nodes "
                    "have: leave one of the two out"
                ]
            )
        return value

    @field_validator("service_cidr")
    @classmethod
    def _is_service_range(cls, value: networks.Network | None) -> networks.Network | None:
        if value is not None:
            rule(networks.check_service_range)(value)
        return value
