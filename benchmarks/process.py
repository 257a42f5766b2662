"""Processes of this machine: their memory and CPU time. The dev cluster's containers are among them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from k3k_kubelet.api import PODS, ApiClient

MIB = 2**20
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process that runs."""

    pid: int

    @property
    def resident(self) -> float:
        """Resident memory (VmRSS) in MiB: with the pages of libraries that others may share."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / MIB
        raise RuntimeError(f"process {self.pid} has ended")

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


async def of_container(client: ApiClient, namespace: str, component: str) -> Process:
    """The first process of a control plane's one-container pod.

    Args:
        client: The host.
        namespace: The control plane's.
        component: Value of the label `k3k-pulumi.io/component`.

    Raises:
        RuntimeError: It is not a process of this machine.
    """
    query = {"labelSelector": f"k3k-pulumi.io/component={component}"}
    (pod, *_) = await client.list_all(PODS, namespace, query=query)
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    process = _first_process(container)
    if process is None:
        raise RuntimeError(f"the {component} of {namespace} is not a process of this machine")
    return process


def _first_process(container: str) -> Process | None:
    for file in sorted(Path("/proc").glob("[0-9]*/cgroup"), key=lambda file: int(file.parent.name)):
        try:
            if container in file.read_text():
                return Process(int(file.parent.name))
        except OSError:  # ended meanwhile
            continue
    return None


def machine_cpu() -> float:
    """CPU seconds that the whole machine has worked."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _idle, _iowait, interrupts, soft = map(int, fields[1:8])
    return (user + nice + system + interrupts + soft) / _TICKS
