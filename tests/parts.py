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


def _no_yaml() -> str | None:
    return _no_language("yaml")


def _no_nodejs() -> str | None:
    for program in ("node", "npm"):
        if not shutil.which(program):
            return f"no {program} on PATH"
    return _no_language("nodejs") or _no_npm_registry()


def _no_language(name: str) -> str | None:
    # They are installed beside the CLI.
    program = f"pulumi-language-{name}"
    return None if shutil.which(program) else f"no {program} on PATH"


def _no_npm_registry() -> str | None:
    command = ["npm", "view", "@pulumi/pulumi", "version", "--fetch-retries=0", "--fetch-timeout=10000"]
    try:
        found = subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        found = False
    return None if found else "no npm registry that has @pulumi/pulumi"


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
    "needs_yaml": Part("the engine's plugin for YAML", _no_yaml),
    "needs_nodejs": Part("Node.js with the engine's plugin for it and the npm registry", _no_nodejs),
    "needs_k3s_image": Part("the K3s image", _no_k3s_image),
    "needs_older_library": Part("an earlier version of the library in git", _no_older_library),
}


@functools.cache
def missing(part: str) -> str | None:
    """Why the part is not at hand; None when it is."""
    return PARTS[part].missing()
