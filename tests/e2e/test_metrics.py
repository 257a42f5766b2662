"""Usage inside: kubectl top, autoscaling and a Node's own figures, with nothing installed by the tenant."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from k3k_pulumi.direct.machine import source_cidr
from tests.e2e.conftest import unique
from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import Object, deployment, pod, shell
from tests.e2e.support.polling import eventually

BUSY = shell(
    "while :; do :; done",
    resources={"requests": {"cpu": "50m", "memory": "8Mi"}, "limits": {"cpu": "200m", "memory": "32Mi"}},
)
METRICS_WITHIN = 240.0
"""Seconds: metrics-server needs two samples of a pod, and forgets those of a node that was late to answer.

Who reads what it has read before waits as well: another test takes the API away for a moment.
"""
MUCH = 27
"""Thousandths of a CPU: more than this, and the autoscaler acts."""
HEALTH_PORT = 8081
UNKNOWN = 503
"""Answered where the API server could not be asked who that is, and what he may."""


def top(kubectl: Kubectl, *args: str) -> dict[str, list[str]]:
    """What `kubectl top` prints: name -> the other columns."""
    lines = kubectl("top", *args, "--no-headers").splitlines()
    return {name: rest for name, *rest in (line.split() for line in lines)}


def autoscaling(inside: Kubectl) -> str:
    """The newest API of autoscalers: v2 came with Kubernetes 1.23, of the same form as the one before."""
    return "v2" if "autoscaling/v2" in inside("api-versions").split() else "v2beta2"


def autoscaler(inside: Kubectl, name: str, most: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": 50}
    return {
        "apiVersion": f"autoscaling/{autoscaling(inside)}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


@both
def test_top_and_an_autoscaler_with_nothing_installed(cluster: View, inside: Kubectl) -> None:
    inside.apply(deployment("busy", 1, BUSY, terminationGracePeriodSeconds=0))
    (first,) = running(inside, "app=busy", 1)
    inside.apply(autoscaler(inside, "busy", 2))
    name, node = first["metadata"]["name"], first["spec"]["nodeName"]

    def used() -> tuple[str, str]:
        found = top(inside, "pods", "-l", "app=busy")
        assert name in found, found
        cpu, memory = found[name]
        assert int(cpu.removesuffix("m")) > MUCH
        return cpu, memory

    def used_by_the_node() -> str:
        cpu, _, memory, _ = top(inside, "nodes")[node]
        assert cpu.endswith("m"), cpu  # `<unknown>` without figures
        assert int(cpu.removesuffix("m")) > MUCH
        return memory

    assert eventually(used, METRICS_WITHIN)[1].endswith("Mi")
    eventually(lambda: list(top(inside, "pod", name, "--containers")) == [name], METRICS_WITHIN)
    # This cluster's pods alone: the host's node runs the control planes and much else.
    assert int(eventually(used_by_the_node, METRICS_WITHIN).removesuffix("Mi")) < 4096
    running(inside, "app=busy", 2, METRICS_WITHIN)

    def scaling() -> bool:
        found = inside.get(f"horizontalpodautoscalers.{autoscaling(inside)}.autoscaling", "busy")
        conditions = {each["type"]: each["status"] for each in found.get("status", {}).get("conditions", [])}
        return conditions.get("ScalingActive") == "True"

    eventually(scaling)
    # Names on the host are nothing for a tenant.

    def listed() -> str:
        said = inside("get", "pods.metrics.k8s.io", "-o", "json") + inside("get", "podmetrics")
        assert name in said
        return said

    assert cluster.workloads.namespace not in eventually(listed, METRICS_WITHIN)


@both
def test_the_api_service_is_available_and_comes_back(cluster: View) -> None:
    inside = cluster.inside
    name = "v1beta1.metrics.k8s.io"

    def available() -> bool:
        found = inside.get("apiservice", name)
        conditions = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", [])}
        return conditions.get("Available") == "True"

    eventually(available)
    uid = inside.get("apiservice", name)["metadata"]["uid"]
    inside("delete", "apiservice", name)
    inside("delete", "-n", "kube-system", "service", "k3k-pulumi-metrics")
    eventually(available)
    assert inside.get("apiservice", name)["metadata"]["uid"] != uid
    namespace = unique("v")
    inside("create", "namespace", namespace)
    inside("delete", "namespace", namespace)  # it needs the discovery of every API


def test_viewers_inside_may_read_metrics_of_their_namespace(inside: Kubectl) -> None:
    """The ClusterRole that metrics-server's manifests bring is there as well, and so is the documentation."""
    account = f"system:serviceaccount:{inside.namespace}:default"
    assert b"no" in inside.run("auth", "can-i", "list", "pods.metrics.k8s.io", f"--as={account}").stdout
    inside(
        "create", "rolebinding", "view", "--clusterrole=view", f"--serviceaccount={inside.namespace}:default"
    )
    eventually(lambda: inside("auth", "can-i", "list", "pods.metrics.k8s.io", f"--as={account}") == "yes\n")

    def read() -> bool:
        inside("get", "pods.metrics.k8s.io", f"--as={account}")
        return True

    eventually(read)
    # An API server that could not read the documentation asks again a minute later.
    explained = ("explain", "pods", "--api-version=metrics.k8s.io/v1beta1")
    eventually(lambda: "PodMetrics" in inside(*explained), METRICS_WITHIN)
    refused = ("get", "pods.metrics.k8s.io", "-n", "kube-system", f"--as={account}")
    eventually(lambda: b"forbidden" in inside.run(*refused).stderr.lower())


@both
def test_a_nodes_figures(inside: Kubectl) -> None:
    """/stats/summary, /metrics/resource and /metrics, as a tenant's own scraper gets them."""
    inside.apply(pod("busy", BUSY, terminationGracePeriodSeconds=0))
    (busy,) = running(inside, "app=busy", 1)
    node = busy["spec"]["nodeName"]

    def page(path: str) -> str:
        return inside("get", "--raw", f"/api/v1/nodes/{node}/proxy{path}")

    labels = f'{{container="main",namespace="{inside.namespace}",pod="busy"}}'

    def seconds() -> float:
        lines = [line.split() for line in page("/metrics/resource").splitlines()]
        found = [line[1] for line in lines if line[0] == f"container_cpu_usage_seconds_total{labels}"]
        assert len(found) == 1
        return float(found[0])

    before = eventually(seconds, METRICS_WITHIN)
    eventually(lambda: seconds() > before, METRICS_WITHIN)
    eventually(lambda: "\nresource_scrape_error 0.0" in page("/metrics/resource"), METRICS_WITHIN)

    def summed_up() -> bool:
        summary = json.loads(page("/stats/summary"))
        assert summary["node"]["nodeName"] == node
        mine: list[Any] = [
            each for each in summary["pods"] if each["podRef"]["uid"] == busy["metadata"]["uid"]
        ]
        figures = [each.get("cpu", {}).get("usageNanoCores", 0) for pod in mine for each in pod["containers"]]
        return len(figures) == 1 and figures[0] > 0

    eventually(summed_up, METRICS_WITHIN)
    assert "\nk3k_kubelet_objects" in page("/metrics")


@contextmanager
def opened(cluster: View, *ports: int) -> Iterator[str]:
    """Lets this machine reach ports of the kubelet's pod, as a platform team may; yields its address."""
    labels = {"k3k-pulumi.io/cluster": cluster.name, "k3k-pulumi.io/component": "kubelet"}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    address = cluster.control_plane.get("pods", "-l", selector)[0]["status"]["podIP"]
    rule = {
        "from": [{"ipBlock": {"cidr": source_cidr(address)}}],
        "ports": [{"protocol": "TCP", "port": port} for port in ports],
    }
    name = unique("test")
    policy: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [rule]},
    }
    cluster.control_plane.apply(policy)
    try:
        yield address
    finally:
        cluster.control_plane("delete", "networkpolicy", name)


def test_the_platform_team_scrapes_the_kubelet(cluster: View) -> None:
    """On its plain port, once a NetworkPolicy of theirs lets them in; others stay out (test_packets)."""
    with opened(cluster, HEALTH_PORT) as address:

        def scraped() -> bool:
            url = f"http://{address}:{HEALTH_PORT}/metrics"
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    text = str(answer.read().decode())
            except OSError:  # the policy is there, its packet filter not yet
                return False
            assert 'workqueue_depth{name="pods"}' in text
            assert "k3k_kubelet_leader 1.0" in text  # 0 as long as a slow host does not confirm it
            return True

        eventually(scraped)


def get(url: str, context: ssl.SSLContext, token: str, headers: dict[str, str] | None = None) -> int:
    """The status of the answer; 0 without one."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", **(headers or {})})
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@both
def test_fine_grained_rights_on_the_kubelet_api(cluster: View, inside: Kubectl) -> None:
    """Who may get nodes/metrics reads metrics, and neither pods nor logs, nor runs anything (KEP-2862)."""
    inside.apply(pod("target"))
    (target,) = running(inside, "app=target", 1)
    node = inside.get("node", target["spec"]["nodeName"])
    name = unique("scraper")
    inside("create", "serviceaccount", "scraper")
    inside("create", "clusterrole", name, "--verb=get", "--resource=nodes/metrics")
    account = f"{inside.namespace}:scraper"
    inside("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={account}")
    token = inside("create", "token", "scraper").strip()
    secret = cluster.control_plane.get("secret", f"{cluster.name}-kubelet-serving-ca")
    context = ssl.create_default_context(cadata=b64decode(secret["data"]["tls.crt"]).decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    base = f"https://{address}:{port}"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    container = f"{inside.namespace}/target/main"
    with opened(cluster, port):
        eventually(lambda: get(f"{base}/metrics/resource", context, token) == 200)

        def answer(path: str, who: str = token, headers: dict[str, str] | None = None) -> int:
            def given() -> int:
                code = get(base + path, context, who, headers)
                return 0 if code == UNKNOWN else code

            return eventually(given)

        assert answer("/metrics") == 200
        assert answer("/metrics", "nobody's") == 401
        for path in ("/pods", "/stats/summary", f"/containerLogs/{container}"):
            assert answer(path) == 403, path
        assert answer(f"/exec/{container}?command=id&output=1", headers=upgrade) == 403
    inside("delete", f"clusterrole/{name}", f"clusterrolebinding/{name}")
