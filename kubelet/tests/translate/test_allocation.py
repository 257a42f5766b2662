"""Which addresses and ports a Service lacks, and what an update keeps of them."""

from __future__ import annotations

from typing import Any

import pytest
from k3k_kubelet.translate import allocation


def service(kind: str = "ClusterIP", *ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"type": kind, "ports": [dict(port) for port in ports], **spec}}


def addressed(kind: str = "ClusterIP", *ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return service(kind, *ports, **{"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], **spec})


HTTP, HTTP_AT = {"name": "http", "port": 80}, {"name": "http", "port": 80, "nodePort": 30080}
OUTWARD = service("ExternalName", externalName="example.com")


@pytest.mark.parametrize(
    ("found", "needed"),
    [
        (service(), True),
        ({"metadata": {}, "spec": {}}, True),
        (service("LoadBalancer"), True),
        (service(clusterIP="None"), False),
        (service(clusterIPs=["None"]), False),
        (OUTWARD, False),
        (service("Later"), False),
    ],
)
def test_who_has_an_address(found: dict[str, Any], needed: bool) -> None:
    assert allocation.needs_address(found) is needed


@pytest.mark.parametrize(
    ("new", "old", "asks"),
    [
        pytest.param(service(), addressed(), False, id="nothing said is nothing changed"),
        pytest.param(
            service("NodePort", HTTP), addressed("NodePort", HTTP_AT), False, id="ports are kept by name"
        ),
        pytest.param(
            service("NodePort", HTTP), addressed("ClusterIP", HTTP), True, id="ports are needed now"
        ),
        pytest.param(service("ClusterIP", HTTP), addressed("NodePort", HTTP_AT), False, id="ports go"),
        pytest.param(
            service("NodePort", HTTP_AT, {"name": "more", "port": 81}),
            addressed("NodePort", HTTP_AT),
            True,
            id="one port more",
        ),
        pytest.param(
            service("NodePort", {**HTTP, "nodePort": 30081}),
            addressed("NodePort", HTTP_AT),
            True,
            id="another port is wished",
        ),
        pytest.param(
            service("NodePort", {"name": "other", "port": 82, "nodePort": 30080}, HTTP),
            addressed("NodePort", HTTP_AT),
            True,
            id="a port that another one has taken over",
        ),
        pytest.param(service(), OUTWARD, True, id="an address is needed now"),
        pytest.param(addressed(), OUTWARD, True, id="an address is wished"),
        pytest.param(
            service("LoadBalancer", allocateLoadBalancerNodePorts=False, externalTrafficPolicy="Local"),
            addressed("LoadBalancer", allocateLoadBalancerNodePorts=False, externalTrafficPolicy="Cluster"),
            True,
            id="a health port is needed now",
        ),
        pytest.param(
            service("LoadBalancer", externalTrafficPolicy="Local"),
            addressed("LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=31000),
            False,
            id="the health port is kept",
        ),
        pytest.param(
            service("LoadBalancer", HTTP, allocateLoadBalancerNodePorts=False),
            addressed(),
            False,
            id="no ports",
        ),
    ],
)
def test_an_update_asks_the_host_only_for_what_is_not_there(
    new: dict[str, Any], old: dict[str, Any], asks: bool
) -> None:
    completed = allocation.completed(new, old)
    assert allocation.asks_the_host(completed, old, dual_stack=False) is asks


def test_a_second_family_is_asked_for_where_there_is_one() -> None:
    new = addressed(ipFamilyPolicy="PreferDualStack")
    assert allocation.asks_the_host(new, addressed(), dual_stack=True) is True
    assert allocation.asks_the_host(new, addressed(), dual_stack=False) is False


def test_a_single_stack_server_gets_the_first_family() -> None:
    both = {
        "clusterIPs": ["10.0.0.1", "fd00::1"],
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "PreferDualStack",
    }
    assert allocation.first_family({"spec": {"clusterIP": "10.0.0.1", **both}})["spec"] == {
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }


def test_without_what_was_given_it_is_as_it_was_wished() -> None:
    made = addressed("NodePort", HTTP_AT, healthCheckNodePort=1, sessionAffinity="None")
    assert allocation.unallocated(made)["spec"] == {
        "type": "NodePort",
        "ports": [HTTP],
        "sessionAffinity": "None",
    }
