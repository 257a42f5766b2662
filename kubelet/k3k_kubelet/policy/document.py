"""What all parts of the policy document are made of."""

from collections.abc import Iterable
from typing import Annotated, Any

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

    def manifest(self) -> dict[str, Any]:
        """The part as it stands in an object of Kubernetes: without what says nothing."""
        values = ((key, _plain(getattr(self, name))) for name, key in self._keys())
        return {key: value for key, value in values if value not in (None, "", [], {})}

    def _keys(self) -> Iterable[tuple[str, str]]:
        """Names of the fields, in Python and in JSON."""
        return zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Document):
        return value.manifest()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def about(text: str) -> Meta:
    """What a key is for, in the schema and the docs."""
    return Meta(description=text)
