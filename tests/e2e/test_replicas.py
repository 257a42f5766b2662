"""Two replicas of the virtual kubelet, and the death of the one that acts."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeCluster
from tests.e2e.support.clusters import View, both, identity, running
from tests.e2e.support.lease import TAKEOVER_SECONDS, leader, leads_since
from tests.e2e.support.objects import deployment, pod, shell
from tests.e2e.support.polling import eventually
from tests.e2e.support.processes import processes, signal_all

KUBELET = "k3k-pulumi.io/component=kubelet"
STREAMS = 16
"""The Service leads each one to either replica: all of them to the leader in one run of 65,000."""
REQUESTS = 10


def kill(view: View, name: str) -> float:
    """Ends a kubelet's pod without a word, as if its node were gone; returns when, since the epoch."""
    status = view.control_plane.get("pod", name)["status"]["containerStatuses"][0]
    victims = processes(status["containerID"])
    killed = time.time()
    # Stopped until its pod is deleted: one that is dead before would begin anew, and go on with its Lease.
    signal_all(victims, signal.SIGSTOP)
    view.control_plane("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
    signal_all(victims, signal.SIGKILL)
    return killed


@contextmanager
def streams(view: View, name: str, folder: Path) -> Iterator[list[tuple[subprocess.Popen[bytes], Path]]]:
    """`kubectl exec` several times, each of which writes a line in each second to a file."""
    script = "n=0; while :; do echo $n; n=$((n+1)); sleep 1; done"
    running_ones = []
    try:
        for number in range(STREAMS):
            file = folder / f"stream-{number}"
            with file.open("wb") as out:
                command = view.inside.command("exec", name, "--", "sh", "-c", script)
                process = subprocess.Popen(
                    command, stdout=out, stderr=subprocess.DEVNULL, env=view.inside.environment()
                )
            running_ones.append((process, file))
        eventually(lambda: all(file.stat().st_size for _, file in running_ones))
        yield running_ones
    finally:
        for process, _ in running_ones:
            process.kill()
            process.wait()


def answers(view: View, name: str) -> set[bytes]:
    """What as many new `kubectl exec` and `kubectl logs` print, by whichever replica."""

    def one(number: int) -> bytes:
        done = view.inside.exec(name, ["echo", f"from {number}"])
        return (done.stdout or done.stderr) + view.inside("logs", name).encode()

    with ThreadPoolExecutor(4) as pool:
        return set(pool.map(one, range(REQUESTS)))


EXPECTED = {f"from {number}\nlogged\n".encode() for number in range(REQUESTS)}


def uids(pods: list[Any]) -> set[str]:
    return {each["metadata"]["uid"] for each in pods}


@both
@pytest.mark.usefixtures("every_node")
def test_leader_killed_while_pods_are_made(make_cluster: MakeCluster, tmp_path: Path) -> None:
    view = make_cluster(kubelet_replicas=2)
    replicas = running(view.control_plane, KUBELET, 2)
    assert len({each["spec"]["nodeName"] for each in replicas}) == 2
    view.inside.apply(pod("idle", shell("echo logged; exec sleep 3600")), deployment("before", 2))
    running(view.inside, "app=idle", 1)
    before = running(view.inside, "app=before", 2)
    eventually(
        lambda: answers(view, "idle") == EXPECTED
    )  # by both, with the newest Node's port in the Service
    first = leader(view)
    assert first in {each["metadata"]["name"] for each in replicas}

    with streams(view, "idle", tmp_path) as open_ones:
        view.inside.apply(deployment("web", 8))
        eventually(
            lambda: any(name.startswith("web-") for name in view.host_pods(namespace="default")),
            interval=0.05,
        )
        killed = kill(view, first)
        view.inside.apply(pod("after"))
        eventually(lambda: "after" in view.host_pods(namespace="default"))
        assert leader(view) not in ("", first)
        assert leads_since(view) - killed < TAKEOVER_SECONDS

        running(view.inside, "app=after", 1)
        web = running(view.inside, "app=web", 8)
        # Those through the other one end, each when its client hears of it.
        for process, file in open_ones:
            size = file.stat().st_size
            eventually(
                lambda process=process, file=file, size=size: (  # type: ignore[misc]
                    process.poll() is not None or file.stat().st_size > size
                )
            )
        gone_on = [file for process, file in open_ones if process.poll() is None]
        assert gone_on, "no stream went through the replica that lives"
        for file in gone_on:
            lines = file.read_text().split("\n")[:-1]
            assert lines == [str(number) for number in range(len(lines))]

    copies = view.host_pods(namespace="default")
    inside = view.inside.get("pods")
    assert copies.keys() == {each["metadata"]["name"] for each in inside}
    assert len(inside) == 1 + 2 + 8 + 1
    assert sorted(map(identity, running(view.inside, "app=before", 2))) == sorted(map(identity, before))
    assert uids(running(view.inside, "app=web", 8)) == uids(web)
    assert not [each for each in view.host_pods(namespace="default").values() if _restarts(each)]
    running(view.control_plane, KUBELET, 2)
    eventually(lambda: answers(view, "idle") == EXPECTED)


def _restarts(copy: Any) -> int:
    return sum(status["restartCount"] for status in copy["status"]["containerStatuses"])
