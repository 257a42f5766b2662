"""Processes of containers, where the host's nodes share this machine's kernel, as the dev cluster's do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.e2e.support.clusters import View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually


def processes(container_id: str) -> list[int]:
    """This machine's processes in the control group of a container (`containerd://...`)."""
    group = container_id.rpartition("/")[2]
    found = []
    for file in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            groups = file.read_text()
        except OSError:  # ended meanwhile
            continue
        if group in groups:
            found.append(int(file.parent.name))
    return found


def signal_all(victims: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to those that have not ended meanwhile, as the first one's children have by SIGKILL."""
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, number)


def crash(pods: Kubectl, pod: Any, container: str) -> None:
    """Kills all processes of a container without warning, and waits until it runs again.

    On a host whose processes are out of reach the pod is deleted by force instead.
    """
    name = pod["metadata"]["name"]
    status = next(entry for entry in pod["status"]["containerStatuses"] if entry["name"] == container)
    victims = processes(status["containerID"])
    if not victims:
        pods("delete", "pod", name, "--grace-period=0", "--force")
        return
    signal_all(victims, signal.SIGKILL)

    def restarted() -> bool:
        statuses = pods.get("pod", name)["status"]["containerStatuses"]
        now = next(entry for entry in statuses if entry["name"] == container)
        return now["restartCount"] > status["restartCount"] and now["ready"]

    eventually(restarted)


def kubelet_pod(view: View) -> Any:
    """The ready pod of a cluster's virtual kubelet."""
    (pod,) = running(view.control_plane, "k3k-pulumi.io/component=kubelet", 1)
    return pod
