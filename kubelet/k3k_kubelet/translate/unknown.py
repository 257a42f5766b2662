"""Fields that the host's API server has left out of a pod, as it does with those it does not know."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k3k_kubelet.translate.objects import Dropped

_REASON = "the host's Kubernetes does not know it, or has its feature gate off"
_MAX = 10


def left_out(sent: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[Dropped, ...]:
    """What a host pod's spec lacks of what was sent, ten fields at most.

    Values may differ: the host's admission may change them. Paths are the host pod's, which are the virtual
    pod's too, as translation keeps lists in order.
    """
    found = []
    for path in _missing(sent, made, "spec"):
        found.append(Dropped(path, _REASON))
        if len(found) == _MAX:
            break
    return tuple(found)


def _missing(sent: Any, made: Any, path: str) -> Iterator[str]:
    if isinstance(sent, dict) and isinstance(made, dict):
        for key, value in sent.items():
            below = f"{path}.{key}"
            if key in made:
                yield from _missing(value, made[key], below)
            elif not _is_empty(value):
                yield below
    elif isinstance(sent, list) and isinstance(made, list):
        yield from _missing_items(sent, made, path)


def _missing_items(sent: Sequence[Any], made: Sequence[Any], path: str) -> Iterator[str]:
    """By name where items have one: admission may put others between them. Else only lists of one length."""
    named = {each["name"]: each for each in made if isinstance(each, dict) and "name" in each}
    for n, each in enumerate(sent):
        below = f"{path}[{n}]"
        if isinstance(each, dict) and "name" in each:
            if each["name"] in named:
                yield from _missing(each, named[each["name"]], below)
            else:
                yield below
        elif len(sent) == len(made):
            yield from _missing(each, made[n], below)


def _is_empty(value: Any) -> bool:
    """Whether an API server may leave a value out because it says nothing."""
    return value in (None, "", 0, False) or (isinstance(value, (dict, list)) and not value)
