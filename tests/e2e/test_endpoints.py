"""Which pods and addresses a Service leads to: those that are ready or end, and slices of its own."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import Object
from tests.e2e.support.polling import eventually
from tests.e2e.support.web import PORT, answers, client, copy_of, server, service
from tests.e2e.test_services import change

GATE = "example.com/registered"


def endpoints(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """The endpoints of a Service, of all its slices."""
    found = kubectl.get("endpointslices", "-l", f"kubernetes.io/service-name={name}")
    return [each for slice_ in found for each in slice_.get("endpoints") or ()]


def sides(cluster: View, inside: Kubectl, name: str) -> list[list[dict[str, Any]]]:
    """The conditions of a Service's endpoints inside and on the host."""
    copy = copy_of(cluster, inside, "services", name)["metadata"]["name"]
    found = endpoints(inside, name), endpoints(cluster.workloads, copy)
    return [[each["conditions"] for each in side] for side in found]


def test_readiness_gates_and_early_addresses_agree_on_both_sides(cluster: View, inside: Kubectl) -> None:
    inside.apply(
        server("web", readinessGates=[{"conditionType": GATE}]),
        client(),
        service("web"),
        service("early", "web", publishNotReadyAddresses=True),
    )
    running(inside, "app=client", 1)
    patient, early = (inside.get("service", name)["spec"]["clusterIP"] for name in ("web", "early"))
    eventually(lambda: answers(inside, "client", early) == ["web"])
    assert not answers(inside, "client", patient)
    waiting = {"ready": False, "serving": False, "terminating": False}
    eventually(lambda: sides(cluster, inside, "web") == [[waiting], [waiting]])

    condition = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
    inside("patch", "pod", "web", "--subresource=status", "-p", json.dumps(condition))
    eventually(lambda: answers(inside, "client", patient) == ["web"])
    there = {"ready": True, "serving": True, "terminating": False}
    eventually(lambda: sides(cluster, inside, "web") == [[there], [there]])


@both
def test_a_pod_that_ends_serves_as_long_as_there_is_no_other(cluster: View, inside: Kubectl) -> None:
    slow = server("web", terminationGracePeriodSeconds=600)
    command = ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.2; done"]
    slow["spec"]["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": command}}}
    inside.apply(slow, client(), service("web"))
    running(inside, "app=web", 1)
    running(inside, "app=client", 1)
    address = inside.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: answers(inside, "client", address) == ["web"])

    inside("delete", "pod", "web", "--wait=false")
    ending = {"ready": False, "serving": True, "terminating": True}
    minor = int(json.loads(inside("version", "-o", "json"))["serverVersion"]["minor"].rstrip("+"))
    # The virtual cluster's own controller names pods on their way out since 1.22 (KEP-1672).
    shown = [ending] if minor >= 22 else []
    eventually(lambda: sides(cluster, inside, "web") == [shown, [ending]])
    assert set(answers(inside, "client", address, times=5)) == {"web"}
    assert inside.exec("web", ["touch", "/tmp/end"]).returncode == 0
    eventually(lambda: not inside.get("pods", "-l", "app=web"))
    eventually(lambda: sides(cluster, inside, "web") == [[], []])
    assert not answers(inside, "client", address)


def slice_(name: str, of: str, *addresses: str) -> Object:
    """An EndpointSlice of a tenant's own for port `http` of these addresses."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in addresses],
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
    }


@both
def test_a_slice_of_the_tenant_s_leads_to_his_pods_and_to_no_stranger(
    cluster: View, inside: Kubectl, namespace: Kubectl
) -> None:
    inside.apply(server("web"), server("next"), client(), service("db", selector=None))
    namespace.apply(server("stranger"))
    web, following, asking = (running(inside, f"app={each}", 1)[0] for each in ("web", "next", "client"))
    (stranger,) = running(namespace, "app=stranger", 1)
    address = inside.get("service", "db")["spec"]["clusterIP"]
    ips = [str(each["status"]["podIP"]) for each in (web, following, stranger)]
    assert asking["status"]["podIP"] not in ips

    inside.apply(slice_("mine", "db", ips[0], ips[2]))
    eventually(lambda: answers(inside, "client", address) == ["web"])
    copy = copy_of(cluster, inside, "endpointslices", "mine")
    assert [each["addresses"] for each in copy["endpoints"]] == [[ips[0]]]
    assert set(answers(inside, "client", address, times=8)) == {"web"}

    inside("delete", "pod", "web")
    eventually(lambda: not copy_of(cluster, inside, "endpointslices", "mine")["endpoints"])
    assert not answers(inside, "client", address)
    inside.apply(slice_("mine", "db", *ips))
    eventually(lambda: answers(inside, "client", address) == ["next"])


def test_a_service_that_gains_and_loses_its_selector(cluster: View, inside: Kubectl) -> None:
    inside.apply(server("own"), server("web"), client(), service("db", selector=None))
    own, _, _ = (running(inside, f"app={each}", 1)[0] for each in ("own", "web", "client"))
    address = inside.get("service", "db")["spec"]["clusterIP"]
    inside.apply(slice_("mine", "db", own["status"]["podIP"]))
    eventually(lambda: answers(inside, "client", address) == ["own"])

    inside("delete", "endpointslice", "mine")
    change(inside, "db", selector={"app": "web"})
    eventually(lambda: set(answers(inside, "client", address, times=4)) == {"web"})

    # As anywhere in Kubernetes, what the selector has found stays. But a pod that ends is found no longer.
    change(inside, "db", selector=None)
    inside("delete", "pod", "web")
    eventually(lambda: not answers(inside, "client", address))
    inside.apply(slice_("mine", "db", own["status"]["podIP"]))
    eventually(lambda: set(answers(inside, "client", address, times=4)) == {"own"})
    found = inside.get("service", "db")["spec"]
    assert found["clusterIP"] == address
    assert copy_of(cluster, inside, "services", "db")["spec"]["clusterIP"] == address
