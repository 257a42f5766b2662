"""The specification of a VirtualClusterPolicy, and the constraints by which clusters elsewhere know it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool, ValidationError

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import names, parts
from k3k_pulumi.model.document import API_VERSION, DOCUMENT
from k3k_pulumi.model.fragments import LIMITS, QUOTA, MapOf
from k3k_pulumi.model.parts import Cidr, ObjectName, Part, below, choices, fragment, rule, wrong
from k3k_pulumi.model.problems import describe, unknown
from k3k_pulumi.model.text import show
from k3k_pulumi.model.versions import DISTRIBUTIONS, parse_range

MODES = ("shared", "virtual", "hosted")
EGRESS = ("none", "internet", "all")
"""What workloads may reach outside their cluster, from the narrowest to the widest."""
EXPOSE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")

_CONSTRAINTS = "the constraints of a VirtualClusterPolicy"
_QUOTA_RESOURCES = (
    *("cpu", "memory", "ephemeral-storage", "pods", "requests.cpu", "requests.memory", "requests.storage"),
    *("requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"),
    *("services", "services.nodeports", "services.loadbalancers", "replicationcontrollers"),
    *("resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"),
)
"""Names without a slash that ResourceQuotas know (IsStandardQuotaResourceName of Kubernetes)."""
_HUGE_PAGES = re.compile(r"(requests\.)?hugepages-.+")
_RESOURCE = re.compile(r"[a-z0-9A-Z]([-a-zA-Z0-9._]*[a-zA-Z0-9])?/[a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?")


def _is_label(value: str) -> str:
    if not names.is_label(value):
        raise wrong(names.LABEL_RULE)
    return value


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise wrong("would allow no cluster at all: leave it out to allow all")
    return values


def _check_namespaces(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise wrong("must have one namespace or more")
    if len(set(values)) < len(values):
        raise wrong("has a namespace twice")
    return values


def _check_quotas(quotas: dict[str, Any]) -> dict[str, Any]:
    problems = []
    for name, quota in quotas.items():
        if not names.is_label(name):
            problems.append(f": the quota's name {show(name)} {names.LABEL_RULE}")
        if not quota.get("hard"):
            problems.append(f".{name}.hard: missing; a quota without it limits nothing")
        for resource in quota.get("hard", ()):
            problem = _resource_problem(resource)
            if problem:
                problems.append(f".{name}.hard: {show(resource)} {problem}")
    if problems:
        raise below(problems)
    return quotas


def _resource_problem(name: str) -> str | None:
    if name in _QUOTA_RESOURCES or _HUGE_PAGES.fullmatch(name) or _RESOURCE.fullmatch(name):
        return None
    close = difflib.get_close_matches(name, _QUOTA_RESOURCES, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"is no resource of quotas; {meant}Extended ones are written requests.example.com/gpu, numbers of "
        "objects count/jobs.batch"
    )


def _check_limits(limits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    problems, seen = [], set()
    for index, each in enumerate(limits):
        kind = each.get("type")
        if kind is None:
            problems.append(f"[{index}].type: missing; it is required")
        elif kind in seen:
            problems.append(f"[{index}].type: {kind!r} is there twice: make one of the two")
        seen.add(kind)
    if problems:
        raise below(problems)
    return limits


class PodSettings(Part):
    """Settings of the control planes' pods; None leaves one open."""

    node_selector: parts.NodeSelector | None = None
    tolerations: parts.Tolerations | None = None
    affinity: parts.Affinity | None = None
    priority_class: ObjectName | None = None
    runtime_class: ObjectName | None = None
    host_users: StrictBool | None = None
    security_context: parts.SecurityContext | None = None


class VirtualClusterPolicySpec(Part):
    """All values of a policy, checked. Made by `parse`, and by `of` from another one's constraints."""

    name: Annotated[str, AfterValidator(_is_label)]
    namespaces: Annotated[
        tuple[Annotated[str, AfterValidator(_is_label)], ...], AfterValidator(_check_namespaces)
    ] = ()
    allowed_modes: Annotated[tuple[Annotated[str, choices(*MODES)], ...], AfterValidator(_not_empty)] = MODES
    allowed_distributions: Annotated[
        tuple[Annotated[str, choices(*DISTRIBUTIONS)], ...], AfterValidator(_not_empty)
    ] = DISTRIBUTIONS
    versions: Annotated[str, AfterValidator(rule(lambda text: str(parse_range(text))))] | None = None
    quotas: Annotated[dict[str, dict[str, Any]], fragment(MapOf(QUOTA)), AfterValidator(_check_quotas)] = (
        Field(default_factory=dict)
    )
    limits: Annotated[list[dict[str, Any]], fragment(LIMITS), AfterValidator(_check_limits)] = Field(
        default_factory=list
    )
    pod_security: parts.PodSecurity = parts.PodSecurity()
    control_plane_defaults: PodSettings = PodSettings()
    control_plane_required: PodSettings = PodSettings()
    egress: Annotated[str, choices(*EGRESS)] = "internet"
    egress_cidrs: tuple[Cidr, ...] = ()
    host_cidrs: tuple[Cidr, ...] = ()
    source_cidrs: tuple[Cidr, ...] | None = None
    expose_types: Annotated[
        tuple[Annotated[str, choices(*EXPOSE_TYPES)], ...], AfterValidator(_not_empty)
    ] = EXPOSE_TYPES
    storage_classes: tuple[ObjectName, ...] | None = None
    image_registries: tuple[parts.Registry, ...] | None = None
    mirror_host_nodes: StrictBool = False
    require_network_policy: StrictBool = False
    admission_policy: StrictBool = False
    pods: Annotated[dict[str, Any], fragment(DOCUMENT["pods"])] = Field(default_factory=dict)
    sync: Annotated[dict[str, Any], fragment(DOCUMENT["sync"])] = Field(default_factory=dict)
    labels: parts.Labels = Field(default_factory=dict)
    annotations: parts.Annotations = Field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, args: Mapping[str, Any]) -> VirtualClusterPolicySpec:
        """Checks the arguments of the policy `name` and fills in the defaults.

        A key with the value None counts as absent, at every level.

        Raises:
            InputError: With all problems found, not only the first.
        """
        problems = [unknown("name", cls)] if "name" in args else []
        spec = None
        try:
            spec = cls.model_validate({**args, "name": name})
        except ValidationError as error:
            problems += describe(error, cls)
        if args.get("namespaces") is None:
            problems.append("namespaces: missing; it is required")
        if problems or spec is None:
            raise InputError(f"VirtualClusterPolicy {name!r}", problems)
        return spec

    @classmethod
    def of(cls, constraints: Any) -> VirtualClusterPolicySpec:
        """The policy that has these constraints, bound to no namespace.

        Raises:
            InputError: They are none, or those of another version of this library. An unknown key is
            refused, since it would limit something that is not known here.
        """
        subject = "constraints of a VirtualClusterPolicy"
        if not isinstance(constraints, Mapping):
            raise InputError(subject, [f": {show(constraints)} must be {_CONSTRAINTS}"])
        given = dict(constraints)
        version = given.pop("apiVersion", None)
        if version != API_VERSION:
            raise InputError(
                subject, [f".apiVersion: {show(version)} must be {API_VERSION!r}: give {_CONSTRAINTS}"]
            )
        if "namespaces" in given:
            raise InputError(subject, [".namespaces: is no part of constraints"])
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InputError(subject, [f".{line}" for line in describe(error, cls)]) from None

    @property
    def constraints(self) -> dict[str, Any]:
        """What clusters have to know of the policy, as JSON has it: without namespaces and defaults."""
        given = self.model_dump(mode="json", exclude_defaults=True, exclude={"name", "namespaces"})
        return {"apiVersion": API_VERSION, "name": self.name, **given}

    @property
    def workloads(self) -> dict[str, Any]:
        """`pods` as it limits clusters: with `image_registries`, where it has none of its own."""
        registries = self.image_registries
        return self.pods if registries is None else {"imageRegistries": list(registries), **self.pods}
