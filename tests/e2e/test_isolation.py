"""Default deny, proved with packets: what a virtual cluster's pods reach, and who reaches them.

Three pods ask for every target: one of the cluster (tenant), one of another cluster in the same host
namespace (neighbour), and a plain pod of the host without any policy (outsider). Where somebody gets through,
the target does answer, and it is a policy that stops the others.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.devcluster.network_probes import PYTHON, SERVER, Probe, probers
from tests.e2e.devcluster.network_probes import pod as host_pod
from tests.e2e.support.clusters import View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, pod
from tests.e2e.support.polling import eventually
from tests.e2e.support.processes import kubelet_pod

PORT = 8080
COMMAND = [PYTHON, "-c", SERVER, f"[{PORT}]", "[]"]

# For each target: does tenant, neighbour, outsider reach it?
EXPECTED = {
    "pod of the tenant on the same node": (True, False, False),
    "pod of the tenant on another node": (True, False, False),
    "API of the tenant": (True, False, False),
    "API pod of the tenant": (True, False, False),
    "DNS of the tenant": (True, False, False),
    "DNS pod of the tenant": (True, False, False),
    "health port of the tenant's DNS": (False, False, False),
    "metrics port of the tenant's DNS": (False, False, False),
    "etcd of the tenant": (False, False, False),
    "kubelet Service of the tenant": (False, False, False),
    "kubelet pod of the tenant": (False, False, False),
    "health port of the tenant's kubelet": (False, False, False),
    "extension port of the tenant's kubelet": (False, False, False),
    "pod of the neighbour": (False, True, False),
    "API of the neighbour": (False, True, False),
    "pod of the host": (False, False, True),
    "API of the host": (False, False, True),
    "API endpoint of the host": (False, False, True),
    "kubelet of the first node": (False, False, True),
    "kubelet of the second node": (False, False, True),
}
SOURCES = ("tenant", "neighbour", "outsider")


def test_default_deny(
    host: Host,
    cluster: View,
    inside: Kubectl,
    make_cluster: MakeCluster,
    namespace: Kubectl,
    kubelet_image: str,
) -> None:
    neighbour = make_cluster("neighbour", namespace=cluster.workloads.namespace, create_namespace=False)
    server = container(
        COMMAND,
        image=kubelet_image,
        env=[{"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}],
    )
    inside.apply(pod("asks", server), pod("near", server, affinity=_beside("asks")))
    inside.apply(pod("far", server, affinity=_away_from("asks")))
    neighbour.inside.apply(pod("asks", server))
    namespace.apply(host_pod("asks", kubelet_image, "", COMMAND))
    (near,), (far,) = running(inside, "app=near", 1), running(inside, "app=far", 1)
    (theirs,) = running(neighbour.inside, "app=asks", 1)
    namespace("wait", "pod/asks", "--for=condition=Ready", "--timeout=120s")
    assert near["spec"]["nodeName"] != far["spec"]["nodeName"]

    targets = {
        "pod of the tenant on the same node": (_ip(near), PORT),
        "pod of the tenant on another node": (_ip(far), PORT),
        "pod of the neighbour": (_ip(theirs), PORT),
        "pod of the host": (_ip(namespace.get("pod", "asks")), PORT),
        **_control_plane(cluster),
        "API of the neighbour": _service(neighbour.control_plane, f"{neighbour.name}-api"),
        **_host(host),
    }
    assert set(targets) == set(EXPECTED)
    probes = [
        Probe(source, name, "", address, "tcp", port)
        for source in SOURCES
        for name, (address, port) in targets.items()
    ]
    pods = {
        "tenant": (inside, "asks"),
        "neighbour": (neighbour.inside, "asks"),
        "outsider": (namespace, "asks"),
    }
    expected = {probe: EXPECTED[probe.target][SOURCES.index(probe.source)] for probe in probes}
    with probers(pods) as asked:
        # A new pod may be unknown to other nodes' rules for a moment, which only delays what is allowed.
        open_ones = [probe for probe in probes if expected[probe]]
        eventually(lambda: all(answer is True for answer in asked.ask(open_ones).values()))
        answers = asked.ask(probes)
    wrong = [f"{probe}: {answers[probe]}" for probe in probes if answers[probe] is not expected[probe]]
    assert not wrong, "\n".join(wrong)


def _control_plane(view: View) -> dict[str, tuple[str, int]]:
    (server,) = running(view.control_plane, "k3k-pulumi.io/component=server", 1)
    (dns,) = running(view.control_plane, "k3k-pulumi.io/component=dns", 1)
    kubelet = kubelet_pod(view)
    return {
        "API of the tenant": _service(view.control_plane, f"{view.name}-api"),
        "API pod of the tenant": (_ip(server), 6443),
        "DNS of the tenant": (_service(view.control_plane, f"{view.name}-dns")[0], 53),
        "DNS pod of the tenant": (_ip(dns), 1053),
        "health port of the tenant's DNS": (_ip(dns), 8080),
        "metrics port of the tenant's DNS": (_ip(dns), 9153),
        "etcd of the tenant": (_ip(server), 2379),
        "kubelet Service of the tenant": _service(view.control_plane, f"{view.name}-kubelet"),
        "kubelet pod of the tenant": (_ip(kubelet), 10250),
        "health port of the tenant's kubelet": (_ip(kubelet), 8081),
        "extension port of the tenant's kubelet": (_ip(kubelet), 9443),
    }


def _host(host: Host) -> dict[str, tuple[str, int]]:
    (slice_,) = host.kubectl.get("endpointslices", "-l", "kubernetes.io/service-name=kubernetes")
    first, second = [
        next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")
        for node in host.kubectl.get("nodes")[:2]
    ]
    return {
        "API of the host": _service(host.kubectl, "kubernetes"),
        "API endpoint of the host": (slice_["endpoints"][0]["addresses"][0], slice_["ports"][0]["port"]),
        "kubelet of the first node": (first, 10250),
        "kubelet of the second node": (second, 10250),
    }


def _service(kubectl: Kubectl, name: str) -> tuple[str, int]:
    spec = kubectl.get("service", name)["spec"]
    return spec["clusterIP"], spec["ports"][0]["port"]


def _ip(pod: Any) -> str:
    return str(pod["status"]["podIP"])


def _term(app: str) -> dict[str, Any]:
    return {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}


def _beside(app: str) -> dict[str, Any]:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_term(app)]}}


def _away_from(app: str) -> dict[str, Any]:
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_term(app)]}}
