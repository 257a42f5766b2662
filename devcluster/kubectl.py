"""The `kubectl` that tests and users of an instance find at `<cache>/bin/kubectl`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from devcluster import config, golang, shell
from devcluster.progress import Progress


def link(program: Path) -> None:
    """Makes `<cache>/bin/kubectl` this program."""
    name = config.cache() / "bin/kubectl"
    if name.is_symlink() and name.readlink() == program:
        return
    name.parent.mkdir(parents=True, exist_ok=True)
    fresh = name.with_name(f".kubectl.{os.getpid()}")  # two `up` at a time link it both
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(program)
    fresh.replace(name)


def ensure(progress: Progress) -> Path:
    """A kubectl for a cluster that does not bring its own: the machine's, else one built here."""
    found = shutil.which("kubectl")
    if found:
        return Path(found)
    built = golang.build(golang.KUBECTL, progress) / "kubectl"
    link(built)
    return built


def get(program: Path, kubeconfig: Path, *what: str) -> Any:
    """`kubectl get ... -o json`, decoded."""
    return json.loads(shell.run(program, f"--kubeconfig={kubeconfig}", "get", *what, "--output=json"))
