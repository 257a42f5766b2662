"""Parts a test may need that cannot be had everywhere, and whether they are at hand."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster import archives


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


@dataclass(frozen=True)
class Part:
    """A part, and how to find out whether it is missing: None, or the reason in words."""

    description: str
    missing: Callable[[], str | None]


PARTS = {
    "needs_engine": Part("the Pulumi engine with its kubernetes plugin", _no_engine),
    "needs_k3s_image": Part("the K3s image", _no_k3s_image),
}


@functools.cache
def missing(part: str) -> str | None:
    """Why the part is not at hand; None when it is."""
    return PARTS[part].missing()
