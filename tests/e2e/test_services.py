"""Services inside: their addresses are the host's, and lead to the pods that they select."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl, KubectlError
from tests.e2e.support.polling import eventually
from tests.e2e.support.web import PORT, answers, client, copy_of, server, service

TIMES = 12  # so many answers by chance from one of two pods: once in 2000


def change(kubectl: Kubectl, name: str, **spec: Any) -> None:
    """A merge patch of a Service's spec.

    Older API servers answer with a conflict where the kubelet writes the Service at the same moment.
    """
    patch = "patch", "service", name, "--type=merge", "-p", json.dumps({"spec": spec})
    eventually(lambda: kubectl(*patch))


def reached(kubectl: Kubectl, address: str) -> set[str]:
    """The pods that answer to `client` at an address."""
    return set(answers(kubectl, "client", address, times=TIMES))


@both
def test_a_cluster_ip_leads_to_the_pods_of_its_selector(cluster: View, inside: Kubectl) -> None:
    inside.apply(server("a", "web"), server("b", "web"), server("c", "other"), client(), service("web"))
    address = inside.get("service", "web")["spec"]["clusterIP"]
    copy = copy_of(cluster, inside, "services", "web")
    assert copy["spec"]["clusterIP"] == address
    assert copy["spec"]["clusterIPs"] == inside.get("service", "web")["spec"]["clusterIPs"]
    for app, count in (("web", 2), ("other", 1), ("client", 1)):
        running(inside, f"app={app}", count)
    eventually(lambda: reached(inside, address) == {"a", "b"})

    change(inside, "web", selector={"app": "other"})
    eventually(lambda: reached(inside, address) == {"c"})
    ports = [{"name": "http", "port": 8888, "protocol": "TCP", "targetPort": PORT}]
    change(inside, "web", ports=ports)
    eventually(lambda: reached(inside, f"{address}:8888") == {"c"})
    eventually(lambda: not answers(inside, "client", address))

    inside("delete", "service", "web")
    eventually(lambda: copy_of(cluster, inside, "services", "web") is None)
    eventually(lambda: not answers(inside, "client", f"{address}:8888"))


def test_a_client_stays_with_its_pod_under_session_affinity(inside: Kubectl) -> None:
    sticky: dict[str, Any] = {
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
    }
    inside.apply(server("a", "web"), server("b", "web"), client(), service("web", **sticky))
    running(inside, "app=web", 2)
    running(inside, "app=client", 1)
    address = inside.get("service", "web")["spec"]["clusterIP"]
    (chosen,) = eventually(lambda: set(answers(inside, "client", address)))
    assert reached(inside, address) == {chosen}
    change(inside, "web", sessionAffinity="None", sessionAffinityConfig=None)
    eventually(lambda: reached(inside, address) == {"a", "b"})


@both
def test_a_service_keeps_its_uid_through_every_type(cluster: View, inside: Kubectl) -> None:
    inside.apply(server("web"), client(), service("web"))
    first = inside.get("service", "web")
    running(inside, "app=web", 1)
    running(inside, "app=client", 1)

    def agreed() -> Any:
        """The Service inside, whose addresses and ports are those of its copy."""
        found, copy = inside.get("service", "web"), copy_of(cluster, inside, "services", "web")
        assert found["metadata"]["uid"] == first["metadata"]["uid"]
        assert copy, "no copy"
        for key in ("type", "clusterIP", "clusterIPs", "healthCheckNodePort"):
            assert found["spec"].get(key) == copy["spec"].get(key), key
        ports = [[each.get("nodePort") for each in each_["spec"]["ports"]] for each_ in (found, copy)]
        assert ports[0] == ports[1]
        return found

    eventually(agreed)
    change(inside, "web", type="NodePort")
    node_port = eventually(agreed)["spec"]["ports"][0]["nodePort"]
    assert 30000 <= node_port <= 32767
    change(inside, "web", type="LoadBalancer", externalTrafficPolicy="Local")
    balanced = eventually(agreed)["spec"]
    assert balanced["ports"][0]["nodePort"] == node_port
    assert 30000 <= balanced["healthCheckNodePort"] <= 32767
    change(inside, "web", type="ClusterIP", externalTrafficPolicy=None)
    assert "nodePort" not in eventually(agreed)["spec"]["ports"][0]
    change(inside, "web", type="ExternalName", externalName="example.com", clusterIP=None, clusterIPs=None)
    eventually(lambda: copy_of(cluster, inside, "services", "web") is None)
    change(inside, "web", type="ClusterIP", externalName=None)
    again = eventually(agreed)["spec"]["clusterIP"]
    eventually(lambda: answers(inside, "client", again) == ["web"])


@both
def test_what_has_no_address_of_its_own_is_not_on_the_host(cluster: View, inside: Kubectl) -> None:
    named = {"type": "ExternalName", "externalName": "example.com"}
    inside.apply(
        server("web"),
        client(),
        service("headless", "web", clusterIP="None"),
        {**service("named"), "spec": named},
        service("web"),
    )
    (web,) = running(inside, "app=web", 1)
    running(inside, "app=client", 1)
    eventually(lambda: copy_of(cluster, inside, "services", "web"))
    assert copy_of(cluster, inside, "services", "headless") is None
    assert copy_of(cluster, inside, "services", "named") is None

    def known() -> list[str]:
        found = inside.get("endpointslices", "-l", "kubernetes.io/service-name=headless")
        return [each for slice_ in found for end in slice_["endpoints"] or () for each in end["addresses"]]

    (address,) = eventually(known)
    assert address == web["status"]["podIP"]
    eventually(lambda: answers(inside, "client", f"{address}:{PORT}") == ["web"])


@both
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"externalIPs": ["192.0.2.1"]}, "spec.externalIPs[0]"),
        ({"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}, "spec.loadBalancerClass"),
    ],
)
def test_what_the_policy_does_not_give_is_refused_at_once(
    inside: Kubectl, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(KubectlError) as refused:
        inside.create(service("web", **spec))
    assert said in str(refused.value)
    assert "sync.toHost.services" in str(refused.value)
    assert not inside.get("services")


def test_annotations_for_the_host_s_load_balancers_stay_inside(cluster: View, inside: Kubectl) -> None:
    steering = {"service.beta.kubernetes.io/aws-load-balancer-internal": "false", "example.com/x": "y"}
    wanted = service("web", type="LoadBalancer")
    wanted["metadata"] |= {"annotations": steering, "labels": {"service.kubernetes.io/headless": "x"}}
    inside.apply(wanted)
    copy = eventually(lambda: copy_of(cluster, inside, "services", "web"))
    metadata = copy["metadata"]
    assert [key for key in metadata["annotations"] if not key.startswith("k3k-pulumi.io/")] == []
    assert [key for key in metadata["labels"] if "k3k-pulumi.io/" not in key] == []
