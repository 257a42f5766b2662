"""Clusters without an engine: repeated, interrupted, killed, refused; from Python and from the shell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k3k_pulumi import direct
from k3k_pulumi.errors import InputError
from tests import run
from tests.e2e.conftest import Host, unique, watch
from tests.e2e.support.failures import told
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

ARGS = {"distribution": "kubernetes", "persistence": {"type": "ephemeral"}, "ready_timeout": "10m"}
GONE_WITHIN = 400  # seconds from a signal to the end of the process, which removes the cluster


@pytest.fixture
def where(host: Host, kubelet_image: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a namespace that does not exist yet; a cluster `it` in it goes when the test is over."""
    del kubelet_image
    name = unique("t")
    watch(request.node, host.kubectl.within(f"{name}-it-control-plane"))
    yield name
    direct.delete("it", name, kubeconfig=host.kubeconfig, grace_period=1)


def namespaces(host: Host, where: str) -> list[str]:
    """The cluster's namespaces as far as they exist."""
    names = [item["metadata"]["name"] for item in host.kubectl.get("namespaces")]
    return sorted(name for name in names if name.startswith(where))


def test_apply_twice_and_delete(host: Host, where: str, tmp_path: Path) -> None:
    """By the command line: the second run keeps keys and pods, and brings a change; delete leaves nothing."""

    def command(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "k3k_pulumi.direct", f"--kubeconfig={host.kubeconfig}", *arguments]
        return subprocess.run(program, text=True, capture_output=True, check=check, cwd=tmp_path, timeout=900)

    made = command("apply", "it", "-n", where, "--args", json.dumps(ARGS))
    first = Kubectl(tmp_path / made.stdout.strip())
    assert first.kubeconfig.stat().st_mode & 0o777 == 0o600
    first("create", "configmap", "kept")
    pods = host.kubectl.within(f"{where}-it-control-plane").get("pods")

    changed = {**ARGS, "pods": {"hostPorts": True}}
    command("apply", "it", "-n", where, "--args", json.dumps(changed), "-o", "second")
    second = Kubectl(tmp_path / "second")
    assert second("get", "configmap", "kept", "-o", "name") == "configmap/kept\n"
    authorities = [
        json.loads(kubectl.kubeconfig.read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
        for kubectl in (first, second)
    ]
    assert authorities[0] == authorities[1]
    eventually(lambda: first("get", "--raw=/readyz") == "ok")
    after = host.kubectl.within(f"{where}-it-control-plane").get("pods")
    assert {pod["metadata"]["uid"] for pod in after} == {pod["metadata"]["uid"] for pod in pods}

    assert f"{where} it" in command("list").stdout.splitlines()
    command("delete", "it", "-n", where)
    assert not namespaces(host, where)
    assert f"{where} it" not in command("list").stdout.splitlines()
    command("delete", "it", "-n", where)  # again: nothing to do, no error


LIFE = """
import signal, sys
from k3k_pulumi.direct import ephemeral_cluster
# A run that a shell has put into the background ignores Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
namespace, kubeconfig = sys.argv[1:]
with ephemeral_cluster(
    name="it", namespace=namespace, kubeconfig=kubeconfig, distribution="kubernetes", timeout=600
) as cluster:
    print(cluster.kubeconfig_path, flush=True)
    sys.stdin.read()
"""


def live(host: Host, where: str) -> subprocess.Popen[str]:
    """A process that holds an ephemeral cluster."""
    command = [sys.executable, "-c", LIFE, where, str(host.kubeconfig)]
    return subprocess.Popen(
        command,
        cwd=run.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_signals_clean_up(host: Host, where: str, number: signal.Signals, code: int) -> None:
    with live(host, where) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        eventually(lambda: Kubectl(path)("get", "--raw=/readyz") == "ok")
        process.send_signal(number)
        assert process.wait(GONE_WITHIN) == code
    assert not namespaces(host, where)
    assert not path.exists()


def test_interrupted_while_it_is_made(host: Host, where: str) -> None:
    with live(host, where) as process:
        eventually(lambda: namespaces(host, where))
        process.send_signal(signal.SIGINT)
        assert process.wait(GONE_WITHIN) == -signal.SIGINT
    assert not namespaces(host, where)


def test_leftovers_of_a_killed_process(host: Host, where: str) -> None:
    with live(host, where) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    found = {(found.namespace, found.name) for found in direct.clusters(kubeconfig=host.kubeconfig)}
    assert (where, "it") in found
    direct.delete("it", where, kubeconfig=host.kubeconfig, grace_period=1)
    assert not namespaces(host, where)


def test_time_out_says_why(host: Host, where: str) -> None:
    args: dict[str, Any] = {
        **ARGS,
        "namespace": where,
        "kubeconfig": host.kubeconfig,
        "timeout": 5,
        "images": {"kubelet": "registry.invalid/nothing:1"},
    }
    expected = f"{where}/it: not ready after 5 s: waited for StatefulSet"

    told(
        lambda: direct.apply("it", **args),
        expected,
        "container kubelet: waiting: ",
        "Failed (Pod it-kubelet-",
        "registry.invalid/nothing:1",
    )
    with pytest.raises(direct.DirectError) as caught, direct.ephemeral_cluster(name="it", **args):
        pytest.fail("a cluster without an image is no cluster")
    assert expected in str(caught.value)
    assert "container kubelet: waiting: " in str(caught.value)
    assert not namespaces(host, where)


def test_bad_input_creates_nothing(host: Host, where: str) -> None:
    with (
        pytest.raises(InputError) as caught,
        direct.ephemeral_cluster(
            name="it",
            namespace=where,
            kubeconfig=host.kubeconfig,
            mode="sharde",
            service_cidr="10.43.0.0",
            servers=3,
        ),
    ):
        pytest.fail("a cluster of bad input")
    for words in ("mode", "sharde", "shared", "service_cidr", "10.43.0.0", "servers"):
        assert words in str(caught.value)
    assert not namespaces(host, where)


def test_foreign_namespaces_are_refused(host: Host, namespace: Kubectl, kubelet_image: str) -> None:
    del kubelet_image
    with pytest.raises(direct.DirectError, match="create_namespace=False"):
        direct.apply("it", namespace=namespace.namespace, kubeconfig=host.kubeconfig, **ARGS)
    missing = unique("t")
    with pytest.raises(direct.DirectError, match=f"'{missing}' does not exist"):
        direct.apply("it", namespace=missing, create_namespace=False, kubeconfig=host.kubeconfig, **ARGS)
    assert not namespaces(host, f"{namespace.namespace}-")
