"""What the engine would do of two runs of a program, by its own rules and those of the kubernetes provider.

Sources: `generateAliases` and `inheritedChildAlias` in pulumi/pulumi, pkg/resource/deploy/step_generator.go;
`forceNew` and `convertPatchToDiff` in pulumi/pulumi-kubernetes, provider/pkg/provider/{diff,provider}.go;
`DiffConfig` there for providers. The engine tests prove the same plans on the engine itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.components.host import SECRET, Deployment, Registration

_IDENTITY = ("metadata.name", "metadata.namespace")
FORCES_REPLACEMENT: Mapping[str, tuple[str, ...]] = {
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "ResourceQuota": ("spec.scopes",),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "Service": ("spec.clusterIP",),
    "Secret": ("type", "data", "stringData"),
    "ConfigMap": ("data", "binaryData"),
}
"""Fields whose change has the provider replace an object of a kind, beside its name and namespace."""


@dataclass(frozen=True)
class Resource:
    """A resource as it was registered, without anything secret, and without what is another thing each time.

    Attributes:
        urn: in the engine's form.
        aliases: URNs that it had before, own ones; those that follow from its parents' are computed.
        inputs: secrets are `[secret]`; what differs between two first deployments is `[varies]`.
        ignores: paths whose changes the engine ignores.
        trigger: whether another value of something replaces it.
    """

    urn: str
    parent: str
    inputs: dict[str, Any]
    aliases: list[str] = field(default_factory=list)
    ignores: list[str] = field(default_factory=list)
    trigger: Any = None

    @property
    def type(self) -> str:
        return self.urn.split("::")[2].rpartition("$")[2]

    @property
    def kind(self) -> str:
        return self.type.rpartition(":")[2]

    @property
    def name(self) -> str:
        return self.urn.split("::", 3)[3]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """What becomes of a resource (same, create, update, replace or delete), and the changed paths."""

    op: str
    resource: Resource
    paths: tuple[str, ...] = ()
    before: Resource | None = None


def resources(first: Deployment, second: Deployment | None = None) -> list[Resource]:
    """All that a run registered.

    Args:
        first: the run.
        second: another first run of the same program, to tell what varies; the same run by default.
    """
    others = {_urn(each): each for each in (second or first).registrations}
    return sorted(
        (_resource(each, others[_urn(each)]) for each in first.registrations), key=lambda each: each.urn
    )


def plan(before: Iterable[Resource], after: Iterable[Resource]) -> list[Step]:
    """What a deployment of `after` does to what `before` deployed."""
    olds = {each.urn: each for each in before}
    by_urn = {each.urn: each for each in after}
    found_as: dict[str, str] = {}  # the URN that a resource was found under
    steps = []
    for each in sorted(by_urn.values(), key=lambda each: each.urn.count("$")):
        parents = found_as.get(each.parent)
        names = [
            each.urn,
            *each.aliases,
            *(_inherited(each, by_urn[each.parent], parents) if parents else []),
        ]
        urn = next((name for name in names if name in olds), None)
        if urn is None:
            steps.append(Step("create", each))
            continue
        if urn != each.urn:
            found_as[each.urn] = urn
        steps.append(_step(olds.pop(urn), each))
    return steps + [Step("delete", each) for each in olds.values()]


def _step(old: Resource, new: Resource) -> Step:
    was, now = dict(_leaves(old.inputs)), dict(_leaves(new.inputs))
    changed = [path for path in sorted(was.keys() | now.keys()) if was.get(path) != now.get(path)]
    paths = tuple(path for path in changed if not _is_within(path, new.ignores))
    if any(_is_within(path, _forcing(new)) for path in paths) or old.trigger != new.trigger:
        return Step("replace", new, paths, old)
    return Step("update" if paths else "same", new, paths, old)


def _forcing(resource: Resource) -> tuple[str, ...]:
    if resource.type == "pulumi:providers:kubernetes":
        return ("clusterIdentifier",)
    if not resource.type.startswith("kubernetes:"):
        return ()
    return _IDENTITY + FORCES_REPLACEMENT.get(resource.kind, ())  # patches: their objects' identity alone


def _is_within(path: str, tops: Iterable[str]) -> bool:
    return any(path == top or path.startswith((f"{top}.", f"{top}[")) for top in tops)


def _inherited(child: Resource, parent: Resource, parents_alias: str) -> list[str]:
    """Aliases of a child that follow from its parent's."""

    def one(urn: str) -> str:
        head, name = urn.rsplit("::", 1)
        if name.startswith(parent.name):
            name = parents_alias.rsplit("::", 1)[1] + name.removeprefix(parent.name)
        start = "::".join(head.split("::")[:2])
        return f"{start}::{parents_alias.split('::')[2]}${head.rpartition('$')[2]}::{name}"

    return [one(urn) for urn in (child.urn, *child.aliases)]


def _urn(registration: Registration) -> str:
    return _made_urn(registration.request.parent, registration.type, registration.name)


def _made_urn(parent: str, type_: str, name: str) -> str:
    types = _parent(parent).split("::")[2] + "$" if _parent(parent) else ""
    return f"urn:pulumi:stack::project::{types}{type_}::{name}"


def _parent(urn: str) -> str:
    """The URN of a parent but the stack, which no URN of the engine's has in it."""
    return "" if "pulumi:pulumi:Stack::" in urn else urn.replace("pulumi:pulumi:Stack$", "")


def _resource(one: Registration, other: Registration) -> Resource:
    request = one.request
    aliases = [
        alias.urn
        or _made_urn(
            alias.spec.parentUrn or request.parent, alias.spec.type or one.type, alias.spec.name or one.name
        )
        for alias in request.aliases
    ]
    trigger = request.HasField("replacement_trigger")
    return Resource(
        urn=_urn(one),
        parent=_parent(request.parent),
        inputs=_redacted(one.inputs, other.inputs),
        aliases=aliases,
        ignores=list(request.ignoreChanges),
        trigger=trigger or None,
    )


def _redacted(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and SECRET in one:
        return "[secret]"
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _redacted(value, other.get(key)) for key, value in sorted(one.items())}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_redacted(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
    return one if one == other else "[varies]"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value
