"""Ports of pods on this machine."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.support.kubectl import Kubectl


@contextmanager
def forwarded(kubectl: Kubectl, name: str, port: int) -> Iterator[int]:
    """A local port that `kubectl port-forward` forwards to the pod's."""
    command = kubectl.command("port-forward", f"pod/{name}", f":{port}")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=kubectl.environment()
    ) as process:
        assert process.stdout is not None
        # It says a line for each connection, and stands still when nobody reads them.
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        try:
            found, said = None, ""
            while not found:  # warnings may come first
                line = process.stdout.readline().decode()
                said += line
                assert line, said
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
            reader.start()
            yield int(found[1])
        finally:
            process.kill()
            if reader.is_alive():
                reader.join()
