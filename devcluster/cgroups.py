"""The cgroups of an instance: `<instance>/<node>/{system,pods}` in every hierarchy, version 1 and 2 alike."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from devcluster.errors import DevclusterError

GONE_WITHIN = 120.0  # seconds until killed processes have left their cgroups


def hierarchies() -> list[Path]:
    """Roots of the hierarchies with controllers: one with version 2, one per controller with version 1."""
    v1 = []
    v2 = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup":
            v1.append(Path(target))
        elif kind == "cgroup2":
            v2.append(Path(target))
    # A machine with both (systemd's hybrid layout) has its controllers in version 1.
    found = v1 or v2
    if not found:
        raise DevclusterError(
            "no cgroup file system is mounted below /sys/fs/cgroup; nodes cannot run without"
        )
    return found


def make(instance: str, node: str) -> list[Path]:
    """Makes the node's cgroups.

    Args:
        instance: The instance's cgroup.
        node: The node's name.

    Returns:
        The directories the node's own processes are to join. Containers go to `pods` beside them.
    """
    joined = []
    for root in hierarchies():
        if (root / "cgroup.controllers").exists():
            _make_v2(root, instance, node)
        else:
            _make_v1(root, instance, node)
        joined.append(root / instance / node / "system")
    return joined


def _make_v1(root: Path, instance: str, node: str) -> None:
    for path in (instance, f"{instance}/{node}", f"{instance}/{node}/system", f"{instance}/{node}/pods"):
        folder = root / path
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # A new cpuset is empty and takes no process until it has both.
            if (folder / setting).exists() and not (folder / setting).read_text().strip():
                (folder / setting).write_text((folder.parent / setting).read_text())


def _make_v2(root: Path, instance: str, node: str) -> None:
    for path in ("", instance, f"{instance}/{node}"):
        folder = root / path
        folder.mkdir(exist_ok=True)
        for controller in (folder / "cgroup.controllers").read_text().split():
            try:
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
                    raise
                raise DevclusterError(
                    f"the cgroup {folder} has processes of its own, so its controller {controller!r} cannot "
                    "be handed on (a container without a cgroup namespace?); move them to a child, e.g. "
                    f"`mkdir {folder}/init; xargs -rn1 < {folder}/cgroup.procs > {folder}/init/cgroup.procs`"
                ) from error
    for leaf in ("system", "pods"):
        (root / instance / node / leaf).mkdir(exist_ok=True)


def remove(path: str) -> None:
    """Kills every process in the cgroup `path` of every hierarchy and removes it with all below.

    Raises:
        DevclusterError: A process does not go away.
    """
    every = {Path(line.split()[1]) for line in _mounts() if line.split()[2] in ("cgroup", "cgroup2")}
    deadline = time.monotonic() + GONE_WITHIN
    for root in sorted(every):
        while (root / path).exists():
            busy = _remove_tree(root / path)
            if not busy:
                break
            if time.monotonic() > deadline:
                raise DevclusterError(
                    f"processes {sorted(busy)} in the cgroup {root / path} do not end; kill them by hand"
                )
            time.sleep(0.02)


def _mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def _remove_tree(top: Path) -> set[int]:
    """Removes what can be removed; the processes that are still in the way have got SIGKILL."""
    busy: set[int] = set()
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            pids = [int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            busy.update(pids)
            Path(folder).rmdir()
        except ProcessLookupError:
            busy.add(0)  # it ended meanwhile; its cgroup is still there
        except OSError as error:
            if error.errno not in (
                errno.EBUSY,
                errno.ENOENT,
                errno.ENOTEMPTY,
                errno.ENODEV,
                errno.EOPNOTSUPP,
            ):
                raise
            if error.errno == errno.EBUSY:
                busy.add(0)
    return busy
