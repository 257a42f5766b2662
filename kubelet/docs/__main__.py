"""Writes the pages of docs/ that are made from the kubelet's own tables."""

from pathlib import Path

from kubelet.docs import page, services, sync

_DOCS = Path(__file__).parents[2] / "docs"
PAGE, SYNC, SERVICES = (_DOCS / f"{name}.md" for name in ("shared-mode", "sync", "services"))

if __name__ == "__main__":
    PAGE.write_text(page.render())
    SYNC.write_text(sync.render())
    SERVICES.write_text(services.render())
