"""The files of tests/e2e/hostile: what a tenant tries, and what has to come of it, inside and on the host.

A file's first document says what must happen (`Case`, read strictly), the others are the objects that the
tenant creates in a namespace of the case's own. What is known only in a run, or too long to be written down,
stands there as a YAML tag:

    !known anchor               one of the run's facts, see `KNOWN`
    !copy web                   host name of the copy of this case's object `web`
    !text {of: x, times: 9}     the text again and again
    !each {of: X, times: 9}     a list of X, with the number in the place of each `{n}`
    !map {of: X, times: 9}      a map from `key-{n}` to X
    !absent                     in `host.pod`: there is no such field
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

FOLDER = Path(__file__).parents[1] / "hostile"
KNOWN = {
    "anchor": "the ConfigMap that owns all of the cluster on the host",
    "bait": "a word that only host objects of others contain: it must never be seen inside",
    "control-plane-namespace": "host namespace of the control plane",
    "control-plane-secret": "a Secret of the control plane",
    "host-uid": "uid of a pod of somebody else's on the host",
    "kubelet-account": "the virtual kubelet's ServiceAccount",
    "namespace": "the case's own namespace inside",
    "neighbour": "host name of a pod of another virtual namespace",
    "neighbour-config-map": "host name of the copy of that pod's ConfigMap",
    "neighbour-secret": "host name of the copy of that pod's Secret",
    "neighbour-tokens": "host name of the Secret with that pod's tokens",
    "neighbour-uid": "uid inside of that pod",
    "node": "a node of the host",
    "other-namespace": "the virtual namespace of that pod",
    "server": "host name of the control plane's pod",
    "unique": "a word that no other run uses",
    "workload-account": "the host ServiceAccount that all pods of the cluster have",
    "workload-namespace": "the host namespace of the tenant's pods",
}


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"

    def __reduce__(self) -> str:
        return "ABSENT"  # one object, also in the process that reads it from a file


ABSENT = _Absent()


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of a header."""


class Inside(_Strict, frozen=True):
    """What the tenant sees; exactly one of the first four.

    Attributes:
        rejected: the field that his own API server finds wrong, or a part of what it says.
        refused: the field that the Warning event `reason` names; the pod stays Pending.
        waits: reason of the container's waiting, of a condition or of a Warning event.
        ends: phase in which the pod ends.
        reason: of the event of a refused pod; of the status of one that ends.
        log: all that the pod's container `main` prints.
        dropped: fields that an event says are left out, in their order.
    """

    rejected: str = ""
    refused: str = ""
    waits: str = ""
    ends: Literal["", "Succeeded", "Failed"] = ""
    reason: str = ""
    log: str | None = None
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(map(bool, (self.rejected, self.refused, self.waits, self.ends))) != 1:
            raise ValueError("exactly one of rejected, refused, waits, ends")
        if self.refused and not self.reason:
            raise ValueError("a refused pod needs the reason of its event")
        if self.log is not None and not self.ends:
            raise ValueError("only what ends has a whole log")


class HostSide(_Strict, frozen=True):
    """What the host has.

    Attributes:
        pod: part of each pod's copy, beside what holds for every copy; None: there is no copy at all.
        copies: the objects of the namespace that are copied, `secrets/login`, and `tokens/POD`.
    """

    pod: dict[str, Any] | None
    copies: tuple[str, ...]


class Case(_Strict, frozen=True):
    """The header of a file.

    Attributes:
        about: what the tenant tries.
        inside: what he sees.
        host: what the host has.
        bait: objects made on the host before, which must stay as they are.
        namespace: `longest` gives the case a namespace of 63 characters.
    """

    about: str
    inside: Inside
    host: HostSide
    bait: tuple[dict[str, Any], ...] = ()
    namespace: Literal["", "longest"] = ""

    def __post_init__(self) -> None:
        if (self.inside.rejected or self.inside.refused) and self.host.pod is not None:
            raise ValueError("what is refused or rejected has no host.pod")


@dataclass(frozen=True)
class Tag:
    """What stands for a value until the run is known."""

    name: str
    value: Any


Copy = Callable[[str], str]


def read(file: Path, known: Mapping[str, str], copy: Copy) -> tuple[Case, list[dict[str, Any]]]:
    """A case and its objects, with the facts of the run.

    Args:
        file: one of FOLDER.
        known: value of each of KNOWN.
        copy: name of an object of the case -> name of its copy on the host.

    Raises:
        ValueError: what is not written as it must be; the message names the file.
    """
    try:
        documents = list(yaml.load_all(file.read_text(), _Loader))
        header, *objects = (_resolved(document, known, copy) for document in documents)
        case = msgspec.convert(header, Case)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name}: {error}") from error
    if not any(each["kind"] == "Pod" for each in objects):
        raise ValueError(f"{file.name}: there is no pod")
    return case, objects


class _Loader(yaml.SafeLoader):
    """YAML with the tags above."""


def _tagged(loader: _Loader, name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return Tag(name, loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.ScalarNode):
        return ABSENT if name == "absent" else Tag(name, loader.construct_scalar(node))
    raise ValueError(f"!{name} of a list")


_Loader.add_multi_constructor("!", _tagged)


def _resolved(value: Any, known: Mapping[str, str], copy: Copy) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, known, copy) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, known, copy) for item in value]
    if not isinstance(value, Tag):
        return value
    if value.name == "known":
        return known[value.value]
    if value.name == "copy":
        return copy(value.value)
    of, times = _resolved(value.value["of"], known, copy), value.value["times"]
    if value.name == "text":
        return of * times
    if value.name == "each":
        return [_numbered(of, n) for n in range(times)]
    if value.name == "map":
        return {f"key-{n}": _numbered(of, n) for n in range(times)}
    raise ValueError(f"!{value.name} is not known")


def _numbered(value: Any, n: int) -> Any:
    if isinstance(value, dict):
        return {key: _numbered(item, n) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item, n) for item in value]
    return value.replace("{n}", str(n)) if isinstance(value, str) else value


def differences(expected: Any, found: Any, path: str) -> list[str]:
    """Where `found` is not what is expected: maps may have more keys, everything else is equal."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key, item in expected.items()
            for line in differences(item, found.get(key, ABSENT), f"{path}.{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line for n, item in enumerate(expected) for line in differences(item, found[n], f"{path}[{n}]")
        ]
    return [] if expected == found else [f"{path} is {found!r}, not {expected!r}"]
