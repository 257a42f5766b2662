"""Why a cluster is not ready: what its objects on the host, their events and their logs say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from k3k_pulumi.host import DirectError, Host, Object
from k3k_pulumi.manifests.objects import CLUSTER, COMPONENT
from k3k_pulumi.printable import printable

LOG_LINES = 15
EVENTS = 10
LINES = 120
_LONGEST = 1000
"""Characters of a line: Pod Security names each field that it refuses."""
_STARTS = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons by which a container waits that every container passes."""
_OWNERS = (
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
)
"""What a cluster waits for beside pods, the cause before what it has for a consequence."""
_TOLD = frozenset({"PersistentVolumeClaim", "StatefulSet"})
"""Kinds whose warnings are of no more use: as long as one holds, the object itself is told with it."""


def explain(host: Host, namespace: str, cluster: str, *, component: str | None = None) -> str:
    """All that is known about a cluster that is not ready: for the error of a time-out.

    Args:
        host: The host cluster.
        namespace: Where to look.
        cluster: Name of the cluster, whose objects alone are looked at.
        component: Value of the label COMPONENT; objects of all components by default.

    Returns:
        Lines, the most likely cause first: claims and workloads that are not as they should be, containers
        that do not run with the end of their logs, and the newest warnings. What is ready is left out, and
        what may not be read is named.
    """
    seen = _look(host, namespace, cluster, component)
    lines = list(_unfinished(seen))
    found = [(pod, list(_pod(pod))) for pod in seen.pods]
    # What waits for others goes last; of that, logs say nothing but that it waits.
    found.sort(key=lambda each: all(problem.passes for problem in each[1]))
    is_known = bool(lines) or any(not problem.passes for _, problems in found for problem in problems)
    for pod, problems in found:
        name = pod["metadata"]["name"]
        if problems:
            lines.append(f"pod {name}: {pod.get('status', {}).get('phase', 'Unknown')}")
        for problem in problems:
            lines.append(f"  {problem.text}")
            if problem.container and not (is_known and problem.passes):
                log = host.log(namespace, name, problem.container, lines=LOG_LINES)
                lines += (f"    | {line}" for line in log.splitlines())
    ready = {pod["metadata"]["name"] for pod, problems in found if not problems}
    events = {
        (event.get("reason"), event["involvedObject"].get("name")): _event(event)
        for event in seen.warnings
        if event["involvedObject"].get("kind") not in _TOLD
        and event["involvedObject"].get("name") not in ready
    }
    lines += [*list(events.values())[-EVENTS:], *seen.unread]
    if not lines:
        lines = ["all pods are ready" if seen.pods else "no pods and no events"]
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"... and {len(lines) - LINES} lines more"]
    return "\n".join(f"  {_harmless(line)}" for line in (f"what namespace {namespace} says:", *lines))


def _harmless(line: str) -> str:
    """A line of ours with words of others in it, logs among them, which may have a tenant's."""
    text = line.lstrip(" ")
    return line[: len(line) - len(text)] + printable(text, _LONGEST)


@dataclass
class _Seen:
    """What a look into a namespace found."""

    owners: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    warnings: list[Object] = field(default_factory=list)
    """Events about these objects, the newest last."""
    unread: list[str] = field(default_factory=list)
    """Why something could not be read."""

    def newest(self, kind: str, name: str) -> str:
        """Reason and message of the last warning about an object; empty without one."""
        for event in reversed(self.warnings):
            if _about(event) == (kind, name):
                return f"{event.get('reason', '')}: {event.get('message', '').strip()}"
        return ""


def _look(host: Host, namespace: str, cluster: str, component: str | None) -> _Seen:
    labels = f"{CLUSTER}={cluster}" + (f",{COMPONENT}={component}" if component else "")
    seen = _Seen()

    def read(api_version: str, kind: str, selector: str | None) -> list[Object]:
        try:
            return host.list(api_version, kind, namespace, labels=selector)
        except DirectError as error:
            seen.unread.append(f"(not read: {error})")
            return []

    for api_version, kind in _OWNERS:
        seen.owners += read(api_version, kind, labels)
    seen.pods = read("v1", "Pod", labels)
    known = {(each["kind"], each["metadata"]["name"]) for each in seen.owners}
    known |= {("Pod", each["metadata"]["name"]) for each in seen.pods}
    # By their whole names: a tenant may call a pod like the beginning of one of the cluster's own.
    events = [
        event
        for event in read("v1", "Event", None)
        if event.get("type") == "Warning" and _about(event) in known
    ]
    seen.warnings = sorted(events, key=_time)
    return seen


def _about(event: Object) -> tuple[str, str]:
    """Kind and name of the object that an event is about."""
    involved = event["involvedObject"]
    return involved.get("kind", ""), involved.get("name", "")


def _time(event: Object) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _event(event: Object) -> str:
    return (
        f"warning {event.get('reason', '')} ({' '.join(_about(event))}): {event.get('message', '').strip()}"
    )


def _unfinished(seen: _Seen) -> Iterator[str]:
    """Claims without a volume, and workloads that have not made their pods."""
    for each in seen.owners:
        kind, name, status = each["kind"], each["metadata"]["name"], each.get("status", {})
        why = seen.newest(kind, name)
        if kind == "PersistentVolumeClaim":
            if status.get("phase") != "Bound" and why:
                yield f"{kind} {name}: {status.get('phase', 'Pending')}: {why}"
        elif kind == "StatefulSet":
            if status.get("replicas", 0) < each["spec"]["replicas"] and why:
                yield f"{kind} {name}: {why}"
        else:  # these have it in their conditions
            for condition in status.get("conditions", []):
                if condition["type"] in ("ReplicaFailure", "Failed") and condition["status"] == "True":
                    yield f"{kind} {name}: {condition.get('reason', '')}: {condition.get('message', '')}"


@dataclass(frozen=True)
class _Problem:
    """What is wrong with a pod."""

    text: str
    container: str = ""
    """Whose log may tell more."""
    passes: bool = False
    """Whether every start has it for a while."""


def _pod(pod: Object) -> Iterator[_Problem]:
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            yield _Problem(f"not scheduled: {condition.get('message', condition.get('reason', ''))}")
    for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
        state = container.get("state", {})
        ended = state.get("terminated")
        if container.get("ready") or (ended and ended.get("exitCode") == 0):
            continue
        words = [f"container {container['name']}: {_state(state)}"]
        if container.get("restartCount"):
            words.append(
                f"restarted {container['restartCount']} times, last {_state(container.get('lastState', {}))}"
            )
        passes = "running" in state or (state.get("waiting") or {}).get("reason") in _STARTS
        yield _Problem("; ".join(words), container["name"], passes=passes)


def _state(state: Object) -> str:
    for name, details in state.items():
        parts = [str(details[key]) for key in ("reason", "message") if details.get(key)]
        if "exitCode" in details:
            parts.append(f"exit code {details['exitCode']}")
        return f"{name}{': ' if parts else ''}{', '.join(parts)}" + (
            ", not ready" if name == "running" else ""
        )
    return "unknown"
