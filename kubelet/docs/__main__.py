"""Writes docs/shared-mode.md."""

from pathlib import Path

from kubelet.docs.page import render

PAGE = Path(__file__).parents[2] / "docs" / "shared-mode.md"

if __name__ == "__main__":
    PAGE.write_text(render())
