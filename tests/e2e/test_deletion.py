"""Deletion: grace periods both ways, preStop hooks, and pods that somebody deletes on the host."""

from __future__ import annotations

import subprocess
import time

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, deployment, pod, shell
from tests.e2e.support.polling import eventually

DEAF = "trap '' TERM; while :; do sleep 0.2; done"
# The hook and the signal handler write to the log of the main process; the handler takes its time.
LAST_WORDS = """
trap 'echo asked to end; until [ -e /tmp/end ]; do sleep 0.2; done; echo ended; exit 0' TERM
echo up
while :; do sleep 0.2; done
"""


def grace_on_host(cluster: View, inside: Kubectl, name: str) -> int | None:
    """Grace period with which a pod's copy is being deleted; None when it is not."""
    copy = cluster.host_pods(namespace=inside.namespace).get(name, {"metadata": {}})
    return copy["metadata"].get("deletionGracePeriodSeconds")


@both
def test_grace_period_and_pre_stop(cluster: View, inside: Kubectl) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1; sleep 1"]}}}
    inside.apply(pod("polite", shell(LAST_WORDS, lifecycle=hook), terminationGracePeriodSeconds=200))
    running(inside, "app=polite", 1)
    with subprocess.Popen(
        inside.command("logs", "--follow", "polite"), stdout=subprocess.PIPE, env=inside.environment()
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"up\n"
        inside("delete", "pod", "polite", "--grace-period=100", "--wait=false")

        eventually(lambda: grace_on_host(cluster, inside, "polite") == 100)
        virtual = inside.get("pod", "polite")
        assert virtual["metadata"]["deletionGracePeriodSeconds"] == 100
        assert virtual["status"]["phase"] == "Running"
        assert inside.exec("polite", ["touch", "/tmp/end"]).returncode == 0
        assert follower.stdout.read() == b"hook\nasked to end\nended\n"
        follower.wait(30)
    eventually(lambda: not inside.get("pods"))
    assert not cluster.host_pods(namespace=inside.namespace)


def test_end_of_the_grace_period(inside: Kubectl) -> None:
    """Who does not listen is killed when the time is up, and not before."""
    inside.apply(pod("deaf", shell(DEAF), terminationGracePeriodSeconds=600))
    running(inside, "app=deaf", 1)
    start = time.monotonic()
    inside("delete", "pod", "deaf", "--grace-period=3")
    assert 2.5 < time.monotonic() - start < 300


def test_forced_deletion_takes_the_copy(cluster: View, inside: Kubectl) -> None:
    inside.apply(pod("deaf", shell(DEAF), terminationGracePeriodSeconds=600))
    running(inside, "app=deaf", 1)
    inside("delete", "pod", "deaf", "--grace-period=0", "--force")
    eventually(lambda: not cluster.host_pods(namespace=inside.namespace))


def test_grace_period_made_shorter(cluster: View, inside: Kubectl) -> None:
    """A second deletion with less grace reaches the host as well, which then keeps to it or not."""
    inside.apply(pod("deaf", shell(DEAF), terminationGracePeriodSeconds=300))
    running(inside, "app=deaf", 1)
    for grace in (200, 100):
        inside("delete", "pod", "deaf", f"--grace-period={grace}", "--wait=false")
        eventually(lambda grace=grace: grace_on_host(cluster, inside, "deaf") == grace)
    inside("delete", "pod", "deaf", "--grace-period=1", "--wait=false")


def test_pod_deleted_on_the_host_is_replaced(cluster: View, inside: Kubectl) -> None:
    inside.apply(deployment("web", 2, container()))
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in running(inside, "app=web", 2)}
    lost = sorted(before)[0]
    copy = cluster.host_pods(namespace=inside.namespace)[lost]
    cluster.workloads("delete", "pod", copy["metadata"]["name"], "--wait=false")

    eventually(lambda: lost not in {pod["metadata"]["name"] for pod in inside.get("pods")})
    after = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in running(inside, "app=web", 2)}
    kept = (set(before) - {lost}).pop()
    assert after[kept] == before[kept]
    assert len(set(after.values()) | set(before.values())) == 3


def test_bare_pod_lost_on_the_host_fails(cluster: View, inside: Kubectl) -> None:
    """A pod nobody replaces is not quietly started again: it shows that it is lost, or goes."""
    inside.apply(pod("bare"))
    (virtual,) = running(inside, "app=bare", 1)
    copy = cluster.host_pods(namespace=inside.namespace)["bare"]
    cluster.workloads("delete", "pod", copy["metadata"]["name"], "--grace-period=0", "--force")

    def lost() -> bool:
        found = [pod for pod in inside.get("pods") if pod["metadata"]["uid"] == virtual["metadata"]["uid"]]
        return not found or found[0]["status"]["phase"] == "Failed"

    eventually(lost)
    assert not cluster.host_pods(namespace=inside.namespace)
