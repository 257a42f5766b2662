"""Validations of a pod's and of a container's security context: what the two have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k3k_pulumi.manifests.policy.whitelist.cel import all_of, any_of, listed, literal, one_of

_SE_LINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
"""Types of Pod Security's baseline (1.31 and newer)."""


def profiles(pods: Mapping[str, Any], field: str, context: str) -> Iterator[tuple[str, str, str]]:
    """What a pod's and a container's security context have in common: field, expression, what is allowed."""
    for key, name in (("seccompProfiles", "seccompProfile"), ("appArmorProfiles", "appArmorProfile")):
        yield (
            f"{field}.{name}",
            f"{context}.?{name}.optMap(p, {_profile(pods[key])}).orValue(true)",
            listed(key, pods[key]),
        )
    if not pods["seLinuxOptions"]:
        options = f"{context}.?seLinuxOptions"
        parts = [f'{options}.?{key}.orValue("") == ""' for key in ("user", "role", "level")]
        yield (
            f"{field}.seLinuxOptions",
            all_of(*parts, one_of(f"{options}.?type", _SE_LINUX_TYPES)),
            f"pods.seLinuxOptions allows the types {', '.join(_SE_LINUX_TYPES[1:])} alone",
        )
    yield f"{field}.windowsOptions", f"!{context}.?windowsOptions.hasValue()", "is not allowed"


def _profile(allowed: Sequence[str]) -> str:
    """Whether the profile `p` is among those that a list has."""
    files = [item.removeprefix("Localhost/") for item in allowed if item.startswith("Localhost/")]
    parts = [f"p.type in {literal(item for item in allowed if not item.startswith('Localhost/'))}"]
    if "*" in files:
        parts.append('p.type == "Localhost" && !(".." in p.?localhostProfile.orValue("..").split("/"))')
    elif files:
        parts.append(f'p.type == "Localhost" && p.?localhostProfile.orValue("") in {literal(files)}')
    return any_of(*parts)
