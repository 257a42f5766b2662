"""A node: a process tree with its own file system, network, cgroups, host name and process numbers.

Process 1 of a node is the Go program `node` (kube/node), which builds the file system and supervises the
rest. Killing it ends the node; nothing of the node is visible to, or mounted on, the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from devcluster import cgroups, control_plane, network, shell, worker
from devcluster.config import Instance
from devcluster.errors import DevclusterError
from devcluster.pki import Pki

BIN = "/opt/kubernetes/bin"
RUNTIME_BIN = "/opt/containerd/bin"
PATH = f"{BIN}:{RUNTIME_BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
LOGS = "/var/log/node"
STARTS_WITHIN = 60.0  # seconds until the node's process 1 must be there


class Node:
    """One node of an instance.

    Args:
        instance: The instance.
        index: The node's number, counted from 1.
    """

    def __init__(self, instance: Instance, index: int) -> None:
        self.instance = instance
        self.index = index
        self.name = instance.node_names[index - 1]
        self.folder = instance.node_folder(self.name)
        self.var = self.folder / "var"

    def init_pid(self) -> int | None:
        """The node's process 1 as the machine numbers it; None when the node does not run."""
        try:
            pid, started = (self.folder / "pid").read_text().split()
            if _started(int(pid)) != started:
                return None  # the number belongs to somebody else by now
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return int(children[0]) if children else None

    def start(self, keys: Pki, binaries: Path, runtime: Path | None) -> None:
        """Starts the node.

        Args:
            keys: The instance's keys.
            binaries: Folder of the Kubernetes programs.
            runtime: Folder of containerd's programs; None for the machine's own.
        """
        self.stop()
        network.up_node(self.instance, self.index)
        self._make_folders()
        worker.write(self.instance, keys, self.index, self.var, snapshotter=self.snapshotter)
        if self.index == 1:
            control_plane.write(
                self.instance, keys, self.var / control_plane.KUBERNETES.removeprefix("/var/")
            )
        joined = cgroups.make(self.instance.cgroup, self.name)
        spec = self.folder / "node.json"
        spec.write_text(json.dumps(self._spec(binaries, runtime, joined), indent=2))
        self._launch(binaries / "node", spec)

    def _launch(self, program: Path, spec: Path) -> None:
        log = self.folder / "node.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [
                    "nsenter", f"--net={self.instance.namespace(self.name)}",
                    "unshare", "--mount", "--uts", "--ipc", "--pid",
                    "--fork", "--kill-child", "--propagation=private",
                    str(program), str(spec),
                ],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/",
            )  # fmt: skip
        (self.folder / "pid").write_text(f"{process.pid} {_started(process.pid)}\n")
        deadline = time.monotonic() + STARTS_WITHIN
        while self.init_pid() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise DevclusterError(f"{self.name} does not start; its log {log} ends with:\n{_tail(log)}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Kills every process of the node and removes its cgroups; its files stay."""
        init = self.init_pid()
        if init is not None:
            with contextlib.suppress(ProcessLookupError):  # it may be dying already
                os.kill(init, signal.SIGKILL)
        cgroups.remove(f"{self.instance.cgroup}/{self.name}")
        (self.folder / "pid").unlink(missing_ok=True)

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command inside the node."""
        init = self.init_pid()
        if init is None:
            raise DevclusterError(
                f"{self.name} of {self.instance.name!r} is not running; "
                f"repair it with `python -m devcluster up --name {self.instance.name}`"
            )
        inside = [
            "nsenter",
            f"--target={init}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd=/",
        ]
        return [*inside, "env", f"PATH={PATH}", *command]

    @property
    def snapshotter(self) -> str:
        """Containerd's snapshotter: an overlay cannot lie on another one's upper layer (in a container)."""
        kind = shell.run("stat", "--file-system", "--format=%T", self.instance.folder).strip()
        return "native" if kind == "overlayfs" else "overlayfs"

    def _make_folders(self) -> None:
        for path in ("lib/containerd", "lib/kubelet", "lib/etcd", "lib/kubernetes", "log", "tmp"):
            (self.var / path).mkdir(parents=True, exist_ok=True)
        (self.var / "tmp").chmod(0o1777)
        (self.var / "lib/kubernetes").chmod(0o700)
        (self.var / "lib/etcd").chmod(0o700)
        for link, target in {"run": "/run", "lock": "/run/lock"}.items():
            if not (self.var / link).is_symlink():
                (self.var / link).symlink_to(target)
        (self.folder / "root").mkdir(exist_ok=True)

    def _spec(self, binaries: Path, runtime: Path | None, joined: list[Path]) -> dict[str, Any]:
        symlinks = {}
        mounts = [_bind("/usr", read_only=True), _bind("/etc", read_only=True)]
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            path = Path("/", name)
            if path.is_symlink():
                symlinks[name] = str(path.readlink())
            elif path.is_dir():
                mounts.append(_bind(str(path), read_only=True))
        mounts += [
            {"source": "proc", "target": "/proc", "type": "proc"},
            {"source": "sysfs", "target": "/sys", "type": "sysfs"},  # this network namespace's devices
            _bind("/sys/fs/cgroup"),
            _bind("/dev"),
            {"source": "run", "target": "/run", "type": "tmpfs", "options": "mode=755"},
            {"source": "tmp", "target": "/tmp", "type": "tmpfs", "options": "mode=1777"},
            _bind(self.var, "/var"),
            _bind(binaries, BIN, read_only=True),
        ]
        if runtime is not None:
            mounts.append(_bind(runtime, RUNTIME_BIN, read_only=True))
        # Where resolv.conf is a link it may lead to /run, which is the node's own.
        mounts.append(_bind(self.var / "lib/kubernetes/resolv.conf", os.path.realpath("/etc/resolv.conf")))
        commands = control_plane.commands(self.instance) if self.index == 1 else {}
        commands |= worker.commands(self.instance, self.index)
        return {
            "hostname": self.name,
            "cgroups": [str(path) for path in joined],
            "root": str(self.folder / "root"),
            "mounts": mounts,
            "symlinks": symlinks,
            "processes": [
                {"name": name, "args": args, "env": _environment(name), "log": f"{LOGS}/{name}.log"}
                for name, args in commands.items()
            ],
        }


def _bind(source: str | Path, target: str | None = None, *, read_only: bool = False) -> dict[str, Any]:
    return {"source": str(source), "target": target or str(source), "type": "bind", "readOnly": read_only}


def _environment(process: str) -> list[str]:
    found = {"PATH": PATH, "HOME": "/root"}
    if process == "containerd":  # it alone talks to the world: to image registries
        found |= {name: os.environ[name] for name in PROXIES if name in os.environ}
    return [f"{name}={value}" for name, value in found.items()]


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot: with the number it names one process for ever."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _tail(path: Path, lines: int = 10) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
