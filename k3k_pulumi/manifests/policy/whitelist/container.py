"""Validations of containers, init and debug containers included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from k3k_pulumi.manifests.policy.whitelist.cel import (
    Validation,
    all_of,
    any_of,
    each,
    found,
    listed,
    literal,
    one_of,
    validation,
)
from k3k_pulumi.manifests.policy.whitelist.images import from_registries
from k3k_pulumi.manifests.policy.whitelist.security import profiles

_FIELD = "spec.{containers,initContainers,ephemeralContainers}[*]"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.?postStart", "lifecycle.?preStop")


def validations(pods: Mapping[str, Any]) -> Iterator[Validation]:
    """All of them, for a document's part `pods`."""
    yield from (_container(*parts) for parts in _powers(pods))
    yield from (_container(*parts) for parts in profiles(pods, "securityContext", "c.?securityContext"))
    yield from (_container(*parts) for parts in _node(pods))
    yield from (_container(*parts) for parts in _required(pods["required"].get("securityContext", {})))
    if pods["alwaysPullImages"]:
        yield _container("imagePullPolicy", 'c.?imagePullPolicy.orValue("") == "Always"', "must be Always")
    if pods["imageRegistries"] is not None:
        yield validation(
            f"{_FIELD}.image and spec.volumes[*].image.reference",
            each("variables.images", "i", from_registries("i", pods["imageRegistries"])),
            listed("imageRegistries", pods["imageRegistries"]),
        )


def _container(field: str, holds: str, allowed: str) -> Validation:
    """A validation of what holds of each container `c`."""
    return validation(f"{_FIELD}.{field}", each("variables.containers", "c", holds), allowed)


def _powers(pods: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    context = "c.?securityContext"
    if not pods["privileged"]:
        holds = f"!{context}.?privileged.orValue(false)"
        yield "securityContext.privileged", holds, "pods.privileged does not allow it"
    added = each(found(f"{context}.?capabilities.?add"), "a", f"a in {literal(pods['capabilities'])}")
    yield "securityContext.capabilities.add", added, listed("capabilities", pods["capabilities"])
    holds = one_of(f"{context}.?procMount", pods["procMounts"])
    yield "securityContext.procMount", holds, listed("procMounts", pods["procMounts"])


def _node(pods: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What makes the node open a port or a connection, or has its files."""
    if not pods["hostPorts"]:
        # The API server itself gives containers in the node's network the ports that they name.
        port = any_of(
            "p.?hostPort.orValue(0) == 0",
            "object.spec.?hostNetwork.orValue(false) && p.hostPort == p.containerPort",
        )
        holds = each(found("c.?ports"), "p", all_of(port, 'p.?hostIP.orValue("") == ""'))
        yield "ports[*].hostPort", holds, "pods.hostPorts does not allow it"
    if not pods["hostProbes"]:
        hosts = [f'h.?{action}.?host.orValue("") == ""' for action in ("httpGet", "tcpSocket")]
        holds = each(f"[{', '.join(f'c.?{probe}' for probe in _PROBES)}]", "h", all_of(*hosts))
        yield "{*Probe,lifecycle.*}.{httpGet,tcpSocket}.host", holds, "pods.hostProbes does not allow it"
    if pods["hostPaths"]:
        reads = all_of("m.?readOnly.orValue(false)", one_of("m.?mountPropagation", ("None",)))
        holds = each(found("c.?volumeMounts"), "m", any_of("!(m.name in variables.readOnlyVolumes)", reads))
        yield "volumeMounts[*].readOnly", holds, "must be true: pods.hostPaths has the path for reading alone"


def _required(context: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, value in context.items():
        path = f"c.?securityContext.?{key}"
        if value is None:
            continue
        if key == "capabilities":
            for name in value.get("drop", ()):
                holds = f"{literal(name)} in {found(f'{path}.?drop')}"
                yield "securityContext.capabilities.drop", holds, f"must have {name}"
        else:
            text = literal(value)
            yield (
                f"securityContext.{key}",
                f"{path}.hasValue() && {path}.value() == {text}",
                f"must be {text}",
            )
