"""The parts of a virtual cluster's specification that are groups of values, and types that they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from k3k_pulumi.model import duration, networks, quantity
from k3k_pulumi.model.fragments import AFFINITY, RESOURCES, TOLERATIONS, MapOf, normalise, text
from k3k_pulumi.model.images import check_registry
from k3k_pulumi.model.names import PREFIX
from k3k_pulumi.model.pod_security import LEVELS, SECURITY_CONTEXT
from k3k_pulumi.model.text import one_of

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_IMAGE = re.compile(r"[a-z0-9][^\s@]*(@sha256:[0-9a-f]{64})?")
_SECURITY_VERSION = re.compile(r"latest|v1\.[0-9]{1,3}")
_OURS = frozenset({"app.kubernetes.io/managed-by"})
_OUR_PREFIXES = (PREFIX, "pod-security.kubernetes.io/")


class Part(BaseModel):
    """A frozen group of values; a None from the user counts as absent, as it does in Pulumi programs."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_none(cls, value: Any) -> Any:
        return (
            {key: item for key, item in value.items() if item is not None}
            if isinstance(value, Mapping)
            else value
        )


def wrong(text: str) -> PydanticCustomError:
    """What a validator raises: `text` continues the line `<field>: <value found> ...`."""
    return PydanticCustomError("k3k", "{text}", {"text": text})


def lines(problems: list[str]) -> PydanticCustomError:
    """What a validator raises that has found problems of its own, each a whole line with its path."""
    return PydanticCustomError("k3k_lines", "{lines}", {"lines": tuple(problems)})


def rule(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A validator from a function whose ValueError says what is allowed."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise wrong(str(error)) from None

    return validate


def below(problems: list[str]) -> PydanticCustomError:
    """What a validator raises that has found problems below its field, each a line from there on."""
    return PydanticCustomError("k3k_below", "{lines}", {"lines": tuple(problems)})


def fragment(schema: Any) -> BeforeValidator:
    """A validator for a fragment of a Kubernetes object."""

    def validate(value: Any) -> Any:
        problems: list[str] = []
        result = None if value is None else normalise(value, schema, "", problems)
        if problems:
            raise below(problems)
        return result

    return BeforeValidator(validate)


def choices(*allowed: str) -> AfterValidator:
    """A validator for one of some strings."""

    def validate(value: str) -> str:
        if value not in allowed:
            raise wrong(f"must be {one_of(allowed)}")
        return value

    return AfterValidator(validate)


def matches(pattern: re.Pattern[str], allowed: str, longest: int = 253) -> AfterValidator:
    """A validator for a string of some form."""

    def validate(value: str) -> str:
        if len(value) > longest or not pattern.fullmatch(value):
            raise wrong(f"must be {allowed}")
        return value

    return AfterValidator(validate)


def _whole(value: Any) -> Any:
    """Numbers arrive as floats through Pulumi's plugins; true and "3" are no numbers."""
    if isinstance(value, bool | str):
        raise wrong("must be a whole number")
    return value


def _check_labels(values: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in values.items():
        _check_key(key)
        if not _LABEL_VALUE.fullmatch(value):
            raise wrong(
                f"has the value {value!r} for {key!r}: must be at most 63 letters, digits, '-', '_' and "
                "'.', with a letter or digit at both ends"
            )
    return values


def _check_annotations(values: Mapping[str, str]) -> Mapping[str, str]:
    for key in values:
        _check_key(key)
    return values


def _check_key(key: str) -> None:
    if not _QUALIFIED.fullmatch(key):
        raise wrong(
            f"has the key {key!r}: must be [prefix/]name, as keys of Kubernetes' labels and annotations are"
        )
    if key.startswith(_OUR_PREFIXES) or key in _OURS:
        raise wrong(f"has the key {key!r}, which k3k_pulumi sets itself: choose another one")


def _check_extended(values: Mapping[str, int]) -> Mapping[str, int]:
    for name, value in values.items():
        if "/" not in name or not _QUALIFIED.fullmatch(name) or _is_of_kubernetes(name):
            raise wrong(f"has the name {name!r}: must be of a device or the like, as example.com/gpu")
        if value < 0:
            raise wrong(f"has {value} of {name}: must be 0 or more")
    return values


def _is_of_kubernetes(name: str) -> bool:
    return name.partition("/")[0] == "kubernetes.io" or ".kubernetes.io/" in name


def _positive(value: Any) -> str:
    if quantity.parse(value) <= Decimal(0):
        raise ValueError("must be more than 0")
    return str(value)


def _is_host(value: str) -> str:
    if not networks.is_address(value) and (not _SUBDOMAIN.fullmatch(value) or len(value) > 253):
        raise ValueError("must be a DNS name in lower case or an IP address, without scheme and port")
    return value


Integer = Annotated[int, BeforeValidator(_whole)]
ObjectName = Annotated[str, matches(_SUBDOMAIN, "the name of a Kubernetes object (RFC 1123 subdomain)")]
Domain = Annotated[str, matches(_SUBDOMAIN, "a DNS domain in lower case, like cluster.local")]
Duration = Annotated[str, BeforeValidator(rule(duration.checked))]
Host = Annotated[str, AfterValidator(rule(_is_host))]
Image = Annotated[str, matches(_IMAGE, "an image reference like registry/name:tag", 512)]
Cidr = Annotated[networks.Network, BeforeValidator(rule(lambda value: networks.parse(value)))]
Size = Annotated[str, BeforeValidator(rule(_positive))]
Labels = Annotated[dict[str, str], AfterValidator(_check_labels)]
Annotations = Annotated[dict[str, str], AfterValidator(_check_annotations)]
NodeSelector = Annotated[dict[str, str], fragment(MapOf(text))]
Tolerations = Annotated[list[dict[str, Any]], fragment(TOLERATIONS)]
Affinity = Annotated[dict[str, Any], fragment(AFFINITY)]
SecurityContext = Annotated[dict[str, Any], fragment(SECURITY_CONTEXT)]
Registry = Annotated[str, AfterValidator(rule(check_registry))]
SecurityLevel = Annotated[str, choices(*LEVELS)]


class Images(Part):
    """Images in place of the default ones."""

    server: Image | None = None
    controller_manager: Image | None = None
    etcd: Image | None = None
    kubelet: Image | None = None
    dns: Image | None = None


class Expose(Part):
    """How the API is reached from outside the cluster's own pods."""

    host: Host | None = None
    node_port: Integer | None = None
    source_cidrs: tuple[Cidr, ...] = ()
    annotations: Annotations = Field(default_factory=dict)
    external_traffic_policy: Annotated[str, choices("Cluster", "Local")] | None = None
    # Last, so that its rules see the others.
    type: Annotated[str, choices("ClusterIP", "NodePort", "LoadBalancer")] = Field(
        default="ClusterIP", validate_default=True
    )

    @field_validator("node_port")
    @classmethod
    def _is_port(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= 65535:
            raise wrong("must be from 1 to 65535 (most hosts allow 30000 to 32767)")
        return value

    @field_validator("type")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        problems = []
        if value == "ClusterIP" and info.data.get("node_port") is not None:
            problems.append(
                f"expose.node_port: {info.data['node_port']} has no use with the type ClusterIP: leave it "
                "out, or set expose.type to NodePort or LoadBalancer"
            )
        if value == "ClusterIP" and info.data.get("external_traffic_policy") is not None:
            problems.append(
                f"expose.external_traffic_policy: {info.data['external_traffic_policy']!r} has no use with "
                "the type ClusterIP: leave it out, or set expose.type to NodePort or LoadBalancer"
            )
        if value == "NodePort" and info.data.get("host", "") is None:
            problems.append(
                "expose.host: missing; with the type NodePort it must name a node, by address or DNS"
            )
        if value != "ClusterIP" and info.data.get("source_cidrs", ("unknown",)) == ():
            problems.append(
                f"expose.source_cidrs: empty, so nobody could use the {value}: list the ranges that may "
                "connect (0.0.0.0/0 for all of IPv4)"
            )
        if problems:
            raise lines(problems)
        return value


class Persistence(Part):
    """Where the datastore lies."""

    type: Annotated[str, choices("dynamic", "ephemeral")] = "dynamic"
    size: Size = "5Gi"
    storage_class: ObjectName | None = None


class NodeCapacity(Part):
    """What virtual Nodes claim to have; None leaves a resource to quotas and defaults."""

    cpu: Size | None = None
    memory: Size | None = None
    ephemeral_storage: Size | None = None
    pods: Integer | None = None
    extended_resources: Annotated[dict[str, Integer], AfterValidator(_check_extended)] = Field(
        default_factory=dict
    )

    @field_validator("pods")
    @classmethod
    def _is_positive(cls, value: int | None) -> int | None:
        if value is not None and value < 1:
            raise wrong("must be 1 or more")
        return value


class Resources(Part):
    """Resource requirements, as Kubernetes writes them; None leaves a container its default ones."""

    server: Annotated[dict[str, Any] | None, fragment(RESOURCES)] = None
    kubelet: Annotated[dict[str, Any] | None, fragment(RESOURCES)] = None
    dns: Annotated[dict[str, Any] | None, fragment(RESOURCES)] = None


class PodSecurity(Part):
    """Pod Security levels of a namespace."""

    enforce: SecurityLevel = "baseline"
    warn: SecurityLevel = "baseline"
    audit: SecurityLevel = "baseline"
    version: Annotated[str, matches(_SECURITY_VERSION, "latest or a minor version like v1.34")] = "latest"
