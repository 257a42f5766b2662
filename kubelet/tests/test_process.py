"""The process: health, its end, and what it survives."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from k3k_kubelet.api import EVENTS, LEASES, PODS, ApiError
from k3k_kubelet.events import timestamp
from k3k_kubelet.sync.mirror import RateLimit

from kubelet.tests.clusters import ADDRESS, CONTROL_PLANE, NAMESPACE, Clusters
from kubelet.tests.services import asked, service
from kubelet.tests.waiting import eventually
from kubelet.tests.world import World, in_world

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them


def ask(clusters: Clusters, path: str) -> tuple[int, str]:
    try:
        url = f"http://{ADDRESS}:{clusters.health_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_health(clusters: Clusters) -> None:
    asyncio.run(eventually(lambda: ask(clusters, "/readyz") == (200, "ok\n")))
    # Whoever is slow to ask, or to answer, for 5 s is hung up on.
    asyncio.run(eventually(lambda: ask(clusters, "/livez") == (200, "ok\n")))
    asyncio.run(eventually(lambda: ask(clusters, "/pods")[0] == 404))


def test_sigterm_ends_it_cleanly_and_lets_go_of_the_lease(clusters: Clusters) -> None:
    get = ("-n", CONTROL_PLANE, "get", "lease", "vc-kubelet", "-o", "jsonpath={.spec.holderIdentity}")
    for _ in range(3):
        asyncio.run(eventually(lambda: ask(clusters, "/readyz")[0] == 200))
        late = clusters.log().count("lease not released")
        assert clusters.stop_kubelet(signal.SIGTERM) == 0
        holder = clusters.host.kubectl(*get)
        late = clusters.log().count("lease not released") - late
        clusters.start_kubelet()
        if not late:  # it waits 2 s for the host's answer, and no longer
            break
    assert not holder
    asyncio.run(eventually(lambda: ask(clusters, "/readyz")[0] == 200))


MALFORMED = '{"apiVersion": "k3k-pulumi.io/v1", "pods": {"required": {"nodeSelector": {"bad key!": "x"}}}}'
WHERE = "policy.json: key in $.pods.required.nodeSelector: "


def policy_file(clusters: Clusters) -> Path:
    return clusters.directory / "policy" / "policy.json"


@pytest.mark.parametrize(
    ("document", "reason"),
    [(MALFORMED, WHERE), (None, "No such file or directory")],
    ids=["wrong", "missing"],
)
def test_it_does_not_start_without_a_good_policy(
    clusters: Clusters, document: str | None, reason: str
) -> None:
    clusters.stop_kubelet()
    file = policy_file(clusters)
    if document is None:
        file.unlink()
    else:
        file.write_text(document)
    try:
        result = subprocess.run(
            clusters.kubelet_command(),
            env=clusters.environment(),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        clusters.set_policy()
        clusters.start_kubelet()
    asyncio.run(eventually(lambda: ask(clusters, "/readyz")[0] == 200))
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("k3k-kubelet: policy.json: ")
    assert reason in last


def test_a_policy_that_becomes_wrong_leaves_the_last_one_and_makes_it_not_ready(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        changes = clusters.log().count("policy changed")
        clusters.set_policy(imageRegistries=["registry.example.com/team/"])
        await eventually(lambda: clusters.log().count("policy changed") > changes)
        await world.pod("before")
        await world.event("before", "HostPodRefused", "imageRegistries")
        refused = clusters.log().count(WHERE)
        policy_file(clusters).write_text(MALFORMED)

        def told() -> bool:
            code, why = ask(clusters, "/readyz")
            return code == 503 and WHERE in why

        await eventually(told)  # something else may be in the way first, such as a half-written document
        # By who tells whether it is ready, and by the controllers.
        await eventually(lambda: clusters.log().count(WHERE) == 2 + refused)
        await world.pod("meanwhile")
        await world.event("meanwhile", "HostPodRefused", "imageRegistries")
        clusters.set_policy()
        await eventually(lambda: ask(clusters, "/readyz") == (200, "ok\n"))
        await world.host_pod("meanwhile")

    asyncio.run(eventually(lambda: ask(clusters, "/readyz")[0] == 200))
    try:
        in_world(clusters, test)
    finally:
        clusters.set_policy()


def test_no_secret_is_ever_logged(clusters: Clusters) -> None:
    token = (clusters.directory / "credentials" / "token").read_text()
    assert token.strip().split(".")[2] not in clusters.log()
    whole, _, _ = clusters.log().rpartition("\n")  # the last line may be half written
    for line in whole.splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


def test_both_api_servers_restart(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("survivor")
        await world.running("survivor", "node-a")
        copy = await world.host_get(PODS, "survivor")
        assert copy is not None
        for plane in (clusters.virtual, clusters.host):
            plane.stop("kube-apiserver")
            await asyncio.to_thread(plane.start_api_server)
        await world.report("survivor", {"message": "after the restart"})
        await world.until("survivor", lambda pod: pod["status"].get("message"))
        await world.pod("next")
        await world.running("next", "node-a")
        found = await world.host_get(PODS, "survivor")
        assert found is not None
        assert found["metadata"]["uid"] == copy["metadata"]["uid"]

    in_world(clusters, test)


def test_without_its_anchor_nothing_is_made_and_a_new_one_ends_the_process(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        anchor = json.loads(clusters.host.kubectl("-n", NAMESPACE, "get", "cm", "vc-anchor", "-o", "json"))
        await asked(world)
        clusters.host.kubectl("-n", NAMESPACE, "delete", "cm", "vc-anchor")
        numbers = itertools.count()
        await eventually(lambda: _refused(world, f"probe-{next(numbers)}"))  # by who knows that it is gone
        await world.pod("too-late")
        await eventually(lambda: "ConfigMap vc-anchor of namespace tenant is gone" in clusters.log())
        assert await world.host_get(PODS, "too-late") is None
        for key in ("uid", "resourceVersion", "creationTimestamp"):
            del anchor["metadata"][key]
        clusters.host.kubectl("create", "-f", "-", stdin=json.dumps(anchor))
        assert clusters.kubelet is not None
        code = await asyncio.to_thread(clusters.kubelet.wait, 60)
        assert code == 1
        clusters.start_kubelet()
        await world.host_pod("too-late")

    in_world(clusters, test)


async def _refused(world: World, name: str) -> bool:
    """Whether a new Service is refused because the anchor is gone."""
    try:
        await service(world, name)
    except ApiError as error:
        return "ConfigMap vc-anchor of namespace tenant is gone" in error.message
    return False


def test_an_outage_of_the_host_suspends_the_work_but_not_the_nodes(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        await world.pod("before")
        await world.running("before", "node-a")
        clusters.host.stop("kube-apiserver")
        await eventually(lambda: ask(clusters, "/readyz")[0] == 503)
        lease = await world.virtual.get(LEASES, "kube-node-lease", "node-a")

        async def renewed() -> bool:
            now = await world.virtual.get(LEASES, "kube-node-lease", "node-a")
            return bool(now["spec"]["renewTime"] != lease["spec"]["renewTime"])

        await eventually(renewed)
        await world.pod("meanwhile")
        await asyncio.to_thread(clusters.host.start_api_server)
        await world.running("meanwhile", "node-a")
        assert clusters.kubelet is not None
        assert clusters.kubelet.poll() is None
        await world.report("before", {"message": "afterwards"})
        await world.until("before", lambda pod: pod["status"].get("message"))

    in_world(clusters, test)


def test_a_hosts_event_is_told_inside_with_virtual_names(clusters: Clusters) -> None:
    async def test(world: World) -> None:
        pod = await world.pod("noisy")
        await world.schedule("noisy", "node-a")  # so that the kubelet knows whose the copy is
        copy = await world.host_pod("noisy")
        host_name, now = copy["metadata"]["name"], timestamp()
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{host_name}.1", "namespace": NAMESPACE},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": host_name,
                "namespace": NAMESPACE,
                "uid": copy["metadata"]["uid"],
            },
            "type": "Warning",
            "reason": "BackOff",
            "message": f"Back-off restarting failed container c in pod {host_name}_{NAMESPACE}",
            "source": {"component": "kubelet", "host": "node-a"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await world.host.create(EVENTS, NAMESPACE, event)
        told = await world.event("noisy", "BackOff")
        assert told["message"] == f"Back-off restarting failed container c in pod noisy_{world.namespace}"
        assert told["involvedObject"]["uid"] == pod["metadata"]["uid"]
        assert told["source"] == {"component": "kubelet", "host": "node-a"}
        await world.host.patch(EVENTS, NAMESPACE, f"{host_name}.1", {"count": 7})

        async def counted() -> bool:
            return (await world.event("noisy", "BackOff"))["count"] == 7

        await eventually(counted)

    in_world(clusters, test)


def test_a_pods_events_are_limited_to_a_burst_and_a_trickle() -> None:
    limit = RateLimit(burst=3, refill=10)
    assert [limit.take("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert limit.take("b", 0.0)
    assert not limit.take("a", 9.0)
    assert [limit.take("a", 11.0) for _ in range(2)] == [True, False]
