"""Versions of a control plane: how they are written and which ones this library knows how to run."""

from __future__ import annotations

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
