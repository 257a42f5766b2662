"""What a failed end-to-end test shows: the state of every cluster and namespace it used."""

from __future__ import annotations

import json
import subprocess

from tests.e2e.support.kubectl import Kubectl

LOG_LINES = 40


def _output(kubectl: Kubectl, *args: str) -> str:
    """Standard output, or why there is none: a report must not fail itself."""
    try:
        result = kubectl.run(*args, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        return f"({error})"
    return (result.stdout or result.stderr).decode(errors="replace").rstrip()


def _container_states(kubectl: Kubectl) -> str:
    """Each pod's phase with its reason, and the state of each of its containers, as the API has them."""
    try:
        pods = kubectl.get("pods")
    except (AssertionError, OSError, subprocess.SubprocessError, ValueError) as error:
        return f"({error})"
    lines = []
    for pod in pods:
        status = pod.get("status", {})
        words = [status.get(key, "") for key in ("phase", "reason", "message")]
        lines.append(f"{pod['metadata']['name']}: {' '.join(filter(None, words))}")
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            shown = {key: container.get(key) for key in ("ready", "restartCount", "state", "lastState")}
            lines.append(f"  {container['name']}: {json.dumps(shown)}")
    return "\n".join(lines)


def describe(kubectl: Kubectl) -> str:
    """Pods, container states, events and the last log lines of the namespace `kubectl` stands in."""
    sections = [
        ("pods", _output(kubectl, "get", "pods", "-o", "wide", "--show-labels")),
        ("containers", _container_states(kubectl)),
        ("events", _output(kubectl, "get", "events", "--sort-by=.lastTimestamp")),
    ]
    pods = _output(kubectl, "get", "pods", "-o", "name").split()
    for pod in pods[:12]:
        log = _output(kubectl, "logs", pod, "--all-containers", "--prefix", f"--tail={LOG_LINES}")
        sections.append((f"log of {pod}", log))
    return "\n".join(f"--- {title}\n{text}" for title, text in sections if text)
