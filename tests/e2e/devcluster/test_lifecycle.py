"""A dev cluster comes, is repaired, is used beside another one, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import urllib.request
from pathlib import Path

import pytest

from devcluster import config
from tests.e2e.conftest import Host
from tests.e2e.devcluster.command import NAME, Own, devcluster, succeed
from tests.e2e.devcluster.machine import Machine
from tests.e2e.devcluster.workloads import AGNHOST, claim, pod, service
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

pytestmark = pytest.mark.xdist_group("own-devcluster")

IDEMPOTENT_WITHIN = 15.0  # seconds of its own work, not of what it waits for; about 0.5


def test_status_tells_that_it_is_up(own: Own) -> None:
    told = eventually(lambda: succeed("status", "--name", NAME))  # it asks whoever may be busy only once
    assert told.startswith(f"{NAME}: up\n")
    assert str(own.instance.ipv4.client) in told
    assert "containerd 2" in told or "from Debian's package" in told


def test_second_up_changes_nothing_and_is_quick(own: Own) -> None:
    running = [node.init_pid() for node in own.parts.nodes]
    before = os.times()
    up = devcluster("up", "--name", NAME)
    after = os.times()
    assert up.returncode == 0, up.stderr
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < IDEMPOTENT_WITHIN
    steps = [line.split("  (")[0] for line in up.stderr.splitlines() if line.startswith("✓")]
    assert steps == [
        f"✓ API server: {own.instance.server}",
        "✓ Images: all there",
        "✓ Nodes ready: node-1, node-2",
        "✓ Storage class local-path",
    ]
    assert up.stdout.strip() == str(own.instance.kubeconfig)
    assert [node.init_pid() for node in own.parts.nodes] == running


@pytest.mark.usefixtures("own")
def test_another_shape_is_refused() -> None:
    for argument in ("--nodes=1", "--host=kind"):
        result = devcluster("up", "--name", NAME, argument)
        assert result.returncode == 1
        assert "take it down first" in result.stderr
        assert "Traceback" not in result.stderr


def test_nodes_killed_by_hand_are_repaired_and_keep_their_data(own: Own) -> None:
    kubectl = own.kubectl
    script = "[ -e /data/file ] || echo precious > /data/file; exec tail -f /dev/null"
    kubectl.apply(claim("kept"), pod("keeper", ["sh", "-c", script], claim="kept"))
    kubectl("wait", "pod/keeper", "--for=condition=Ready", "--timeout=120s")
    assert kubectl.get("pvc", "kept")["status"]["phase"] == "Bound"
    uid = kubectl.get("pod", "keeper")["metadata"]["uid"]

    for node in own.parts.nodes:
        init = node.init_pid()
        assert init
        os.kill(init, signal.SIGKILL)
    # A node is gone when the last of its processes is.
    eventually(lambda: not any(node.init_pid() for node in own.parts.nodes))
    assert devcluster("status", "--name", NAME).returncode == 1

    succeed("up", "--name", NAME)

    def read() -> str:
        found = kubectl.get("pod", "keeper")
        assert found["metadata"]["uid"] == uid
        assert found["status"]["containerStatuses"][0]["restartCount"] >= 1
        result = kubectl.exec("keeper", ["cat", "/data/file"])
        assert result.returncode == 0, result.stderr
        return result.stdout.decode()

    assert eventually(read) == "precious\n"
    kubectl("delete", "pod/keeper", "pvc/kept", "--wait=false", "--grace-period=1")


def test_two_instances_beside_each_other(own: Own, host: Host, namespace: Kubectl) -> None:
    serve = ["/agnhost", "netexec", "--http-port=8080"]
    addresses = {}
    for kubectl in (own.kubectl, namespace):
        kubectl.apply(service("web", 8080), pod("web", serve, labels={"app": "web"}, image=AGNHOST))
        addresses[kubectl.kubeconfig] = kubectl.get("service", "web")["spec"]["clusterIP"]
    assert own.instance.kubeconfig != host.kubeconfig
    assert len(set(addresses.values())) == 2
    for kubectl in (own.kubectl, namespace):
        kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=120s")
        url = f"http://{addresses[kubectl.kubeconfig]}:8080/hostname"
        assert eventually(lambda url=url: _fetch(url)) == "web"
    own.kubectl("delete", "pod/web", "service/web", "--wait=false", "--grace-period=1")


def _fetch(url: str) -> str | None:
    """The answer from the machine itself; None while kube-proxy has not heard of the Service yet."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def test_existing_cluster_is_used_and_left_alone(own: Own) -> None:
    environment = {"KUBECONFIG": str(own.instance.kubeconfig)}
    try:
        up = devcluster("up", "--name=borrowed", "--host=existing", environment=environment)
        assert up.returncode == 0, up.stderr
        assert "2 nodes ready" in up.stderr
        assert Kubectl(Path(up.stdout.strip())).get("nodes")
        load = devcluster("load", "--name=borrowed", str(own.instance.folder / "instance.json"))
        assert load.returncode == 1
        assert "cannot be loaded into an existing cluster" in load.stderr
    finally:
        succeed("down", "--name=borrowed")
    assert len(own.kubectl.get("nodes")) == 2


def test_down_leaves_nothing_behind() -> None:
    """Pods, volumes and host ports go with the cluster."""
    name = "gone"
    succeed("down", "--name", name)
    before = Machine.now(name)
    try:
        succeed("up", "--name", name, "--nodes=1", "--ipv6", "--host=parts")
        cluster = Own(config.existing(name))
        sleep = ["tail", "-f", "/dev/null"]
        cluster.kubectl.apply(claim("left"), pod("left", sleep, claim="left", host_port=8099))
        cluster.kubectl("wait", "pod/left", "--for=condition=Ready", "--timeout=180s")
        during = Machine.now(name)
    finally:
        succeed("down", "--name", name)
    after = Machine.now(name)

    # The snapshots do see what a cluster has: processes, bridge, addresses, routes, masquerading, cgroups.
    assert len(during.processes) > 8
    bridge = cluster.instance.bridge
    signs = [f"interface {bridge}", f"address {cluster.instance.ipv4.client}/", f"dev {bridge}", "masquerade"]
    for sign in (*signs, f"/{name}/node-1/net", f"/k3k-{name}"):
        assert any(sign in fact for fact in during.facts - before.facts), sign
    assert after.processes == frozenset()
    assert after.facts - before.facts == frozenset()
    assert not cluster.instance.folder.exists()
