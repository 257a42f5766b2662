"""Whether one entry of a list in the policy document allows all that another one allows.

Each is the virtual kubelet's own meaning of such entries (`kubelet/k3k_kubelet/translate`): a cluster's list
within its policy's allows no pod more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from k3k_pulumi.model import networks

_ANY = "*"
_LOCAL = "Localhost/"


def same(allowed: Any, wanted: Any) -> bool:
    """Exact values."""
    return bool(allowed == wanted)


def classes(allowed: str, wanted: str) -> bool:
    """Names of classes: `*` is every name, and not the empty one, which is no class."""
    return allowed == wanted or (allowed == _ANY and wanted != "")


def hosts(allowed: str, wanted: str) -> bool:
    """Host names: `*.example.com` is one label in place of the asterisk, `*` is all."""
    _, dot, domain = wanted.partition(".")
    return allowed in (_ANY, wanted) or (dot == "." and allowed == f"*.{domain}")


def keys(allowed: str, wanted: str) -> bool:
    """Keys of labels and annotations: `example.com/` is a whole prefix."""
    return allowed == wanted or (allowed.endswith("/") and wanted.startswith(allowed))


def profiles(allowed: str, wanted: str) -> bool:
    """Profiles of seccomp and AppArmor: `Localhost/*` is every file on the node."""
    return allowed == wanted or (
        allowed == f"{_LOCAL}*" and wanted.startswith(_LOCAL) and ".." not in wanted.split("/")
    )


def host_paths(allowed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Paths of the node, with all below them; who may write may read."""
    outer, inner = allowed.get("path"), wanted.get("path")
    if not outer or not inner or not outer.startswith("/") or not inner.startswith("/"):
        return False
    above, parts = _parts(outer), _parts(inner)
    if ".." in parts or "." in parts or ".." in above or "." in above:
        return False
    return parts[: len(above)] == above and (
        allowed.get("readOnly", True) is False or wanted.get("readOnly", True) is True
    )


def tolerations(allowed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tolerations: every taint that `wanted` tolerates is tolerated by `allowed` too."""
    if allowed.get("effect") and allowed["effect"] != wanted.get("effect"):
        return False
    exists = allowed.get("operator") == "Exists"
    if not allowed.get("key"):
        return exists
    if allowed["key"] != wanted.get("key"):
        return False
    if exists:
        return True
    return wanted.get("operator", "Equal") == "Equal" and same(
        allowed.get("value", ""), wanted.get("value", "")
    )


def data_sources(allowed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Objects that claims are filled from; the core group may be left out."""
    return {"apiGroup": "", **allowed} == {"apiGroup": "", **wanted}


def ranges(allowed: Iterable[networks.Network], wanted: networks.Network) -> bool:
    """Whether some address ranges together have all of another one."""
    return any(
        networks.contains(networks.parse(each), wanted) for each in networks.collapse(allowed, wanted.version)
    )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
