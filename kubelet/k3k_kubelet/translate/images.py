"""Names of images, as container runtimes understand them.

Source of the rules: github.com/distribution/reference, by which kubelets and container runtimes read names
(ParseNormalizedNamed). What that refuses has no name here.
"""

import re
from collections.abc import Iterable

_HUB, _OLD_HUB, _OFFICIAL = "docker.io", "index.docker.io", "library/"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?)/(?P<path>{_PART}(?:/{_PART})*)"
    rf"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?"
)
_ID = re.compile(rf"[a-f0-9]{{64}}|{_DIGEST}|sha(?:256|384|512):[0-9a-fA-F]+")
"""An image that a node has already, whatever registry it came from: runtimes take it, or the beginning of its
digest, in place of a name.
"""
_MAX_PATH = 255


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
    return f"{found['domain']}/{found['path']}"


def is_of(image: str, registries: Iterable[str]) -> bool:
    """Whether an image is of one of some registries or parts of them, compared by whole parts of names."""
    name = repository(image)
    return name is not None and any(f"{name}/".startswith(f"{each.rstrip('/')}/") for each in registries)


def _split(image: str) -> tuple[str, str]:
    """Domain and the rest, as Docker tells them apart."""
    first, slash, rest = image.partition("/")
    is_domain = first == "localhost" or "." in first or ":" in first or first != first.lower()
    domain, remote = (first, rest) if slash and is_domain else (_HUB, image)
    if domain == _OLD_HUB:
        domain = _HUB
    if domain == _HUB and "/" not in remote:
        remote = f"{_OFFICIAL}{remote}"
    return domain, remote
