"""Names of images and the registries that they are from.

Source of the rules: github.com/distribution/reference, by which kubelets and container runtimes read names
(ParseNormalizedNamed). The virtual kubelet has the same ones for workloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_HUB, _OLD_HUB, _OFFICIAL = "docker.io", "index.docker.io", "library/"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<host>{_HOST})/(?P<path>{_PART}(?:/{_PART})*)(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?"
)
_ID = re.compile(rf"[a-f0-9]{{64}}|{_DIGEST}|sha(?:256|384|512):[0-9a-fA-F]+")
"""An image that a node has already, whatever registry it came from: runtimes take it, or the beginning of its
digest, in place of a name.
"""
_MAX_PATH = 255
_REGISTRY = re.compile(rf"(?:localhost|(?=[^/]*[.:]){_HOST})(?:/{_PART})*/?")


def repository(image: str) -> str | None:
    """The full name of an image, `docker.io/library/nginx` for `nginx:1`, without tag and digest.

    Returns:
        None for what is no name: the id of an image, or nothing that a runtime would take.
    """
    if _ID.fullmatch(image):
        return None
    found = _REFERENCE.fullmatch("/".join(_split(image)))
    if found is None or len(found["path"]) > _MAX_PATH:
        return None
    return f"{found['host']}/{found['path']}"


def is_from(image: str, registries: Iterable[str]) -> bool:
    """Whether an image is of one of some registries or parts of them, compared by whole parts of names."""
    name = repository(image)
    return name is not None and any(covers(each, name) for each in registries)


def covers(registry: str, other: str) -> bool:
    """Whether a registry, or part of one, has all of another part, or an image by its full name."""
    return f"{other.rstrip('/')}/".startswith(f"{registry.rstrip('/')}/")


def check_registry(text: str) -> str:
    """The text, if it is a registry or the beginning of the names in one; a slash at its end changes nothing.

    Raises:
        ValueError: It is none; the text says what is allowed.
    """
    if not _REGISTRY.fullmatch(text) or len(text) > _MAX_PATH:
        raise ValueError(
            "must be a registry with its domain, or whole parts of names there, like "
            "registry.example.com/team/ or docker.io/library/"
        )
    return text


def _split(image: str) -> tuple[str, str]:
    """Domain and the rest, as Docker tells them apart."""
    first, slash, rest = image.partition("/")
    is_host = first == "localhost" or "." in first or ":" in first or first != first.lower()
    host, remote = (first, rest) if slash and is_host else (_HUB, image)
    if host == _OLD_HUB:
        host = _HUB
    if host == _HUB and "/" not in remote:
        remote = f"{_OFFICIAL}{remote}"
    return host, remote
