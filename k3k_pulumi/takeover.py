"""Frees the objects of a stack from the field managers of its own lost state.

    pulumi stack export --show-secrets | python -m k3k_pulumi.takeover

Pulumi applies each resource under a field manager of a random name, which it keeps in the state. Where that
was lost and the objects were taken over (PULUMI_K8S_UPSERT_EXISTING_OBJECTS), they have the old manager
still, which owns the same fields as the new one: the next change of one of them would be refused as a
conflict, and what the program no longer has would stay. What a resource of the stack owns is here taken from
such managers. Nothing else of an object changes, and what nobody but the old manager owns stays his.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from k3k_pulumi.host import DirectError, Host, KubeconfigError, Object, Ref

_OF_PULUMI = re.compile(r"pulumi-kubernetes-[0-9a-f]+")
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - marks a secret in a state; no secret itself
_PLAINTEXT = "plaintext"
_NO_STATE = "no state of a stack: give it what `pulumi stack export --show-secrets` prints"


def main(arguments: list[str] | None = None) -> int:
    """Reads a state from standard input and frees its objects; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m k3k_pulumi.takeover",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        freed = free(_read(sys.stdin.read()))
    except (DirectError, StateError) as error:
        print(error, file=sys.stderr)
        return 1
    for line in freed:
        print(line)
    print(f"{len(freed)} object{'' if len(freed) == 1 else 's'} freed of old field managers", file=sys.stderr)
    return 0


class StateError(ValueError):
    """What was read is no state of a stack, or one whose secrets cannot be read."""


def free(state: Mapping[str, Any]) -> list[str]:
    """Takes from field managers of a lost state what resources of a new one own; a line for each object.

    Args:
        state: As `pulumi stack export --show-secrets` prints it.

    Raises:
        StateError: no such state.
        DirectError: a cluster does not answer, or refused a request.
    """
    try:
        resources = state["deployment"].get("resources") or []  # none in a stack that has never been deployed
    except (KeyError, TypeError, AttributeError):
        raise StateError(_NO_STATE) from None
    hosts: dict[str, Host] = {}
    managers: dict[tuple[str, Ref], set[str]] = {}
    try:
        for ref, manager, provider in _applied(resources):
            if provider not in hosts:
                hosts[provider] = _connect(resources, provider)
            managers.setdefault((provider, ref), set()).add(manager)
        lines = []
        for (provider, ref), own in _of_one_cluster(managers, hosts).items():
            if freed := _free(hosts[provider], ref, own):
                lines.append(f"{ref}: {', '.join(freed)}")
        return lines
    finally:
        for host in hosts.values():
            host.close()


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise StateError(_NO_STATE) from None


def _applied(resources: list[Mapping[str, Any]]) -> Iterator[tuple[Ref, str, str]]:
    """Object, field manager and provider of each resource that was applied to a cluster."""
    for each in resources:
        outputs = each.get("outputs") or {}
        manager = outputs.get("__fieldManager")
        if not each["type"].startswith("kubernetes:") or not manager or each.get("external"):
            continue
        metadata = outputs.get("metadata") or {}
        ref = Ref(outputs["apiVersion"], outputs["kind"], metadata.get("namespace", ""), metadata["name"])
        yield ref, manager, each["provider"]


def _of_one_cluster(
    managers: Mapping[tuple[str, Ref], set[str]], hosts: Mapping[str, Host]
) -> dict[tuple[str, Ref], set[str]]:
    """The same, with the managers together that act on one object by different providers."""
    first: dict[tuple[str, Ref], tuple[str, Ref]] = {}
    joined: dict[tuple[str, Ref], set[str]] = {}
    for (provider, ref), own in managers.items():
        key = first.setdefault((hosts[provider].address, ref), (provider, ref))
        joined.setdefault(key, set()).update(own)
    return joined


def _connect(resources: list[Mapping[str, Any]], reference: str) -> Host:
    """The cluster of a provider, which a resource names as `<urn>::<id>`."""
    urn = reference.rpartition("::")[0]
    inputs = next((each.get("inputs") or {} for each in resources if each["urn"] == urn), {})
    kubeconfig, context = _plain(inputs.get("kubeconfig")), _plain(inputs.get("context"))
    try:
        return Host.of_provider(kubeconfig, context)
    except KubeconfigError:
        raise StateError(f"provider {urn}: has no usable kubeconfig") from None


def _plain(value: Any) -> Any:
    """A value of a state, also where it is secret."""
    if not isinstance(value, Mapping) or _SECRET not in value:
        return value
    if _PLAINTEXT not in value:
        raise StateError("its secrets are encrypted: pulumi stack export --show-secrets")
    return json.loads(value[_PLAINTEXT])


def _free(host: Host, ref: Ref, own: set[str]) -> list[str]:
    """Takes from other managers of Pulumi's what `own` have in an object; the names of those."""

    def without_old(entries: list[Object]) -> list[Object]:
        ours: Object = {}
        for entry in entries:
            if entry["manager"] in own and entry["operation"] == "Apply":
                ours = _union(ours, entry.get("fieldsV1") or {})
        kept = []
        for entry in entries:
            if not _is_old(entry, own):
                kept.append(entry)
            elif left := _difference(entry.get("fieldsV1") or {}, ours):
                kept.append({**entry, "fieldsV1": left})
        return kept

    before, after = host.rewrite_managed_fields(ref, without_old)
    return sorted({entry["manager"] for entry in before if entry not in after})


def _is_old(entry: Mapping[str, Any], own: set[str]) -> bool:
    return (
        entry["operation"] == "Apply"
        and "subresource" not in entry
        and entry["manager"] not in own
        and _OF_PULUMI.fullmatch(entry["manager"]) is not None
    )


def _union(one: Object, other: Object) -> Object:
    """Fields of either; see FieldsV1 in the Kubernetes API."""
    merged = dict(one)
    for key, below in other.items():
        merged[key] = _union(merged.get(key, {}), below)
    return merged


def _difference(one: Object, other: Object) -> Object:
    """Fields of the first alone. That a map or an item is there ("."), goes with the last field of it."""
    left = {}
    for key, below in one.items():
        if key == ".":
            continue
        if not below:
            if key not in other:
                left[key] = below
        elif rest := _difference(below, other.get(key, {})):
            left[key] = rest
    if left and "." in one and "." not in other:
        left["."] = one["."]
    return left


if __name__ == "__main__":
    sys.exit(main())
