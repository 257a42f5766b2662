"""Versions of a control plane: how they are written and which ones this library knows how to run."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

LIBRARY = "0.1.0"
"""This library's version, and the tag of the kubelet image released with it; pyproject.toml says the same."""

DISTRIBUTIONS = ("k3s", "kubernetes")

DEFAULTS = {"k3s": "v1.34.4+k3s1", "kubernetes": "v1.34.4"}

SUPPORTED_MINORS = {
    # K3s 1.21 is the oldest whose flags are known here (control_plane/k3s.py).
    "k3s": (21, 36),
    # 1.32 is the first whose anonymous access can be limited to the health endpoints without a feature gate.
    "kubernetes": (32, 36),
}
"""Oldest and newest minor version of Kubernetes 1 for each distribution, both included."""

FORMATS = {
    "k3s": "like v1.34.4+k3s1 (v1.34.4-k3s1 is accepted too)",
    "kubernetes": "like v1.34.4",
}

_PATTERNS = {
    "k3s": re.compile(r"v(\d+)\.(\d+)\.(\d+)[+-](k3s\d+)"),
    "kubernetes": re.compile(r"v(\d+)\.(\d+)\.(\d+)"),
}

RANGE_FORMAT = "conditions that all hold, like '>=1.33 <1.36' (with >=, >, <=, < or =, of 1.34 or 1.34.4)"

_CONDITION = re.compile(r"(>=|<=|>|<|==?)\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[+-]k3s(\d{1,9}))?")
_COMPARE = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
}


@dataclass(frozen=True, order=True)
class Version:
    """A control plane's version. `build` is `k3s1` for K3s' first build of a Kubernetes version, or empty."""

    major: int
    minor: int
    patch: int
    build: str = ""

    def __str__(self) -> str:
        """As the API server reports it: v1.34.4+k3s1."""
        return f"v{self.major}.{self.minor}.{self.patch}{'+' if self.build else ''}{self.build}"

    @property
    def tag(self) -> str:
        """As image tags write it, which cannot hold a plus sign: v1.34.4-k3s1."""
        return str(self).replace("+", "-")


def parse(distribution: str, text: str) -> Version:
    """Reads and checks the version of a distribution.

    Raises:
        ValueError: Not written as `FORMATS` says, or outside `SUPPORTED_MINORS`; the text says what is
        allowed.
    """
    match = _PATTERNS[distribution].fullmatch(text)
    if match is None:
        raise ValueError(f"must be written {FORMATS[distribution]} for the distribution {distribution!r}")
    version = Version(int(match[1]), int(match[2]), int(match[3]), *match.groups()[3:])
    oldest, newest = SUPPORTED_MINORS[distribution]
    if version.major != 1 or not oldest <= version.minor <= newest:
        raise ValueError(
            f"must be from v1.{oldest} to v1.{newest} for the distribution {distribution!r}: "
            "this version of k3k_pulumi knows no other"
        )
    return version


@dataclass(frozen=True)
class Range:
    """Versions by conditions that all hold, each an operator and the numbers of a version: major first.

    A condition looks at as many numbers as it has: `<=1.35` and `=1.35` have all patches of 1.35, `>1.35`
    begins with 1.36. The fourth one is K3s' build (2 in `1.34.4+k3s2`), which other distributions lack.
    """

    conditions: tuple[tuple[str, tuple[int, ...]], ...]

    def __str__(self) -> str:
        """In the form that `parse_range` reads: `>=1.33 <1.36`."""
        return " ".join(f"{sign}{_written(numbers)}" for sign, numbers in self.conditions)

    def admits(self, version: Version) -> bool:
        """Whether a version fulfils every condition."""
        build = [int(version.build.removeprefix("k3s"))] if version.build else []
        found = (version.major, version.minor, version.patch, *build)
        return all(
            _COMPARE[sign](found[: len(numbers)], numbers[: len(found)]) for sign, numbers in self.conditions
        )


def parse_range(text: str) -> Range:
    """Reads a range of versions: conditions with spaces or commas between them.

    Raises:
        ValueError: Not written so; the text says what is allowed.
    """
    conditions = []
    rest = text.strip()
    while rest:
        match = _CONDITION.match(rest)
        rest = rest[match.end() :] if match else rest
        separated = not rest or rest[0] in " ,"
        if match is None or not separated or (match[5] and not match[4]):
            raise ValueError(f"must be {RANGE_FORMAT}")
        numbers = tuple(int(each) for each in match.groups()[1:] if each is not None)
        conditions.append((match[1].replace("==", "="), numbers))
        rest = rest.lstrip(" ,")
    if not conditions:
        raise ValueError(f"must be {RANGE_FORMAT}")
    return Range(tuple(conditions))


def _written(numbers: tuple[int, ...]) -> str:
    build = "".join(f"+k3s{number}" for number in numbers[3:])
    return ".".join(map(str, numbers[:3])) + build
