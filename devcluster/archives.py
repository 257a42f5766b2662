"""Image archives that the user brings: images no package registry has, such as rancher/k3s."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from devcluster import config


def folder() -> Path:
    """Where they are: `K3K_EXTRA_IMAGES`, by default `images/` in the cache."""
    return Path(os.environ.get("K3K_EXTRA_IMAGES") or config.cache() / "images")


def extra() -> list[Path]:
    """The archives in that folder, by name; loaded into every node by `up`."""
    return sorted(folder().glob("*.tar"))


def references() -> set[str]:
    """References of all images in them. A file that is no image archive counts for nothing."""
    found: set[str] = set()
    for archive in extra():
        try:
            found.update(_references(archive))
        except (tarfile.TarError, ValueError):
            continue
    return found


def k3s_versions() -> list[str]:
    """Versions of the K3s images among them, as `VirtualCluster` takes them: `v1.34.4-k3s1`."""
    names = (reference.rpartition(":") for reference in references())
    return sorted(tag for name, _, tag in names if name.endswith("rancher/k3s"))


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
