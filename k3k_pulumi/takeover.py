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
import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from k3k_pulumi.host import DirectError, Host, KubeconfigError, Object, Ref, UnreachableError
from k3k_pulumi.printable import printable
from k3k_pulumi.threads import in_thread

Result = TypeVar("Result")

ANSWER_SECONDS = 60.0
"""How long a cluster may take for one object, or to be connected to."""
_LONGEST = 500  # characters of a line
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
    parser.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    dry_run = parser.parse_args(arguments).dry_run
    try:
        done = free(_read(sys.stdin.read()), dry_run=dry_run)
    except StateError as error:
        print(printable(str(error), _LONGEST), file=sys.stderr)
        return 1
    for line in done.lines:
        print(line)
    for line in done.errors:
        print(line, file=sys.stderr)
    count = f"{len(done.lines)} object{'' if len(done.lines) == 1 else 's'}"
    print(f"{count} {'would be ' if dry_run else ''}freed of old field managers", file=sys.stderr)
    return 1 if done.errors else 0


class StateError(ValueError):
    """What was read is no state of a stack, or one whose secrets cannot be read."""


class Freed(NamedTuple):
    """What was done.

    Attributes:
        lines: One for each object that was freed, and of whom.
        errors: One for each cluster or object that could not be looked at.
    """

    lines: list[str]
    errors: list[str]


def free(state: Mapping[str, Any], *, dry_run: bool = False) -> Freed:
    """Takes from field managers of a lost state what resources of a new one own.

    Each provider's cluster is looked at by itself: one that is gone, or whose API server answers what it
    likes (that of a virtual cluster is its tenant's), keeps no other one from being freed.

    Args:
        state: As `pulumi stack export --show-secrets` prints it.
        dry_run: Whether nothing is to be changed.

    Raises:
        StateError: no such state.
    """
    try:
        resources = state["deployment"].get("resources") or []  # none in a stack that has never been deployed
    except (KeyError, TypeError, AttributeError):
        raise StateError(_NO_STATE) from None
    clusters: dict[str, dict[Ref, set[str]]] = {}
    for ref, manager, provider in _applied(resources):
        clusters.setdefault(provider, {}).setdefault(ref, set()).add(manager)
    # Two providers may lead to one cluster: whom one of them applies for is no old manager for the other.
    living = {each for managers in clusters.values() for own in managers.values() for each in own}
    done = Freed([], [])
    for provider, managers in clusters.items():
        _free_cluster(_Cluster(resources, provider), managers, living, done, dry_run=dry_run)
    return done


@dataclass
class _Cluster:
    """The cluster of a provider, which a resource names as `<urn>::<id>`."""

    resources: list[Mapping[str, Any]]
    provider: str

    @property
    def urn(self) -> str:
        return self.provider.rpartition("::")[0]

    def connect(self) -> Host:
        inputs = next((each.get("inputs") or {} for each in self.resources if each["urn"] == self.urn), {})
        kubeconfig, context = _plain(inputs.get("kubeconfig")), _plain(inputs.get("context"))
        try:
            return _in_time(partial(Host.of_provider, kubeconfig, context))
        except KubeconfigError:
            raise DirectError("has no usable kubeconfig") from None


def _free_cluster(
    cluster: _Cluster, managers: Mapping[Ref, set[str]], living: Set[str], done: Freed, *, dry_run: bool
) -> None:
    """Frees the objects of one cluster, and adds to what was done."""

    def failed(error: Exception) -> None:
        # Of what nobody foresaw only the kind is told: it may have a credential in it.
        kind = type(error).__name__
        text = str(error) if isinstance(error, DirectError) else f"no answer of an API server ({kind})"
        done.errors.append(printable(f"provider {cluster.urn}: {text}", _LONGEST))

    try:
        host = cluster.connect()
    except StateError:
        raise
    except Exception as error:
        failed(error)
        return
    for ref, own in managers.items():
        try:
            freed = _in_time(partial(_free, host, ref, own, living, dry_run=dry_run))
        except (UnreachableError, _LateError) as error:
            failed(error)
            return
        except Exception as error:
            failed(error)
        else:
            if freed:
                done.lines.append(printable(f"{ref}: {', '.join(freed)}", _LONGEST))
    host.close()


class _LateError(DirectError):
    """An API server takes its time."""


def _in_time(call: Callable[[], Result]) -> Result:
    """What a call returns or raises, in a thread of its own: who drips an answer is not waited for."""

    async def answer() -> Result:
        task = asyncio.ensure_future(in_thread(call))
        done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
        if not done:
            raise _LateError(f"does not answer within {ANSWER_SECONDS:g} s")
        return task.result()

    return asyncio.run(answer())


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
        metadata = _plain(outputs.get("metadata"))  # that of Secrets is secret
        if not isinstance(metadata, Mapping):
            continue
        namespace, name = metadata.get("namespace", ""), metadata.get("name")
        parts: list[Any] = [outputs.get("apiVersion"), outputs.get("kind"), namespace, name]
        if all(isinstance(part, str) for part in parts):
            yield Ref(*parts), manager, each["provider"]


def _plain(value: Any) -> Any:
    """A value of a state, also where it is secret."""
    if not isinstance(value, Mapping) or _SECRET not in value:
        return value
    if _PLAINTEXT not in value:
        raise StateError("its secrets are encrypted: pulumi stack export --show-secrets")
    return json.loads(value[_PLAINTEXT])


def _free(host: Host, ref: Ref, own: Set[str], living: Set[str], *, dry_run: bool) -> list[str]:
    """Takes from other managers of Pulumi's what `own` have in an object; the names of those."""

    def without_old(entries: list[Object]) -> list[Object]:
        ours: Object = {}
        for entry in entries:
            if _is_whole(entry) and entry["manager"] in own and entry["operation"] == "Apply":
                ours = _union(ours, entry["fieldsV1"])
        kept = []
        for entry in entries:
            if not _is_whole(entry) or not _is_old(entry, living):
                kept.append(entry)
            elif left := _difference(entry["fieldsV1"], ours):
                kept.append({**entry, "fieldsV1": left})
        return kept

    before, after = host.rewrite_managed_fields(ref, without_old, dry_run=dry_run)
    return sorted({entry["manager"] for entry in before if entry not in after})


def _is_whole(entry: Any) -> bool:
    """Whether an entry is as the Kubernetes API has it; a tenant's API server may say anything."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("manager"), str)
        and isinstance(entry.get("operation"), str)
        and _is_tree(entry.get("fieldsV1"))
    )


def _is_tree(fields: Any) -> bool:
    return isinstance(fields, dict) and all(map(_is_tree, fields.values()))


def _is_old(entry: Mapping[str, Any], living: Set[str]) -> bool:
    return (
        entry["operation"] == "Apply"
        and "subresource" not in entry
        and entry["manager"] not in living
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
