"""Images of some registries, as regular expressions (RE2) over the references that containers have.

The rules are those of `k3k_pulumi.model.images`, which a CEL expression cannot call: a name without a host is
one of Docker Hub, and one of a single part is in its `library`. A test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from k3k_pulumi.manifests.policy.whitelist.cel import all_of, any_of, literal

_HUB, _HUB_ALIAS, _OFFICIAL = "docker.io", "index.docker.io", "library"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_NO_HOST = r"[a-z0-9]+((_|__|-+)[a-z0-9]+)*"
_BELOW = f"/{_PART}"
_TAG = r"(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@[A-Za-z0-9+._-]+:[0-9a-fA-F]+)?"
_ID = "^([0-9a-f]{64}|sha(256|384|512):[0-9a-fA-F]+)$"
"""An image that a node has already, wherever it came from; the beginning of a digest will do."""


def from_registries(image: str, registries: Iterable[str]) -> str:
    """Whether an image is from one of the registries.

    Args:
        image: expression of its reference.
        registries: prefixes of images' full names, of whole parts.
    """
    # No full name begins with the alias.
    parts = [each for each in map(_parts, registries) if each[0] != _HUB_ALIAS]
    hub = [each for each in parts if each[0] == _HUB]
    others = [each for each in parts if each[0] != _HUB]
    found = [f"{image}.matches({literal(_pattern(others))})"] if others else []
    if hub:
        # RE2 has no way to leave out a word: `localhost/x` looks like a name without a host.
        own = [f'!{image}.startsWith("localhost/")', f"!{image}.matches({literal(_ID)})"]
        found.append(all_of(f"{image}.matches({literal(_pattern(hub))})", *own))
    return any_of(*found)


def _parts(prefix: str) -> tuple[str, ...]:
    return tuple(prefix.removesuffix("/").split("/"))


def _pattern(prefixes: Iterable[tuple[str, ...]]) -> str:
    forms = [form for prefix in prefixes for form in _forms(*prefix)]
    return f"^({'|'.join(forms)}){_TAG}$"


def _forms(host: str, *path: str) -> Iterator[str]:
    """The names that begin with these parts, in each way in which they are written."""
    rest = "/".join(map(re.escape, path))
    if host != _HUB:
        yield f"{re.escape(host)}" + (f"/{rest}({_BELOW})*" if rest else f"({_BELOW})+")
        return
    hub = f"({re.escape(_HUB)}|{re.escape(_HUB_ALIAS)})"
    # A single part after the hub's name is an image of its library.
    more = f"({_BELOW}){'+' if len(path) == 1 else '*'}"
    yield f"{hub}/{rest}{more}" if rest else f"{hub}({_BELOW})+"
    if not path:
        yield _PART
        yield f"{_NO_HOST}({_BELOW})+"
    elif re.fullmatch(_NO_HOST, path[0]) and path[0] != "localhost":
        yield f"{rest}{more}"
    if path == (_OFFICIAL,):
        yield f"({hub}/)?{_PART}"
    elif path[:1] == (_OFFICIAL,) and len(path) == 2:
        yield f"({hub}/)?{re.escape(path[1])}"
