"""What a request to the kubelet API asks for, and the query that asks the host's API for the same.

Everything that goes to the host is rebuilt here from parsed values of a whitelist; no text of the request is
passed on. Names of the parameters: pkg/kubelet/server and pkg/apis/core (PodExecOptions, PodLogOptions).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from k3k_kubelet.server.messages import HttpError, Request

Query = tuple[tuple[str, str], ...]


class Action(enum.Enum):
    """What the kubelet API can do with a pod; the value is the host's subresource."""

    EXEC = "exec"
    ATTACH = "attach"
    PORT_FORWARD = "portforward"
    LOGS = "log"


class Page(enum.Enum):
    """What it answers by itself."""

    HEALTHZ = "healthz"
    PODS = "pods"
    STATS_SUMMARY = "stats/summary"
    METRICS = "metrics"
    RESOURCE_METRICS = "metrics/resource"


@dataclass(frozen=True)
class PodRequest:
    """A request about a pod, in the virtual cluster's names.

    Attributes:
        uid: The pod's uid when the path has one, else empty.
        container: Empty for port forwarding.
        query: For the host's API, without `container`.
    """

    action: Action
    namespace: str
    name: str
    uid: str
    container: str
    query: Query


_ACTIONS = {
    "exec": Action.EXEC,
    "attach": Action.ATTACH,
    "portForward": Action.PORT_FORWARD,
    "containerLogs": Action.LOGS,
}
_PAGES = {tuple(page.value.split("/")): page for page in Page} | {("healthz", "ping"): Page.HEALTHZ}
_STREAMS = {"input": "stdin", "output": "stdout", "error": "stderr", "tty": "tty"}
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
# RFC 3339, as metav1.Time reads it.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def parse(request: Request) -> PodRequest | Page:
    """What is asked for.

    Raises:
        HttpError: 404 for a path that is not served, 405, or 400 for a parameter that cannot be used.
    """
    page = _PAGES.get(request.segments)
    if page:
        _need_method(request, "GET")
        return page
    match request.segments:
        case ("exec" | "attach" | "containerLogs" as what, namespace, name, container):
            uid = ""
        case ("exec" | "attach" as what, namespace, name, uid, container):
            pass
        case ("portForward" as what, namespace, name):
            uid = container = ""
        case ("portForward" as what, namespace, name, uid):
            container = ""
        case _:
            raise HttpError(404, f"the virtual kubelet does not serve {request.path}")
    action = _ACTIONS[what]
    _need_method(request, *(("GET",) if action is Action.LOGS else ("GET", "POST")))
    query = tuple(_QUERIES[action](request))
    return PodRequest(action, namespace, name, uid, container, query)


def _need_method(request: Request, *allowed: str) -> None:
    if request.method not in allowed:
        raise HttpError(405, f"{request.method} {request.path}: allowed is {' and '.join(allowed)}")


def _exec(request: Request) -> Iterator[tuple[str, str]]:
    yield from _attach(request)
    commands = [value for name, value in request.query if name == "command"]
    if not commands:
        raise HttpError(400, "exec: you must specify a command")
    yield from (("command", value) for value in commands)


def _attach(request: Request) -> Iterator[tuple[str, str]]:
    streams = {_STREAMS[name] for name, value in request.query if name in _STREAMS and value in _TRUE}
    if not streams - {"tty"}:
        raise HttpError(400, "you must specify at least one of input, output, error")
    yield from ((name, "true") for name in _STREAMS.values() if name in streams)


def _port_forward(request: Request) -> Iterator[tuple[str, str]]:
    for name, value in request.query:
        if name == "port":  # WebSocket only; SPDY names ports in the headers of its streams
            for port in value.split(","):
                if not port.isdecimal() or not 0 < int(port) < 65536:
                    raise HttpError(400, f"port: {port[:20]!r} is not a port number")
                yield "ports", port


def _logs(request: Request) -> Iterator[tuple[str, str]]:
    given: dict[str, str] = {}
    for name, value in request.query:
        given.setdefault(name, value)
    if "tail" in given and "tailLines" not in given and given["tail"] != "all":
        given["tailLines"] = given["tail"]  # the kubelet's older name
    if "sinceSeconds" in given and "sinceTime" in given:
        raise HttpError(400, "at most one of sinceTime or sinceSeconds may be specified")
    for name, (check, allowed) in _LOG_PARAMETERS.items():
        value = given.get(name, "")
        if not value:
            continue
        if not check(value):
            raise HttpError(400, f"{name}: {value[:40]!r} must be {allowed}")
        yield name, value


def _one_of(*allowed: str) -> tuple[Callable[[str], bool], str]:
    return (lambda value: value in allowed), " or ".join(allowed)


def _number(least: int) -> tuple[Callable[[str], bool], str]:
    def check(value: str) -> bool:
        return re.fullmatch(r"[0-9]{1,18}", value) is not None and int(value) >= least

    return check, f"a number from {least} up"


_BOOLEAN = (lambda value: value in _TRUE | _FALSE), "true or false"
_LOG_PARAMETERS: dict[str, tuple[Callable[[str], bool], str]] = {
    "follow": _BOOLEAN,
    "previous": _BOOLEAN,
    "timestamps": _BOOLEAN,
    "sinceSeconds": _number(1),
    "sinceTime": ((lambda value: _TIME.fullmatch(value) is not None), "a time as RFC 3339 has it"),
    "tailLines": _number(0),
    "limitBytes": _number(1),
    "stream": _one_of("All", "Stdout", "Stderr"),
}
_QUERIES: dict[Action, Callable[[Request], Iterator[tuple[str, str]]]] = {
    Action.EXEC: _exec,
    Action.ATTACH: _attach,
    Action.PORT_FORWARD: _port_forward,
    Action.LOGS: _logs,
}
