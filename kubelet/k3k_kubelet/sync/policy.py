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

    There is no policy without a document: the default one may allow what the document was to forbid.

    Args:
        file: The document.

    Attributes:
        current: The last good document.
        wrong: Why what the file has now is not `current`, with the place; `""` if it is.

    Raises:
        PolicyError: It is missing or cannot be used.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content: bytes | None = self._read()
        self.current = policy.load(self._content)
        self.wrong = ""

    def read(self) -> bool:
        """Reads the document if it changed; returns whether another policy holds now."""
        try:
            content = self._read()
            if content == self._content:
                return False
            self._content = content
            found = policy.load(content)
        except policy.PolicyError as error:
            if str(error) != self.wrong:
                log.error(
                    "policy refused, the last one stays", extra={"file": str(self._file), "error": str(error)}
                )
            self.wrong = str(error)
            return False
        self.wrong = ""
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

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError as error:
            self._content = None  # whatever comes back is looked at
            raise policy.PolicyError(f"policy.json: {self._file}: {error.strerror}") from None
