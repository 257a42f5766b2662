"""Parts a test may need that cannot be had everywhere, and whether they are at hand."""

from __future__ import annotations

import functools
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


def cache() -> Path:
    """The project's cache folder: programs and images that the dev cluster built or downloaded."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "k3k-pulumi"


def _image_folder() -> Path:
    """Where image archives for the dev cluster are put beside those it makes itself."""
    return Path(os.environ.get("K3K_EXTRA_IMAGES") or cache() / "images")


def _references(archive: Path) -> Iterator[str]:
    """Image references in an archive of `docker save` or of the OCI layout."""
    with tarfile.open(archive) as tar:
        for member in ("manifest.json", "index.json"):
            try:
                stream = tar.extractfile(member)
            except KeyError:
                continue
            document = json.load(stream) if stream else []
            for entry in document if isinstance(document, list) else document.get("manifests", []):
                yield from entry.get("RepoTags") or []
                annotations = entry.get("annotations", {})
                for key in ("io.containerd.image.name", "org.opencontainers.image.ref.name"):
                    if key in annotations:
                        yield annotations[key]


def image_references() -> set[str]:
    """References of all images in the folder of extra image archives; no file that is not one counts."""
    references: set[str] = set()
    for archive in sorted(_image_folder().glob("*.tar*")):
        try:
            references.update(_references(archive))
        except (tarfile.TarError, ValueError):
            continue
    return references


def _no_k3s_image() -> str | None:
    if any("rancher/k3s:" in reference for reference in image_references()):
        return None
    return f"no archive of the image rancher/k3s in {_image_folder()} (K3K_EXTRA_IMAGES)"


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
