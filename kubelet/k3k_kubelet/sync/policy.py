"""The tenant's policy, read again while the kubelet runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from k3k_kubelet import policy

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0


class PolicyFile:
    """`policy.json` of a mounted ConfigMap. A missing or wrong document never replaces a good one.

    Args:
        file: The document; the default policy (baseline) holds until there was a good one.
    """

    def __init__(self, file: Path) -> None:
        self.current = policy.Policy()
        self._file = file
        self._content: bytes | None = None
        self._missing = False

    def read(self) -> bool:
        """Reads the document if it changed; returns whether another policy holds now."""
        try:
            content = self._file.read_bytes()
        except OSError as error:
            if not self._missing:
                fields = {"file": str(self._file), "error": error.strerror}
                log.error("no policy, the last one stays", extra=fields)
            self._missing = True
            return False
        self._missing = False
        if content == self._content:
            return False
        self._content = content
        try:
            found = policy.load(content)
        except policy.PolicyError as error:
            fields = {"file": str(self._file), "error": str(error)}
            log.error("policy refused, the last one stays", extra=fields)
            return False
        changed = found != self.current
        self.current = found
        return changed

    async def run(self, changed: Callable[[], None]) -> None:
        """Looks for changes until cancelled, and tells of each."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self.read():
                log.info("policy changed", extra={"file": str(self._file)})
                changed()
