"""Layers that are made once for the same inputs, and kept."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devcluster import oci
from devcluster.progress import Progress

KEPT = 3
"""So many versions of each layer stay in the cache, for switching between branches."""


@dataclass(frozen=True)
class Part:
    """One layer, as a tree and packed."""

    tree: Path
    layer: oci.Layer


@dataclass(frozen=True)
class Workshop:
    """Where layers are made and kept, and who is shown what is done."""

    folder: Path
    progress: Progress

    def part(self, name: str, inputs: str, title: str, make: Callable[[Path], None]) -> Part:
        """A layer from the cache, or made.

        Args:
            name: Of the kind of layer.
            inputs: `key` of all it is made of.
            title: What making it is called.
            make: Fills an empty folder with its files.
        """
        folder = self.folder / f"{name}-{inputs}"
        if not folder.is_dir():
            with self.progress.step(title) as step, _finished(folder) as unfinished:
                tree = unfinished / "tree"
                tree.mkdir()
                make(tree)
                layer = oci.write_layer(oci.entries_of(tree), unfinished / "layer.tar.gz")
                (unfinished / "layer.json").write_text(json.dumps(dataclasses.asdict(layer), default=str))
                step.result = f"{megabytes(layer.size)}, unpacked {megabytes(layer.unpacked)}"
            for old in sorted(self.folder.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(old)
        record = json.loads((folder / "layer.json").read_text())
        return Part(folder / "tree", oci.Layer(**record | {"path": folder / "layer.tar.gz"}))

    def forget(self, name: str, inputs: str) -> None:
        """Has the next `part` make it anew."""
        shutil.rmtree(self.folder / f"{name}-{inputs}", ignore_errors=True)


def key(*parts: str | bytes | Path) -> str:
    """A short name for a set of inputs: texts, or the content of files."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]


def megabytes(size: int) -> str:
    """A size in bytes as people read it."""
    return f"{size / 1e6:.1f} MB"


@contextlib.contextmanager
def _finished(folder: Path) -> Iterator[Path]:
    """A folder that appears under its name only when it was filled without an error."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
