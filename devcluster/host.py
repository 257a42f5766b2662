"""What every kind of host cluster can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from devcluster.config import Instance
from devcluster.progress import Progress


@dataclass
class Status:
    """How an instance is.

    Attributes:
        up: Whether it is complete and ready for work.
        lines: What to tell, as pairs of a title and a text.
    """

    up: bool
    lines: list[tuple[str, str]] = field(default_factory=list)


class Host(Protocol):
    """A host cluster."""

    instance: Instance

    def up(self, progress: Progress, *, restart: bool) -> None:
        """Makes, completes or repairs it; returns when it is ready for work."""

    def down(self, progress: Progress) -> None:
        """Removes it and everything it has on this machine."""

    def load(self, files: Sequence[Path]) -> None:
        """Loads image archives into every node."""

    def status(self) -> Status:
        """How it is."""

    def audit_log(self) -> Path:
        """The API server's audit log."""
