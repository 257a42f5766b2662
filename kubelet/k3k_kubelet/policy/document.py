"""What all parts of the policy document are made of."""

from typing import Annotated

import msgspec
from msgspec import Meta

AllowedKey = Annotated[str, Meta(pattern=r"^(?!([^/]+\.)?k3k-pulumi\.io/)[^\s*]+$")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
LabelKey = Annotated[
    str, Meta(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$", max_length=317)
]
LabelValue = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=63)]


class Document(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=False
):
    """Base of every part: camelCase in JSON, unknown keys refused."""


def about(text: str) -> Meta:
    """What a key is for, in the schema and the docs."""
    return Meta(description=text)
