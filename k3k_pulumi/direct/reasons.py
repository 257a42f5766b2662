"""Why a control plane is not ready: what its namespace says, for the error of a time-out."""

from __future__ import annotations

from collections.abc import Iterator

from k3k_pulumi.direct.host import DirectError, Host, Object

LOG_LINES = 15
EVENTS = 10


def explain(host: Host, namespace: str, *, labels: str | None = None) -> str:
    """Containers that do not run with the end of their logs, and the newest warnings.

    Args:
        host: the host cluster.
        namespace: where to look.
        labels: selects the pods; all by default.
    """
    try:
        lines = [*_containers(host, namespace, labels), *_warnings(host, namespace)]
    except DirectError as error:
        lines = [f"(no look into the namespace: {error})"]
    if not lines:
        lines = ["no pods and no events"]
    return "\n".join(f"  {line}" for line in (f"what namespace {namespace} says:", *lines))


def _containers(host: Host, namespace: str, labels: str | None) -> Iterator[str]:
    for pod in host.list("v1", "Pod", namespace, labels=labels):
        name, status = pod["metadata"]["name"], pod.get("status", {})
        yield f"pod {name}: {status.get('phase', 'Unknown')}"
        for condition in status.get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] != "True":
                yield f"  not scheduled: {condition.get('message', condition.get('reason', ''))}"
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            yield from _container(host, namespace, name, container)


def _container(host: Host, namespace: str, pod: str, container: Object) -> Iterator[str]:
    """State of one container, and its last log lines, unless it is ready or has done its work."""
    state = container.get("state", {})
    ended = state.get("terminated")
    if container.get("ready") or (ended and ended.get("exitCode") == 0):
        return
    words = [f"container {container['name']}: {_state(state)}"]
    if container.get("restartCount"):
        words.append(
            f"restarted {container['restartCount']} times, last {_state(container.get('lastState', {}))}"
        )
    yield "  " + "; ".join(words)
    for line in host.log(namespace, pod, container["name"], lines=LOG_LINES).splitlines():
        yield f"    | {line}"


def _state(state: Object) -> str:
    for name, details in state.items():
        parts = [str(details[key]) for key in ("reason", "message") if details.get(key)]
        if "exitCode" in details:
            parts.append(f"exit code {details['exitCode']}")
        return f"{name}{': ' if parts else ''}{', '.join(parts)}" + (
            ", not ready" if name == "running" else ""
        )
    return "unknown"


def _warnings(host: Host, namespace: str) -> Iterator[str]:
    events = [event for event in host.list("v1", "Event", namespace) if event.get("type") == "Warning"]
    events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    for event in events[-EVENTS:]:
        involved = event["involvedObject"]
        about = f"{involved.get('kind', '')} {involved.get('name', '')}"
        yield f"warning {event.get('reason', '')} ({about}): {event.get('message', '').strip()}"
