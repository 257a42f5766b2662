"""The engine behind the field table: structs whose every field has a rule.

A value is copied field by field, at every depth: what the table does not name cannot reach the host. Shapes
check types as well, so that no object hides where a string is expected.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from k3k_kubelet.translate.objects import Object, Refused

Rule = Literal["copied", "translated", "policy", "dropped", "refused"]


class Omit:
    """Type of OMIT."""


OMIT = Omit()
"""What a rule returns to leave the field out."""


class Notes(Protocol):
    """What one translation notes down. Each kind of object has a class of its own, which its rules know."""

    def drop(self, path: str, reason: str) -> None:
        """Note that a field is left out."""


class Silent:
    """Notes of who only reads an object: whoever translates it tells what is left out."""

    def drop(self, path: str, reason: str) -> None:
        """Nobody is told."""


Apply = Callable[[Any, Any, str, Mapping[str, Any]], Any]
"""A rule's function: (copied value, the kind's Notes, path, original around the field) -> host's value or
OMIT."""

Finish = Callable[[Object, Any, str, Mapping[str, Any]], Object]
"""A struct's last step: (its copy, the kind's Notes, path, the original) -> the struct on the host."""


class Shape(Protocol):
    """How a value looks, and how it is copied."""

    def copy(self, value: Any, context: Notes, path: str) -> Any:
        """Copy `value`, found at `path`; raises Refused for what the host must not get."""


@dataclass(frozen=True, slots=True)
class Field:
    """A row of the table.

    Attributes:
        rule: what becomes of the field.
        shape: how its value looks; None where it is not looked into (dropped, refused).
        why: the reason, or what it is turned into; shown in the docs and in events.
        apply: the function of a translated or policy field.
        allowed: for refused fields: what to do instead.
        usual: for dropped fields: values that every pod may have, which are no news; for them and for refused
            ones None if no value is news.
    """

    rule: Rule
    shape: Shape | None = None
    why: str = ""
    apply: Apply | None = None
    allowed: str = ""
    usual: tuple[Any, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar."""

    name: str
    types: tuple[type, ...]

    def copy(self, value: Any, context: Notes, path: str) -> Any:  # noqa: ARG002
        """The value itself."""
        if type(value) not in self.types:
            raise _wrong(path, value, self.name)
        return value


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from strings to scalars."""

    item: Leaf

    def copy(self, value: Any, context: Notes, path: str) -> dict[str, Any]:  # noqa: ARG002
        """A new map."""
        if type(value) is not dict:
            raise _wrong(path, value, "a map")
        types = self.item.types
        for key, item in value.items():
            if type(key) is not str or type(item) not in types:
                raise _wrong(f"{path}[{key!r}]", item, self.item.name)
        return dict(value)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: Shape

    def copy(self, value: Any, context: Notes, path: str) -> list[Any]:
        """A new list of copies, without those that a rule omitted."""
        if type(value) is not list:
            raise _wrong(path, value, "a list")
        copies = (self.item.copy(item, context, f"{path}[{n}]") for n, item in enumerate(value))
        return [item for item in copies if item is not OMIT]


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with named fields.

    Attributes:
        name: its name in the Kubernetes API.
        fields: every field of it.
        finish: last step over the whole struct.
    """

    name: str
    fields: Mapping[str, Field]
    finish: Finish | None = None

    def copy(self, value: Any, context: Notes, path: str) -> Any:
        """The struct as the host gets it."""
        if type(value) is not dict:
            raise _wrong(path, value, "an object")
        copy: Object = {}
        for key, item in value.items():
            if item is None:
                continue
            field = self.fields.get(key)
            if field is None:
                raise Refused(
                    f"{path}.{key}",
                    f"this field of {self.name} is not known to this version of the virtual kubelet",
                    "leave it out",
                )
            shape = field.shape
            if shape is None:
                _leave_out(field, item, context, f"{path}.{key}")
            elif field.apply is None:
                copy[key] = shape.copy(item, context, f"{path}.{key}")
            else:
                below = f"{path}.{key}"
                made = field.apply(shape.copy(item, context, below), context, below, value)
                if made is not OMIT:
                    copy[key] = made
        return copy if self.finish is None else self.finish(copy, context, path, value)


def _leave_out(field: Field, value: Any, context: Notes, path: str) -> None:
    if value in ("", [], {}) or value is False:
        return
    if field.rule == "refused":
        raise Refused(path, field.why, field.allowed)
    if field.usual is not None and value not in field.usual:
        context.drop(path, field.why)


def _wrong(path: str, value: Any, expected: str) -> Refused:
    return Refused(path, f"{type(value).__name__} found where {expected} is expected")


STRING = Leaf("a string", (str,))
INTEGER = Leaf("an integer", (int,))
BOOLEAN = Leaf("a boolean", (bool,))
INT_OR_STRING = Leaf("an integer or a string", (int, str))
QUANTITY = Leaf("a quantity", (str, int, float))
STRINGS = ListOf(STRING)
INTEGERS = ListOf(INTEGER)
STRING_MAP = MapOf(STRING)
QUANTITIES = MapOf(QUANTITY)


SAME = "it means the same on the host"


def copied(shape: Shape, why: str = SAME) -> Field:
    """Given to the host as it is."""
    return Field("copied", shape, why)


def translated(shape: Shape, why: str, apply: Apply | None = None) -> Field:
    """Given to the host changed; without `apply` by the shape or by the struct's last step."""
    return Field("translated", shape, why, apply)


def by_policy(shape: Shape, why: str, apply: Apply | None = None) -> Field:
    """Given to the host if the cluster's policy allows the value."""
    return Field("policy", shape, why, apply)


def dropped(why: str, *, usual: tuple[Any, ...] | None = ()) -> Field:
    """Left out of the host's copy, with an event unless the value is a usual one or no loss."""
    return Field("dropped", None, why, usual=usual)


def refused(why: str, allowed: str = "leave it out", *, waits: bool = False) -> Field:
    """An object that sets it has no copy; a pod that `waits` is not translated at all, and no news."""
    return Field("refused", None, why, allowed=allowed, usual=None if waits else ())


def rows(struct: Struct, path: str = "") -> Iterator[tuple[str, str, Field]]:
    """Every field of a struct and of those below it, as (path, name of the struct, field)."""
    for key, field in struct.fields.items():
        below = f"{path}.{key}" if path else key
        yield below, struct.name, field
        shape = field.shape
        while isinstance(shape, ListOf):
            shape, below = shape.item, f"{below}[]"
        if isinstance(shape, Struct):
            yield from rows(shape, below)
