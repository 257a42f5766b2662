"""Logs, exec and attach inside a virtual cluster: the streams as they are, byte for byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.stream import stream
from kubernetes.stream.ws_client import WSClient

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import BUSYBOX, container, pod, shell
from tests.e2e.support.polling import SECONDS, eventually
from tests.e2e.support.terminal import Terminal

PROTOCOLS = {"websocket": "true", "spdy": "false"}  # value of KUBECTL_REMOTE_COMMAND_WEBSOCKETS


def idle_pod(inside: Kubectl, name: str = "idle") -> str:
    inside.apply(pod(name))
    running(inside, f"app={name}", 1)
    return name


def reached(inside: Kubectl, name: str) -> None:
    """Waits until requests come through to a pod: the host learns of a new Node's port in its own time."""
    eventually(lambda: inside.exec(name, ["true"]).returncode == 0)


@both
def test_logs_follow(inside: Kubectl) -> None:
    inside.apply(
        pod(
            "talker",
            shell("echo first; until [ -e /tmp/go ]; do sleep 0.1; done; echo second"),
            restartPolicy="Never",
        )
    )
    running(inside, "app=talker", 1)
    reached(inside, "talker")
    with subprocess.Popen(
        inside.command("logs", "--follow", "talker"), stdout=subprocess.PIPE, env=inside.environment()
    ) as follower:
        assert follower.stdout is not None
        try:
            assert follower.stdout.readline() == b"first\n"  # while the container still runs
            assert inside.exec("talker", ["touch", "/tmp/go"]).returncode == 0
            assert follower.stdout.read() == b"second\n"
            assert follower.wait(SECONDS) == 0
        finally:
            follower.kill()


def test_logs_options(inside: Kubectl) -> None:
    """--tail, --timestamps, --container, --previous; and an error of the host's API as kubectl shows it."""
    script = (
        "if [ -e /state/ran ]; then echo again; sleep 3600; fi; touch /state/ran; echo one; echo two; exit 3"
    )
    state = {"name": "state", "mountPath": "/state"}
    inside.apply(
        pod(
            "twice",
            shell(script, volumeMounts=[state]),
            container(name="quiet"),
            volumes=[{"name": "state", "emptyDir": {}}],
        )
    )
    eventually(lambda: inside("logs", "twice", "-c", "main") == "again\n")
    assert inside("logs", "twice", "-c", "main", "--previous") == "one\ntwo\n"
    assert inside("logs", "twice", "-c", "main", "--previous", "--tail=1") == "two\n"
    stamped = inside("logs", "twice", "-c", "main", "--timestamps").split()
    assert stamped[0].startswith("20")
    assert stamped[1] == "again"
    assert inside("logs", "twice", "-c", "quiet") == ""
    refused = inside.run("logs", "twice", "-c", "none")
    assert refused.returncode != 0
    assert b"none is not valid for pod twice" in refused.stderr


@both
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_exec_carries_bytes_and_exit_code(
    inside: Kubectl, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", PROTOCOLS[protocol])
    name = idle_pod(inside)
    sent = os.urandom(3_000_000)

    back = inside.exec(name, ["cat"], stdin=sent)
    assert back.returncode == 0, back.stderr
    assert back.stdout == sent

    failed = inside.exec(
        name, ["sh", "-c", "cat > /tmp/in; echo out; echo err >&2; exit 7"], stdin=b"\x00\xff\n"
    )
    assert failed.returncode == 7
    assert failed.stdout == b"out\n"
    assert b"err" in failed.stderr.splitlines()  # kubectl may complain before of an API that does not answer
    assert inside.exec(name, ["cat", "/tmp/in"]).stdout == b"\x00\xff\n"

    # Arguments arrive as they are, empty ones and those a URL would garble too.
    strange = ["a b", "", "&x=1", "%20", "ü", "-n"]
    shown = inside.exec(name, ["sh", "-c", 'for word; do echo "[$word]"; done', "sh", *strange])
    assert shown.stdout.decode() == "".join(f"[{word}]\n" for word in strange)


@both
def test_exec_on_a_terminal(inside: Kubectl) -> None:
    name = idle_pod(inside)
    reached(inside, name)
    command = inside.command("exec", "-it", name, "--", "sh")
    with Terminal(command, environment=inside.environment(), rows=33, columns=101) as terminal:
        terminal.expect("# ")
        terminal.type("tty\n")
        terminal.expect("/dev/pts/")
        eventually(lambda: _size(terminal) == "33 101")  # sent beside the stream of the keys
        terminal.resize(40, 120)
        eventually(lambda: _size(terminal) == "40 120")
        # A child that has the terminal by the time it speaks: it is the one that Ctrl-C is for.
        terminal.type("sh -c 'echo begun; exec sleep 300'; echo over\n")
        terminal.expect("\nbegun")
        terminal.type("\x03")
        terminal.type("echo interrupted $?\n")
        terminal.expect("\ninterrupted 130")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


def _size(terminal: Terminal) -> str:
    terminal.type("echo [$(stty size)]\n")
    terminal.expect("\n[")
    return terminal.expect("]").strip()


@contextmanager
def web_socket(cluster: View, inside: Kubectl, verb: str, pod: str, **options: Any) -> Iterator[WSClient]:
    """An exec or attach by the protocol v4.channel.k8s.io, all streams open."""
    api = config.new_client_from_config(str(cluster.access.kubeconfig), persist_config=False)
    connect = getattr(client.CoreV1Api(api), f"connect_get_namespaced_pod_{verb}")
    streams = {"stdin": True, "stdout": True, "stderr": True, "tty": False}
    session = stream(connect, pod, inside.namespace, **streams, **options, _preload_content=False)
    try:
        yield session
    finally:
        session.close()
        api.close()


def test_exec_by_the_old_websocket_protocol(cluster: View, inside: Kubectl) -> None:
    """What speaks v4.channel.k8s.io (dashboards, the Python client) reaches the kubelet as a WebSocket."""
    name = idle_pod(inside)
    reached(inside, name)
    command = ["sh", "-c", "read line; echo got $line; exit 4"]
    with web_socket(cluster, inside, "exec", name, command=command) as session:
        session.write_stdin("hello\n")
        session.run_forever(timeout=SECONDS)
        assert session.read_stdout() == "got hello\n"
        assert session.returncode == 4


def test_attach_by_the_old_websocket_protocol(cluster: View, inside: Kubectl) -> None:
    inside.apply(pod("echo", container(["cat"], stdin=True, stdinOnce=True), restartPolicy="Never"))
    running(inside, "app=echo", 1)
    reached(inside, "echo")
    with web_socket(cluster, inside, "attach", "echo") as session:
        session.write_stdin("hello\n")
        assert session.readline_stdout(timeout=SECONDS) == "hello"


def test_exec_where_there_is_nothing(inside: Kubectl) -> None:
    name = idle_pod(inside)
    for pod_name, flags, words in (
        ("nobody", [], b"not found"),
        (name, ["--container=none"], b"none is not valid for pod"),
        (name, [], b"no-such-program"),
    ):
        result = inside.run("exec", *flags, pod_name, "--", "no-such-program")
        assert result.returncode != 0
        assert words in result.stderr, result.stderr


def test_run_attached(inside: Kubectl) -> None:
    """`kubectl run -i --rm`: made, attached, fed, read and deleted in one go."""
    result = inside.run(
        "run", "once", "-i", "--rm", "--quiet", "--restart=Never", f"--image={BUSYBOX}",
        "--pod-running-timeout=3m", "--command",
        "--", "sh", "-c", "read line; echo got $line", stdin=b"hello\n", timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"got hello\n" in result.stdout
    eventually(lambda: not inside.get("pods"))
