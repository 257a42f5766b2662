"""Parts a test may need that cannot be had everywhere, and whether they are at hand."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster import archives

ROOT = Path(__file__).parent.parent
OLDER_COMMIT = "17d706a030ac"
"""Has the library of an earlier version, for tests of upgrades. A later one when that no longer suits."""


def _no_k3s_image() -> str | None:
    if archives.k3s_versions():
        return None
    return f"no archive of the image rancher/k3s in {archives.folder()} (K3K_EXTRA_IMAGES)"


def _no_engine() -> str | None:
    if not shutil.which("pulumi"):
        return "no pulumi CLI on PATH"
    plugins = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    if any(plugins.glob("resource-kubernetes-v*")) or shutil.which("pulumi-resource-kubernetes"):
        return None
    return f"no kubernetes plugin of the Pulumi engine in {plugins}"


def _no_older_library() -> str | None:
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{OLDER_COMMIT}:k3k_pulumi"]
    try:
        found = subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except OSError:
        found = False
    return None if found else f"no commit {OLDER_COMMIT} in the history at hand"


@dataclass(frozen=True)
class Part:
    """A part, and how to find out whether it is missing: None, or the reason in words."""

    description: str
    missing: Callable[[], str | None]


PARTS = {
    "needs_engine": Part("the Pulumi engine with its kubernetes plugin", _no_engine),
    "needs_k3s_image": Part("the K3s image", _no_k3s_image),
    "needs_older_library": Part("an earlier version of the library in git", _no_older_library),
}


@functools.cache
def missing(part: str) -> str | None:
    """Why the part is not at hand; None when it is."""
    return PARTS[part].missing()
