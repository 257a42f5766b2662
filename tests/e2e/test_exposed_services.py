"""Services that others reach: node ports and load balancers, and nobody once they are none any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Host
from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import always, eventually
from tests.e2e.support.web import (
    PORT,
    addresses_of_nodes,
    answer_outside,
    answers,
    client,
    copy_of,
    on_node,
    server,
    service,
)
from tests.e2e.test_services import change

CLEANUP = "service.kubernetes.io/load-balancer-cleanup"


def patch_copy(view: View, inside: Kubectl, name: str, body: dict[str, Any], *flags: str) -> None:
    """What a cloud controller of the host does to a Service's copy."""
    copy = copy_of(view, inside, "services", name)["metadata"]["name"]
    view.workloads("patch", "service", copy, "--type=merge", "-p", json.dumps(body), *flags)


def balanced(view: View, inside: Kubectl, name: str, address: str) -> None:
    """The host's cloud controller has made a load balancer."""
    patch_copy(view, inside, name, {"metadata": {"finalizers": [CLEANUP]}})
    status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
    patch_copy(view, inside, name, status, "--subresource=status")


@both
def test_a_node_port_is_open_on_all_nodes_and_closed_with_it(
    host: Host, inside: Kubectl, namespace: Kubectl
) -> None:
    inside.apply(server("web"), service("web"))
    namespace.apply(client("stranger"))
    (web,) = running(inside, "app=web", 1)
    running(namespace, "app=stranger", 1)
    own = f"{web['status']['podIP']}:{PORT}"
    assert not answers(namespace, "stranger", own)

    change(inside, "web", type="NodePort")
    number = inside.get("service", "web")["spec"]["ports"][0]["nodePort"]
    nodes = addresses_of_nodes(host.kubectl)
    eventually(lambda: {answer_outside(f"{address}:{number}") for address in nodes.values()} == {"web"})
    eventually(lambda: answers(namespace, "stranger", own) == ["web"])  # what is exposed is so for all

    change(inside, "web", type="ClusterIP")
    eventually(lambda: not answers(namespace, "stranger", own))
    # Nodes learn of it one by one; what comes from a pod's own node no policy stops.
    eventually(lambda: not any(answer_outside(f"{address}:{number}") for address in nodes.values()))


def test_local_traffic_policy_keeps_the_client_s_address_and_to_the_node(host: Host, inside: Kubectl) -> None:
    spec: dict[str, Any] = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    inside.apply(server("web"), service("web", **spec))
    (web,) = running(inside, "app=web", 1)
    found = inside.get("service", "web")["spec"]
    number, health = found["ports"][0]["nodePort"], found["healthCheckNodePort"]
    nodes = addresses_of_nodes(host.kubectl)
    here = nodes.pop(web["spec"]["nodeName"])
    (there,) = list(nodes.values())[:1]
    sender = eventually(lambda: answer_outside(f"{here}:{number}", "clientip").rpartition(":")[0])
    assert sender not in {here, there}
    eventually(lambda: '"localEndpoints": 1' in answer_outside(f"{here}:{health}"))
    eventually(lambda: answer_outside(f"{there}:{health}") == "503")
    assert not answer_outside(f"{there}:{number}")

    # The ranges hold in the NetworkPolicy, as packets come with the client's address.
    change(inside, "web", loadBalancerSourceRanges=["198.51.100.0/24"])
    eventually(lambda: not answer_outside(f"{here}:{number}"))
    change(inside, "web", loadBalancerSourceRanges=["198.51.100.0/24", f"{sender}/32"])
    eventually(lambda: answer_outside(f"{here}:{number}") == "web")


@both
def test_a_load_balancer_is_reached_and_cleaned_up_before_its_service_goes(
    cluster: View, inside: Kubectl
) -> None:
    address = "192.0.2.80" if cluster.name == "k3s" else "192.0.2.81"
    inside.apply(server("web"), client(), service("web", type="LoadBalancer"))
    running(inside, "app=web", 1)
    running(inside, "app=client", 1)
    balanced(cluster, inside, "web", address)

    def shown() -> Any:
        return (inside.get("service", "web")["status"]["loadBalancer"].get("ingress") or [{}])[0].get("ip")

    eventually(lambda: shown() == address)
    eventually(lambda: answers(inside, "client", address) == ["web"])
    change(inside, "web", loadBalancerSourceRanges=["198.51.100.0/24"])
    eventually(lambda: not answers(inside, "client", address))

    inside("delete", "service", "web", "--wait=false")
    eventually(lambda: copy_of(cluster, inside, "services", "web")["metadata"].get("deletionTimestamp"))

    def held() -> None:
        assert inside.get("service", "web")["metadata"]["finalizers"] == [CLEANUP]

    always(held, 1.0)
    patch_copy(cluster, inside, "web", {"metadata": {"finalizers": None}})
    eventually(lambda: not inside.get("services"))
    eventually(lambda: copy_of(cluster, inside, "services", "web") is None)


@pytest.mark.usefixtures("every_node")
def test_nodes_without_a_pod_answer_to_no_cluster_traffic_that_is_to_stay_local(
    host: Host, inside: Kubectl
) -> None:
    here, there = list(addresses_of_nodes(host.kubectl))[:2]
    inside.apply(
        server("web", affinity=on_node(here)),
        client("near", affinity=on_node(here)),
        client("far", affinity=on_node(there)),
        service("web", internalTrafficPolicy="Local"),
    )
    for app in ("web", "near", "far"):
        running(inside, f"app={app}", 1)
    address = inside.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: answers(inside, "near", address) == ["web"])
    assert not answers(inside, "far", address)
    change(inside, "web", internalTrafficPolicy="Cluster")
    eventually(lambda: answers(inside, "far", address) == ["web"])
