"""The page "What runs in a shared cluster": the field table and the policy, for people.

The text around the tables stands in `behaviour.md` beside this file; a line `{{name}}` there is replaced.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from k3k_kubelet import policy
from k3k_kubelet.translate.schema import SAME, Field, ListOf, Shape, Struct, rows
from k3k_kubelet.translate.table import EPHEMERAL_CONTAINER, POD_SPEC
from k3k_kubelet.translate.table.containers import CONTAINER, HANDLER, PROBE
from k3k_kubelet.translate.table.scheduling import AFFINITY, POD_TERM, TOLERATION, TOPOLOGY_SPREAD
from k3k_kubelet.translate.table.security import CONTAINER_SECURITY, POD_SECURITY
from k3k_kubelet.translate.table.status import POD_STATUS
from k3k_kubelet.translate.table.volumes import ENV, ENV_FROM, VOLUME

from kubelet.docs.values import default

_TEXT = Path(__file__).parent / "behaviour.md"
_KEY = re.compile(r"pods\.\w+(\.\w+)*")


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the field table that has a section of its own.

    Attributes:
        title: the section's.
        place: where in a pod its fields stand.
        struct: the fields.
    """

    title: str
    place: str
    struct: Struct

    @property
    def link(self) -> str:
        """A link to the section."""
        return f"[{self.title}](#{re.sub(r'[^a-z ]', '', self.title.lower()).replace(' ', '-')})"


GROUPS = (
    Group("The pod", "spec", POD_SPEC),
    Group(
        "Containers",
        "spec.containers[], and the same in spec.initContainers[] (sidecars included) and "
        "spec.ephemeralContainers[]",
        CONTAINER,
    ),
    Group("Probes", "livenessProbe, readinessProbe and startupProbe of a container", PROBE),
    Group("Hooks", "lifecycle.postStart and lifecycle.preStop of a container", HANDLER),
    Group("Variables", "env[] of a container", ENV),
    Group("Sources of variables", "envFrom[] of a container", ENV_FROM),
    Group("Security of a container", "securityContext of a container", CONTAINER_SECURITY),
    Group("Security of the pod", "spec.securityContext", POD_SECURITY),
    Group("Volumes", "spec.volumes[]", VOLUME),
    Group("Affinity", "spec.affinity", AFFINITY),
    Group("Terms about pods", "podAffinity and podAntiAffinity of spec.affinity", POD_TERM),
    Group("Topology spread", "spec.topologySpreadConstraints[]", TOPOLOGY_SPREAD),
    Group("Tolerations", "spec.tolerations[]", TOLERATION),
)
_BY_STRUCT = {id(group.struct): group for group in GROUPS} | {id(EPHEMERAL_CONTAINER): GROUPS[1]}

_RULES = {
    "translated": "translated",
    "policy": "by policy",
    "dropped": "dropped, with an event",
    "refused": "refused, with an event",
    "copied": "copied",
}


_QUIET = {"dropped": "dropped, nothing is lost", "refused": "refused till then, without an event"}
"""Rules without an event."""


@dataclass(slots=True)
class _Row:
    """Fields of a group that have one treatment for one reason."""

    rule: str
    why: str
    names: list[str]


def render() -> str:
    """The whole page."""
    text = _TEXT.read_text()
    parts = {
        "fields": "\n".join(section(group) for group in GROUPS),
        "policy": _policy(),
        "settings": _settings(),
        "status": _status(),
        "counts": _counts(),
    }
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part.strip())
    return text


def section(group: Group) -> str:
    """The section of one part of a field table."""
    rows: dict[tuple[str, str], _Row] = {}
    plain: list[str] = []
    for name, field in named(group):
        found, why = target(field.shape), _sentence(field.why)
        if found is not None:
            said = "" if field.why == SAME or not why else f"{why}; "
            rows["", name] = _Row(_RULES[field.rule], f"{said}see {found.link}", [name])
        elif field.rule == "copied" and field.why == SAME:
            plain.append(name)
        elif why:
            rule = _QUIET[field.rule] if field.usual is None else _RULES[field.rule]
            rows.setdefault((rule, why), _Row(rule, why, [])).names.append(name)
    lines = [f"### {group.title}", "", f"`{group.place}`" if " " not in group.place else f"{group.place}", ""]
    if rows:
        lines += ["| field | what happens | how and why |", "|---|---|---|"]
        lines += [
            f"| {_code(row.names)} | {row.rule} | {row.why} |" for row in sorted(rows.values(), key=_order)
        ]
        lines.append("")
    if plain:
        lines += [f"Copied as they are, as they mean the same on the host: {_code(plain)}.", ""]
    return "\n".join(lines)


def named(group: Group) -> Iterator[tuple[str, Field]]:
    """The fields of a section that say something: what is copied below a field goes without saying."""
    own = [EPHEMERAL_CONTAINER.fields.keys() - CONTAINER.fields.keys()] if group.struct is CONTAINER else []
    for name, field in _walk(group.struct, ""):
        if "." not in name or not _is_plain(field):
            yield name, field
    yield from ((name, EPHEMERAL_CONTAINER.fields[name]) for names in own for name in sorted(names))


def _walk(struct: Struct, path: str) -> Iterator[tuple[str, Field]]:
    for key, field in struct.fields.items():
        name = f"{path}{key}"
        yield name, field
        below = _inner(field.shape)
        if isinstance(below, Struct) and id(below) not in _BY_STRUCT:
            repeated = "[]" if isinstance(field.shape, ListOf) else ""
            yield from _walk(below, f"{name}{repeated}.")


def _is_plain(field: Field) -> bool:
    """Whether a field and all below it is copied for no special reason."""
    if field.rule != "copied" or field.why != SAME:
        return False
    below = _inner(field.shape)
    return not isinstance(below, Struct) or all(_is_plain(each) for each in below.fields.values())


def _inner(shape: Shape | None) -> Shape | None:
    while isinstance(shape, ListOf):
        shape = shape.item
    return shape


def target(shape: Shape | None) -> Group | None:
    """The section that a field's fields have for themselves, if they have one."""
    return _BY_STRUCT.get(id(_inner(shape)))


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _sentence(why: str) -> str:
    why = why.removesuffix("see there").removesuffix(", ").removesuffix("; ")
    return _KEY.sub(lambda key: f"[`{key[0]}`](#the-policy)", why).replace("|", "\\|")


def _order(row: _Row) -> tuple[int, str]:
    rules = ("translated", "by policy", "dropped", "refused", "copied")
    return (rules.index(row.rule.partition(",")[0].partition(" till")[0]), row.names[0])


def _counts() -> str:
    """How many fields have which treatment, at every depth."""
    found: dict[str, int] = {}
    for _, _, field in rows(POD_SPEC):
        found[field.rule] = found.get(field.rule, 0) + 1
    parts = [f"{found[rule]} {text.partition(',')[0]}" for rule, text in _RULES.items()]
    return f"{sum(found.values())} fields: {', '.join(parts)}"


def _status() -> str:
    """The fields of the status that are not simply the host's."""
    words = {"translated": "translated", "inside": "kept as it is inside", "dropped": "dropped"}
    lines = ["| field | what happens | how and why |", "|---|---|---|"]
    for name, field in POD_STATUS.items():
        if field.rule != "host":
            lines.append(f"| `{name}` | {words[field.rule]} | {field.why} |")
    return "\n".join(lines)


def _policy() -> str:
    keys = policy.schema()["$defs"]["Pods"]["properties"]
    lines = ["| key | default | what it does |", "|---|---|---|"]
    for key, value in keys.items():
        lines.append(f"| `pods.{key}` | {default(value['default'])} | {value['description']} |")
    return "\n".join(lines)


def settings() -> Iterator[tuple[str, str]]:
    """The keys of `pods.defaults` and `pods.required`, with what they do."""
    structs = policy.schema()["$defs"]
    for key, value in structs["PodSettings"]["properties"].items():
        if key != "securityContext":
            yield key, value["description"]
    for key, value in structs["SecurityContext"]["properties"].items():
        if key != "capabilities":
            yield f"securityContext.{key}", value["description"]
    for key, value in structs["Capabilities"]["properties"].items():
        yield f"securityContext.capabilities.{key}", value["description"]


def _settings() -> str:
    lines = ["| key | what it is |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{key}` | {description} |" for key, description in settings())])
