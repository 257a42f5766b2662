"""What an administrator inside tries in order to get out, by way of the API server and the kubelet's API."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import KUBELET, container, pod
from tests.e2e.support.polling import eventually
from tests.e2e.support.processes import kubelet_pod
from tests.e2e.support.raw import Raw, RawError

PYTHON = "/usr/bin/python3"
PREFIX = "k3k-pulumi.io/"


def test_the_api_server_is_no_way_out(host: Host, cluster: View, inside: Kubectl) -> None:
    """A Node may have any address, and the API server connects there: it reaches what pods reach, no more."""
    listens = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    server = container([PYTHON, "-m", "http.server", "8080"], image=KUBELET, readinessProbe=listens)
    inside.apply(pod("own", server))
    (own,) = running(inside, "app=own", 1)
    node = host.kubectl.get("nodes")[0]
    reached = own["status"]["podIP"], "http", 8080
    eventually(lambda: "Directory listing" in _by_node(inside, "own", *reached))
    targets = {
        "API of the host": (_cluster_ip(host.kubectl, "kubernetes"), "https", 443),
        "API endpoint of the host": (*_host_api(host.kubectl),),
        "kubelet of a node": (_internal_ip(node), "https", 10250),
        "health port of the virtual kubelet": (kubelet_pod(cluster)["status"]["podIP"], "http", 8081),
    }
    with ThreadPoolExecutor(len(targets)) as pool:
        answers = dict(pool.map(lambda name: (name, _by_node(inside, name, *targets[name])), targets))
    assert set(answers.values()) == {"no answer"}


def _by_node(inside: Kubectl, title: str, address: str, scheme: str, port: int) -> str:
    """What answers at an address when the API server is asked for that port of a Node which has it."""
    name = f"{inside.namespace}-{title.lower().replace(' ', '-')}"
    inside.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    try:
        status = f'{{"status": {{"addresses": [{{"type": "InternalIP", "address": "{address}"}}]}}}}'
        inside("patch", "node", name, "--subresource=status", "--type=merge", "-p", status)
        path = f"/api/v1/nodes/{scheme}:{name}:{port}/proxy/"
        result = inside.run("get", "--raw", path, "--request-timeout=8s")
        text = (result.stdout + result.stderr).decode()
        silent = any(sign in text for sign in ("deadline exceeded", "request canceled", "i/o timeout"))
        return "no answer" if silent else text
    finally:
        inside("delete", "node", name)


@pytest.mark.parametrize(
    "path",
    [
        "containerLogs/{namespace}/..%2f..%2fsecrets/main",
        "containerLogs/..%2f{host_namespace}/{host_name}/main",
        "containerLogs/{host_namespace}/{host_name}/main",
        "containerLogs/{namespace}/own%2fexec%3fcommand=id/main",
        "containerLogs/{namespace}/own/..%2fexec",
        "logs/",
        "run/{namespace}/own/main?cmd=id",
        "checkpoint/{namespace}/own/main",
        "debug/pprof/",
        "configz",
    ],
)
def test_the_kubelet_api_serves_the_clusters_own_pods_alone(
    cluster: View, inside: Kubectl, path: str
) -> None:
    inside.apply(pod("own"))
    (own,) = running(inside, "app=own", 1)
    copy = cluster.host_pods(namespace=inside.namespace)["own"]["metadata"]
    names = {
        "namespace": inside.namespace,
        "host_namespace": copy["namespace"],
        "host_name": copy["name"],
    }
    proxy = f"/api/v1/nodes/{own['spec']['nodeName']}/proxy/"
    inside("get", "--raw", f"{proxy}containerLogs/{inside.namespace}/own/main")

    def refused() -> bool:
        """Anything else than that there is no such thing may come from an API server that has no time."""
        answer = inside.run("get", "--raw", proxy + path.format(**names))
        if not answer.returncode:
            pytest.fail(answer.stdout.decode(errors="replace"))
        return b"(NotFound)" in answer.stderr

    eventually(refused)


def test_what_the_tenant_calls_his_pod_steers_nothing_on_the_host(cluster: View, inside: Kubectl) -> None:
    marked: dict[str, Any] = pod("own", labels={"app": "own", f"{PREFIX}component": "server"})
    marked["metadata"]["labels"][f"{PREFIX}cluster"] = "another"
    marked["metadata"]["annotations"] = {f"{PREFIX}{key}": "another" for key in ("cluster", "name", "uid")}
    inside.apply(marked)
    (own,) = running(inside, "app=own", 1)
    copy = cluster.host_pods(namespace=inside.namespace)["own"]["metadata"]
    assert copy["labels"][f"{PREFIX}cluster"] == cluster.name
    assert copy["labels"][f"{PREFIX}component"] == "workload"
    assert copy["annotations"][f"{PREFIX}cluster"] == cluster.name
    assert copy["annotations"][f"{PREFIX}uid"] == own["metadata"]["uid"]
    assert "app" not in copy["labels"]


def test_the_kubelets_ports_are_no_way_around_its_checks(cluster: View, inside: Kubectl) -> None:
    """The API server connects with its own certificates, which one port or the other believes: a tenant may
    point an APIService of his own, or a Node, at each of them."""
    raw = Raw(cluster.access.kubeconfig)
    service = cluster.control_plane.get("service", f"{cluster.name}-kubelet")["spec"]
    ports = {each["name"]: each["port"] for each in service["ports"]}
    extension = ports.pop("extension")
    node_port = min(ports.values())
    for port in (extension, node_port):
        group = f"{inside.namespace}-{port}.example.com"
        # The extension serves metrics.k8s.io alone; the kubelet API does not know that client.
        words = {extension: ("bad status", "404"), node_port: ("tls",)}[port]
        _by_api_service(raw, inside.namespace, group, service["clusterIP"], port, words)

    # Without a certificate of the aggregator's it serves admission alone.
    def unauthorized() -> bool:
        by_node = _by_node(inside, "extension", service["clusterIP"], "https", extension)
        if "PodMetrics" in by_node:
            pytest.fail(by_node)
        return "Unauthorized" in by_node

    eventually(unauthorized)


def test_nobody_borrows_a_name_on_the_way_to_the_metrics(cluster: View, inside: Kubectl) -> None:
    """Headers by which the API server tells the extension who asks are its own to set."""
    token = inside("create", "token", "default").strip()
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{inside.namespace}/pods"
    borrowed = {"x_remote_user": "system:admin", "x_remote_group": "system:masters"}

    def refused() -> bool:
        """503 comes for a moment when the metrics have been out of reach."""
        with pytest.raises(RawError) as caught:
            Raw(cluster.access.kubeconfig, token)("GET", path, **borrowed)
        assert caught.value.code == 403, caught.value
        assert f"system:serviceaccount:{inside.namespace}:default" in str(caught.value)
        return True

    eventually(refused)


def _by_api_service(
    raw: Raw, namespace: str, group: str, address: str, port: int, words: tuple[str, ...]
) -> None:
    """Waits until the aggregator says in these words why it does not take an APIService of the tenant's that
    leads to an address and port. That it could not connect in time may come first."""
    name = f"aggregated-{port}"
    core, services = f"/api/v1/namespaces/{namespace}", "/apis/apiregistration.k8s.io/v1/apiservices"
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    raw(
        "POST",
        f"{core}/services",
        {"metadata": {"name": name}, "spec": {"clusterIP": "None", "ports": ports}},
    )
    subset = {"addresses": [{"ip": address}], "ports": ports}
    raw("POST", f"{core}/endpoints", {"metadata": {"name": name}, "subsets": [subset]})
    spec = {
        "group": group,
        "version": "v1",
        "service": {"namespace": namespace, "name": name, "port": port},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 1,
        "versionPriority": 1,
    }
    raw("POST", services, {"metadata": {"name": f"v1.{group}"}, "spec": spec})
    try:

        def checked() -> bool:
            conditions = raw("GET", f"{services}/v1.{group}").get("status", {}).get("conditions", ())
            said = {each["reason"]: each["message"] for each in conditions}
            if "Passed" in said:
                pytest.fail(f"taken: {said}")
            assert all(word in said.get("FailedDiscoveryCheck", "") for word in words), said
            return True

        eventually(checked)
    finally:
        raw("DELETE", f"{services}/v1.{group}")


def _cluster_ip(kubectl: Kubectl, service: str) -> str:
    return str(kubectl.get("service", service)["spec"]["clusterIP"])


def _host_api(kubectl: Kubectl) -> tuple[str, str, int]:
    (slice_,) = kubectl.get("endpointslices", "-l", "kubernetes.io/service-name=kubernetes")
    return slice_["endpoints"][0]["addresses"][0], "https", slice_["ports"][0]["port"]


def _internal_ip(node: Any) -> str:
    addresses = node["status"]["addresses"]
    return str(next(each["address"] for each in addresses if each["type"] == "InternalIP"))
