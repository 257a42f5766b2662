"""Writes the pages that are made from the kubelet's own tables: docs/shared-mode.md and docs/sync.md."""

from pathlib import Path

from kubelet.docs import page, sync

_DOCS = Path(__file__).parents[2] / "docs"
PAGE, SYNC = _DOCS / "shared-mode.md", _DOCS / "sync.md"

if __name__ == "__main__":
    PAGE.write_text(page.render())
    SYNC.write_text(sync.render())
