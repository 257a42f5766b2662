"""What a request asks for, as tables."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import pytest
from k3k_kubelet.server import routes
from k3k_kubelet.server.handler import PodRef, host_target
from k3k_kubelet.server.messages import HttpError, Request
from k3k_kubelet.server.routes import Action, Page, PodRequest


def request(line: str) -> Request:
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    segments = tuple(unquote(part) for part in path[1:].removesuffix("/").split("/"))
    return Request(method, path, segments, tuple(parse_qsl(query, keep_blank_values=True)), [], "")


def parsed(line: str) -> PodRequest:
    found = routes.parse(request(line))
    assert isinstance(found, PodRequest)
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "POST /exec/ns/pod/c?output=1&command=ls",
            PodRequest(Action.EXEC, "ns", "pod", "", "c", (("stdout", "true"), ("command", "ls"))),
        ),
        (
            "GET /exec/ns/pod/uid/c?output=1&command=ls",
            PodRequest(Action.EXEC, "ns", "pod", "uid", "c", (("stdout", "true"), ("command", "ls"))),
        ),
        (
            "POST /attach/ns/pod/c?input=1&output=1&tty=1",
            PodRequest(
                Action.ATTACH, "ns", "pod", "", "c", (("stdin", "true"), ("stdout", "true"), ("tty", "true"))
            ),
        ),
        (
            "POST /attach/ns/pod/u/c?error=1",
            PodRequest(Action.ATTACH, "ns", "pod", "u", "c", (("stderr", "true"),)),
        ),
        ("POST /portForward/ns/pod", PodRequest(Action.PORT_FORWARD, "ns", "pod", "", "", ())),
        ("POST /portForward/ns/pod/u", PodRequest(Action.PORT_FORWARD, "ns", "pod", "u", "", ())),
        ("GET /containerLogs/ns/pod/c", PodRequest(Action.LOGS, "ns", "pod", "", "c", ())),
    ],
)
def test_paths(line: str, expected: PodRequest) -> None:
    assert routes.parse(request(line)) == expected


@pytest.mark.parametrize(
    ("line", "page"),
    [
        ("GET /healthz", Page.HEALTHZ),
        ("GET /healthz/ping", Page.HEALTHZ),
        ("GET /pods/", Page.PODS),
        ("GET /metrics", Page.METRICS),
        ("GET /metrics/resource", Page.RESOURCE_METRICS),
        ("GET /stats/summary?only_cpu_and_memory=true", Page.STATS_SUMMARY),
    ],
)
def test_pages(line: str, page: Page) -> None:
    assert routes.parse(request(line)) is page


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "//pods",
            "/exec",
            "/exec/ns/pod",
            "/exec/ns/pod/u/c/more",
            "/containerLogs/ns/pod/u/c",
            "/logs/",
        ),
        *(
            "/portForward/ns",
            "/run/ns/pod/c",
            "/configz",
            "/metrics/cadvisor",
            "/Exec/ns/pod/c",
            "/exec/../pods",
        ),
    ],
)
def test_what_is_not_served(path: str) -> None:
    with pytest.raises(HttpError) as caught:
        routes.parse(request(f"GET {path}"))
    assert caught.value.code == 404


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("DELETE /pods", 405),
        ("POST /containerLogs/ns/pod/c", 405),
        ("PUT /exec/ns/pod/c?output=1&command=ls", 405),
        ("GET /exec/ns/pod/c?output=1", 400),
        ("GET /exec/ns/pod/c?command=ls", 400),
        ("GET /exec/ns/pod/c?command=ls&tty=1", 400),
        ("GET /attach/ns/pod/c?output=0", 400),
    ],
)
def test_what_is_refused(line: str, code: int) -> None:
    with pytest.raises(HttpError) as caught:
        routes.parse(request(line))
    assert caught.value.code == code


def test_a_command_keeps_its_order_its_empty_words_and_its_bytes() -> None:
    query = "command=&output=1&command=-c&command=a%20b%26c%3Dd%0A%C3%BC&command=x&command="
    commands = [value for name, value in parsed(f"POST /exec/ns/pod/c?{query}").query if name == "command"]
    assert commands == ["", "-c", "a b&c=d\nü", "x", ""]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "follow=true&previous=false&timestamps=1",
            {"follow": "true", "previous": "false", "timestamps": "1"},
        ),
        ("sinceSeconds=60&limitBytes=1", {"sinceSeconds": "60", "limitBytes": "1"}),
        ("tailLines=0", {"tailLines": "0"}),
        ("tail=5", {"tailLines": "5"}),
        ("tail=all", {}),
        ("tail=5&tailLines=7", {"tailLines": "7"}),
        ("sinceTime=2026-11-21T05:06:07Z", {"sinceTime": "2026-11-21T05:06:07Z"}),
        ("sinceTime=2026-11-21T05:06:07.123%2B01:00", {"sinceTime": "2026-11-21T05:06:07.123+01:00"}),
        ("stream=Stderr", {"stream": "Stderr"}),
        ("container=other&insecureSkipTLSVerifyBackend=true&follow=&x=1", {}),
        ("tailLines=3&tailLines=4", {"tailLines": "3"}),
    ],
)
def test_log_parameters(query: str, expected: dict[str, str]) -> None:
    assert dict(parsed(f"GET /containerLogs/ns/pod/c?{query}").query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("follow=perhaps", "follow: 'perhaps' must be true or false"),
        ("tailLines=-1", "tailLines: '-1' must be a number from 0 up"),
        ("sinceSeconds=0", "sinceSeconds: '0' must be a number from 1 up"),
        ("limitBytes=1e3", "limitBytes: '1e3' must be a number from 1 up"),
        ("limitBytes=%D9%A1", "limitBytes: '\u0661' must be a number from 1 up"),
        ("sinceTime=yesterday", "sinceTime: 'yesterday' must be a time as RFC 3339 has it"),
        ("stream=stderr", "stream: 'stderr' must be All or Stdout or Stderr"),
        ("sinceTime=2026-11-21T05:06:07Z&sinceSeconds=1", "at most one of sinceTime or sinceSeconds"),
    ],
)
def test_wrong_log_parameters_are_named(query: str, message: str) -> None:
    with pytest.raises(HttpError, match=message.split("'")[0]) as caught:
        parsed(f"GET /containerLogs/ns/pod/c?{query}")
    assert caught.value.code == 400
    assert message in caught.value.message


@pytest.mark.parametrize("ports", ["0", "65536", "80,", "http", "-1"])
def test_wrong_ports_are_named(ports: str) -> None:
    with pytest.raises(HttpError, match="is not a port number"):
        parsed(f"GET /portForward/ns/pod?port={ports}")


def test_the_hosts_path_is_made_of_the_index_and_quoted() -> None:
    pod = PodRef("ns", "pod", "u", "node", frozenset({"c/../d?x=1&y"}), "host ns", "name/../../secrets")
    asked = PodRequest(Action.EXEC, "ns", "pod", "", "c/../d?x=1&y", (("command", "a&container=z"),))
    assert host_target(pod, asked) == (
        "/api/v1/namespaces/host%20ns/pods/name%2F..%2F..%2Fsecrets/exec"
        "?command=a%26container%3Dz&container=c%2F..%2Fd%3Fx%3D1%26y"
    )
