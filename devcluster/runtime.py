"""The container runtime of the nodes: containerd 2 from its Go module, else Debian's containerd."""

from __future__ import annotations

import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devcluster import api, golang, packages, shell
from devcluster.errors import DevclusterError
from devcluster.node import Node
from devcluster.progress import Progress
from devcluster.worker import RUNTIME_SOCKET

UP_WITHIN = 300.0  # seconds until containerd answers
LOADS = 3  # attempts to load an archive: containerd may be restarted under one


def programs(progress: Progress) -> Path | None:
    """Folder of containerd's programs; None when the machine's own are to be used."""
    try:
        return golang.build(golang.CONTAINERD, progress)
    except DevclusterError as error:
        progress.info(
            f"containerd 2 cannot be built here, Debian's serves instead: {str(error).splitlines()[-1]}"
        )
        packages.ensure(packages.CONTAINERD, progress)
        return None


def wait(node: Node) -> None:
    """Waits until the node's containerd answers."""
    log = node.var / "log/node/containerd.log"
    api.wait(
        f"containerd on {node.name}",
        lambda: shell.works(*node.command("ctr", "--address", RUNTIME_SOCKET, "version")),
        UP_WITHIN,
        lambda: log.read_text(errors="replace").splitlines()[-10:] if log.exists() else [],
    )


def load(nodes: list[Node], archives: list[Path]) -> int:
    """Loads image archives into every node that does not have them.

    Returns:
        How many loads it took.
    """
    wanted = [(node, archive) for node in nodes for archive in archives if not _mark(node, archive).exists()]
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda pair: _load(*pair), wanted))
    return len(wanted)


def _load(node: Node, archive: Path) -> None:
    command = node.command(
        "ctr", "--address", RUNTIME_SOCKET, "--namespace", "k8s.io",
        "images", "import", "--snapshotter", node.snapshotter, "-",
    )  # fmt: skip
    for attempt in range(1, LOADS + 1):
        with archive.open("rb") as file:
            result = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            break
        if attempt == LOADS:
            raise DevclusterError(f"{archive} cannot be loaded into {node.name}:\n{result.stderr.strip()}")
        wait(node)
    _mark(node, archive).parent.mkdir(exist_ok=True)
    _mark(node, archive).write_text(f"{archive}\n")


def _mark(node: Node, archive: Path) -> Path:
    """The file that says that the node has this archive; another one under the same name is told apart."""
    status = archive.stat()
    identity = f"{archive.resolve()} {status.st_size} {status.st_mtime_ns}"
    return node.folder / "images" / hashlib.sha256(identity.encode()).hexdigest()[:16]
