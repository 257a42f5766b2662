"""Host objects as YAML text: no engine, no cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml

from k3k_pulumi.manifests import Manifest

_AMBIGUOUS = re.compile(r"[yYnN]|[-+.]*[0-9].*")
"""Texts that PyYAML leaves bare and other readers, kubectl among them, take for a boolean or a number."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and every part in full where the same object is used twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (the base class' signature)
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def render(manifests: Iterable[Manifest]) -> str:
    """The objects as YAML documents, in their order, keys in theirs.

    Secrets are in clear: their `stringData` must be plain text here.
    """
    documents = (
        yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
        for manifest in manifests
    )
    return "---\n".join(documents)
