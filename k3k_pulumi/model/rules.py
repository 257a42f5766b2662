"""How keys of the policy document narrow: what a cluster may make of its policy's value for a key.

A rule gets what the cluster says and what its policy says, None where one says nothing, and gives back what
holds, None for the document's default. What the cluster may not say becomes a line in `Scope.problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from k3k_pulumi.model import coverage, networks
from k3k_pulumi.model.affinity import both
from k3k_pulumi.model.text import show

_ADVICE = "leave it out, or have the policy changed"


@dataclass(frozen=True)
class Scope:
    """Where a rule works.

    Attributes:
        policy: Name of the policy.
        path: Place of the value, as the user writes it.
        key: Place of the policy's value.
        problems: Lines for the user, added to.
        document: The policy's whole part (`pods` or `sync`), without its defaults.
        given: The cluster's group that the key is in.
        allowed: The policy's group that the key is in.
    """

    policy: str
    path: str
    key: str
    problems: list[str]
    document: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    allowed: Mapping[str, Any] = field(default_factory=dict)

    def at(self, key: str) -> Scope:
        """A key below."""
        return replace(self, path=f"{self.path}.{key}", key=f"{self.key}.{key}")

    def item(self, key: Any) -> Scope:
        """An entry of a list, or of a map with free keys, that the policy has as a whole."""
        return replace(self, path=f"{self.path}[{key!r}]")

    def more(self, found: Any, allowed: Any, *, key: str = "") -> None:
        """Tells that a value is more than the policy's, which stands at `key`."""
        self._add(found, f"is more than VirtualClusterPolicy {self.policy!r} allows", key, allowed, _ADVICE)

    def other(self, found: Any, required: Any, *, key: str = "") -> None:
        """Tells that a value is not the one that the policy requires."""
        self._add(found, f"is not what VirtualClusterPolicy {self.policy!r} requires", key, required, _ADVICE)

    def none_of(self, found: Any, allowed: Any, *, key: str, default: bool = False) -> None:
        """Tells that a value, or the `default` for want of one, is none of those that the policy allows."""
        text = f"{'(the default) ' if default else ''}is not what VirtualClusterPolicy {self.policy!r} allows"
        self._add(found, text, key, allowed, "set it to what is allowed, or have the policy changed")

    def _add(self, found: Any, text: str, key: str, value: Any, advice: str) -> None:
        shown = list(value) if isinstance(value, tuple) else value
        self.problems.append(
            f"{self.path}: {show(found)} {text} ({key or self.key}: {show(shown)}): {advice}"
        )


class Rule(Protocol):
    """How a key narrows; `default` is the document's own value of it."""

    default: Any

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """What holds."""


class Grant:
    """True gives the tenant more."""

    def __init__(self, default: bool) -> None:
        self.default = default

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The cluster's value, if it is no more than the policy's."""
        if given is None:
            return allowed
        widest = self.default if allowed is None else allowed
        if given and not widest:
            scope.more(given, widest)
        return given


class Restriction:
    """True takes something from the tenant: one of the two suffices."""

    default = False

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The policy's True, else the cluster's value."""
        if allowed and given is False:
            scope.other(given, allowed)
        return allowed if allowed or given is None else given


class Ascending:
    """One of some values, each of which gives the tenant more than the one before."""

    def __init__(self, *values: str) -> None:
        self.values = values
        self.default = values[0]

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The cluster's value, if it does not come after the policy's."""
        if given is None:
            return allowed
        widest = self.default if allowed is None else allowed
        if self.values.index(given) > self.values.index(widest):
            scope.more(given, widest)
        return given


class Items:
    """A list of what is allowed.

    Args:
        default: The document's list; None for one that allows everything.
        covers: Whether an entry of the policy's list allows all that one of the cluster's does.
        empty_is_all: Whether a list without entries stands for everything.
    """

    def __init__(
        self,
        default: Sequence[Any] | None = (),
        covers: Callable[[Any, Any], bool] = coverage.same,
        *,
        empty_is_all: bool = False,
    ) -> None:
        self.default = None if default is None else list(default)
        self._covers = covers
        self._empty_is_all = empty_is_all

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The cluster's list, if each entry is within the policy's."""
        if given is None:
            return allowed
        widest = self.default if allowed is None else allowed
        if widest is None or (self._empty_is_all and not widest):
            return given
        if self._empty_is_all and not given:
            scope.more(given, widest)
        for index, item in enumerate(given):
            if not any(self._covers(entry, item) for entry in widest):
                scope.item(index).more(item, widest)
        return given


class Ranges:
    """A list of address ranges that are allowed."""

    def __init__(self, default: Sequence[str] = ()) -> None:
        self.default = list(default)

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The cluster's ranges, if the policy's together have each."""
        if given is None:
            return allowed
        widest = self.default if allowed is None else allowed
        known = [network for text in widest if (network := _network(text)) is not None]
        for index, text in enumerate(given):
            wanted = _network(text)
            if wanted is None:
                scope.problems.append(f"{scope.path}[{index}]: {show(text)} must be a CIDR like 10.43.0.0/16")
            elif not coverage.ranges(known, wanted):
                scope.item(index).more(text, widest)
        return given


class Labels:
    """Labels that something must have: each one more narrows."""

    def __init__(self) -> None:
        self.default: dict[str, str] = {}

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """Those of both."""
        for key, value in (allowed or {}).items():
            found = (given or {}).get(key, value)
            if found != value:
                scope.item(key).other(found, value)
        if given is None and allowed is None:
            return None
        return {**(given or {}), **(allowed or {})}


class Shown:
    """Names of the host's classes that are shown: with `enabled` none stands for all, else for none."""

    def __init__(self) -> None:
        self.default: list[str] = []

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The cluster's names, if the policy's list has them or none."""
        if given is None or not allowed:
            return allowed if given is None else given
        enabled = scope.given.get("enabled", scope.allowed.get("enabled", False))
        if enabled and not given:
            scope.more(given, allowed)
        for index, name in enumerate(given):
            if name not in allowed:
                scope.item(index).more(name, allowed)
        return given


class Preset:
    """What pods get that say nothing: the cluster's choice comes first, and gives them nothing."""

    def __init__(self, default: Any = None) -> None:
        self.default = default

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:  # noqa: ARG002 - a rule's signature
        """The cluster's value, else the policy's."""
        return allowed if given is None else given


class Fixed:
    """What pods always get."""

    default = None

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The policy's value, else the cluster's."""
        if allowed is not None and given not in (None, allowed):
            scope.other(given, allowed)
        return given if allowed is None else allowed


class Named:
    """A class that pods get, and may ask for then: `pods.<choices>` lists what they may ask for anyway.

    Args:
        key: The key's name, in `defaults` and in `required`.
        choices: The list.
        rule: How the key narrows beside that.
    """

    default = None

    def __init__(self, key: str, choices: str, rule: Preset | Fixed) -> None:
        self._key, self._choices, self._rule = key, choices, rule

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """What the rule says, if the policy gives pods that class in one way or another."""
        document = scope.document
        known = [*document.get(self._choices, ()), *_settings(document, self._key)]
        if given is not None and given not in known and (allowed is None or isinstance(self._rule, Preset)):
            scope.more(given, known, key=f"pods.{self._choices}")
        return self._rule.resolve(scope, given, allowed)


class Tolerations:
    """Tolerations that pods get, and may have then; `pods.allowedTolerations` has what they may anyway.

    Args:
        add: Whether the policy's are added to the cluster's.
    """

    def __init__(self, *, add: bool) -> None:
        self.default: list[Any] = []
        self._add = add

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:
        """The cluster's tolerations, if the policy gives pods each."""
        if given is None:
            return allowed
        document = scope.document
        known = [*document.get("allowedTolerations", ())]
        for each in _settings(document, "tolerations"):
            known += each
        for index, item in enumerate(given):
            if not any(coverage.tolerations(entry, item) for entry in known):
                scope.item(index).more(item, known, key="pods.allowedTolerations")
        more = [each for each in allowed or () if each not in given] if self._add else []
        return [*given, *more]


class RequiredAffinity:
    """Affinity that pods always get."""

    def __init__(self) -> None:
        self.default: dict[str, Any] = {}

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:  # noqa: ARG002 - a rule's signature
        """That of both: a node has to match either."""
        if given is None or allowed is None:
            return allowed if given is None else given
        return both(_telling(given), _telling(allowed))


def _telling(affinity: Mapping[str, Any]) -> dict[str, Any]:
    """Without required terms that are none: in the document they mean every node, not no node."""
    node = dict(affinity.get("nodeAffinity", {}))
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    if not node.get(required, {}).get("nodeSelectorTerms"):
        node.pop(required, None)
    return {"nodeAffinity": node}


class Dropped:
    """Capabilities that containers always lose."""

    def __init__(self) -> None:
        self.default: list[str] = []

    def resolve(self, scope: Scope, given: Any, allowed: Any) -> Any:  # noqa: ARG002 - a rule's signature
        """Those of both."""
        if given is None or allowed is None:
            return allowed if given is None else given
        return [*allowed, *(each for each in given if each not in allowed)]


def _network(text: Any) -> networks.Network | None:
    try:
        return networks.parse(text)
    except ValueError:
        return None


def _settings(document: Mapping[str, Any], key: str) -> list[Any]:
    """What `defaults` and `required` of the policy's pods have for a key."""
    parts = (document.get("defaults", {}), document.get("required", {}))
    return [part[key] for part in parts if key in part]
