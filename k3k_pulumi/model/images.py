"""Image references and the registries that they are from, as container runtimes read them.

https://pkg.go.dev/github.com/distribution/reference: a name whose first part is no host is one of Docker Hub,
and one of a single part is in its `library`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from k3k_pulumi.model.parts import rule

_HUB, _OFFICIAL = "docker.io", "library"
_HUB_ALIASES = frozenset({_HUB, "index.docker.io"})
_HOST = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")
_PART = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_RULE = (
    "must be a registry with its domain, or a path there of whole parts, like registry.example.com/team/ or "
    "docker.io/library/"
)


def repository(reference: str) -> tuple[str, ...]:
    """The parts of an image's full name, without tag and digest; the host is the first one.

    `nginx:1.27` is `("docker.io", "library", "nginx")`.
    """
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    parts = f"{head}{slash}{last.partition(':')[0]}".split("/")
    if len(parts) == 1 or not _is_host(parts[0]):
        parts.insert(0, _HUB)
    return _canonical(parts) if len(parts) > 2 or not _is_hub(parts[0]) else (_HUB, _OFFICIAL, parts[1])


def is_from(reference: str, registries: Iterable[str]) -> bool:
    """Whether one of the prefixes covers an image. One that is no proper reference, none covers."""
    parts = repository(reference)
    if not all(map(_PART.fullmatch, parts[1:])):
        return False
    return any(covers(prefix, "/".join(parts)) for prefix in registries)


def covers(prefix: str, other: str) -> bool:
    """Whether every image of a prefix `other` is one of `prefix`."""
    wide, narrow = _registry_parts(prefix), _registry_parts(other)
    return narrow[: len(wide)] == wide


def _check_registry(text: str) -> str:
    parts = text.removesuffix("/").split("/")
    if not _is_host(parts[0]) or not _HOST.fullmatch(parts[0]) or not all(map(_PART.fullmatch, parts[1:])):
        raise ValueError(_RULE)
    return text


Registry = Annotated[str, AfterValidator(rule(_check_registry))]
"""A prefix of images' full names; a slash at its end changes nothing."""


def _registry_parts(prefix: str) -> tuple[str, ...]:
    return _canonical(prefix.removesuffix("/").split("/"))


def _canonical(parts: list[str]) -> tuple[str, ...]:
    host = parts[0].lower()
    return (_HUB if _is_hub(host) else host, *parts[1:])


def _is_hub(host: str) -> bool:
    return host.lower() in _HUB_ALIASES


def _is_host(part: str) -> bool:
    return part == "localhost" or "." in part or ":" in part or part != part.lower()
