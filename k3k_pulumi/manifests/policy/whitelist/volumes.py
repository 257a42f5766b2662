"""Validations of volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from k3k_pulumi.manifests.policy.whitelist.cel import (
    Validation,
    all_of,
    any_of,
    each,
    found,
    listed,
    literal,
    new,
)

_ON_HOST = {"ephemeral": "persistentVolumeClaim"}
"""Kinds of volumes that are another kind on the host."""


def validations(pods: Mapping[str, Any]) -> Iterator[Validation]:
    """All of them, for a document's part `pods`."""
    kinds = dict.fromkeys(_ON_HOST.get(kind, kind) for kind in pods["volumeTypes"])
    paths = [item["path"] for item in pods["hostPaths"]]
    known = [*kinds, *(["hostPath"] if paths else [])]
    yield _volume("", any_of(*(f"has(v.{kind})" for kind in known)), listed("volumeTypes", known))
    if paths:
        holds = f"!has(v.hostPath) || ({_covered('v.hostPath.path', pods['hostPaths'])})"
        yield _volume(".hostPath.path", holds, listed("hostPaths", paths))
    mapped = sorted({item["hostServiceAccount"] for item in pods["serviceAccounts"]})
    # Webhooks of the host bring tokens for the clouds to pods of accounts that have an identity there.
    token = all_of(
        f"object.spec.serviceAccountName in {literal(mapped)}",
        's.?serviceAccountToken.?audience.orValue("") != ""',
    )
    source = any_of("has(s.configMap)", "has(s.secret)", "has(s.downwardAPI)", *([token] if mapped else []))
    yield _volume(
        ".projected.sources[*]",
        f"!has(v.projected) || {each(found('v.projected.?sources'), 's', source)}",
        "configMap, secret and downwardAPI are allowed: no token of the host is mounted",
    )
    if pods["alwaysPullImages"]:
        holds = '!has(v.image) || v.image.?pullPolicy.orValue("") == "Always"'
        yield _volume(".image.pullPolicy", holds, "must be Always")


def read_only(pods: Mapping[str, Any]) -> str:
    """The names of the pod's volumes whose path `pods.hostPaths` has for reading alone."""
    writable = [item for item in pods["hostPaths"] if item.get("readOnly", True) is False]
    reads = f"has(v.hostPath) && !({_covered('v.hostPath.path', writable)})"
    return f"object.spec.?volumes.orValue([]).filter(v, {reads}).map(v, v.name)"


def _volume(field: str, holds: str, allowed: str) -> Validation:
    """A validation of what holds of each volume `v`."""
    return new(f"spec.volumes[*]{field}", each("variables.volumes", "v", holds), allowed)


def _covered(path: str, entries: list[Mapping[str, Any]]) -> str:
    """Whether one of the entries has the path or a folder above it."""
    parts = f'{path}.split("/").filter(p, p != "")'
    below = []
    for item in entries:
        prefix = [part for part in item["path"].split("/") if part]
        joined = f'({parts}.join("/") + "/")'
        below.append(f"{joined}.startsWith({literal('/'.join(prefix) + '/')})" if prefix else "true")
    return all_of(f'{path}.startsWith("/")', f'!{parts}.exists(p, p in [".", ".."])', any_of(*below))
