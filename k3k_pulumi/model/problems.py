"""Turns what pydantic found into lines for users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from k3k_pulumi.model.text import nearest, one_of, show

_MUST_BE = {
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a map",
}


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each problem: `<path>: <value found> <what it must be>`."""
    return [line for found in error.errors(include_url=False) for line in _lines(found, model)]


def unknown(path: str, model: type[BaseModel]) -> str:
    """The line for an argument at `path` that the group of arguments `model` does not have."""
    known = [field for field in model.model_fields if field != "name"]
    return f"{path}: unknown argument; {nearest(path.rpartition('.')[2], known)}"


def _lines(found: Any, model: type[BaseModel]) -> Iterator[str]:
    kind, path = found["type"], _path(found["loc"])
    if kind == "k3k_lines":
        yield from found["ctx"]["lines"]
    elif kind == "k3k_below":
        yield from (f"{path}{line}" for line in found["ctx"]["lines"])
    elif kind == "k3k":
        yield f"{path}: {show(found['input'])} {found['ctx']['text']}"
    elif kind == "missing":
        yield f"{path}: missing; it is required"
    elif kind == "extra_forbidden":
        yield unknown(path, _model_at(model, found["loc"][:-1]))
    elif kind == "model_type":
        known = list(_model_at(model, found["loc"]).model_fields)
        yield f"{path}: {show(found['input'])} must be a map with keys of {one_of(known)}"
    else:
        yield f"{path}: {show(found['input'])} {_MUST_BE.get(kind, found['msg'])}"


def _path(location: Sequence[str | int]) -> str:
    location = [part for part in location if part != "[key]"]  # pydantic's word for a map's key itself
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _model_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    for part in location:
        if isinstance(part, int):
            continue  # an item: its model was found with the list
        annotation = model.model_fields[part].annotation
        annotation = next(iter(get_args(annotation)), annotation)
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            raise TypeError(f"{model.__name__}.{part} is no group of arguments")
        model = annotation
    return model
