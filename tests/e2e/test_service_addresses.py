"""Services inside have the addresses and ports of the host's: made by the host, before they exist inside."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import Host, MakeCluster, unique
from tests.e2e.support.admission import await_admission
from tests.e2e.support.clusters import PREFIX, View, both, variant
from tests.e2e.support.failures import told
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually


@both
def test_an_api_server_takes_every_address_of_the_hosts_services(cluster: View) -> None:
    """Whatever its version: the range it is given is a block around one of the host's addresses."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "twin"},
        "spec": {"ports": [{"port": 80}]},
    }
    host = cluster.workloads
    made = json.loads(host("create", "-f", "-", "-o", "json", stdin=json.dumps(manifest).encode()))
    try:
        manifest["spec"]["clusterIP"] = made["spec"]["clusterIP"]
        cluster.inside("create", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest).encode())
    finally:
        host("delete", "service", "twin", "--wait=false")


def spec(service: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service["spec"]
    return found


@both
def test_the_clusters_own_services_have_the_addresses_of_the_host(cluster: View) -> None:
    api = cluster.control_plane.get("service", f"{cluster.name}-api")
    dns = cluster.control_plane.get("service", f"{cluster.name}-dns")

    def has(namespace: str, name: str, host: dict[str, Any]) -> bool:
        found = cluster.inside.within(namespace).get("service", name)
        return bool(spec(found)["clusterIP"] == spec(host)["clusterIP"])

    for namespace, name, host in (("default", "kubernetes", api), ("kube-system", "kube-dns", dns)):
        eventually(partial(has, namespace, name, host))


@both
def test_a_service_has_the_address_and_the_ports_of_its_twin(cluster: View, inside: Kubectl) -> None:
    inside("create", "service", "nodeport", "web", "--tcp=80:8080")
    made = spec(inside.get("service", "web"))
    twin = spec(host_service(cluster, inside, "web"))
    assert (made["clusterIP"], made["ports"][0]["nodePort"]) == (
        twin["clusterIP"],
        twin["ports"][0]["nodePort"],
    )
    inside("create", "-f", "-", stdin=json.dumps(generated()).encode())
    (name,) = [
        each["metadata"]["name"]
        for each in inside.get("services")
        if each["metadata"]["name"].startswith("made-")
    ]
    made = spec(inside.get("service", name))
    assert made["clusterIP"] == spec(host_service(cluster, inside, name))["clusterIP"]
    refused = inside.run(
        "create", "service", "clusterip", "taken", f"--clusterip={made['clusterIP']}", "--tcp=80"
    )
    assert refused.returncode != 0
    assert "provided IP is already allocated" in refused.stderr.decode()


def generated() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"generateName": "made-"},
        "spec": {"ports": [{"port": 80}]},
    }


def host_service(cluster: View, inside: Kubectl, name: str) -> dict[str, Any]:
    """The twin of a Service."""
    wanted = {f"{PREFIX}namespace": inside.namespace, f"{PREFIX}name": name}
    found = [
        each
        for each in cluster.workloads.get("services")
        if each["metadata"].get("annotations", {}).items() >= wanted.items()
    ]
    assert len(found) == 1, f"{name} has {len(found)} twins"
    return dict(found[0])


@both
def test_the_api_servers_own_service_is_made_again_with_its_address(make_cluster: MakeCluster) -> None:
    """A tenant deletes it; and who takes the configuration of the webhook away has it back at once."""
    cluster = make_cluster()
    inside = cluster.inside.within("default")
    address = spec(cluster.control_plane.get("service", f"{cluster.name}-api"))["clusterIP"]
    eventually(lambda: spec(inside.get("service", "kubernetes"))["clusterIP"] == address)
    before = inside.get("service", "kubernetes")["metadata"]["uid"]
    inside("delete", "service", "kubernetes")

    def is_back() -> bool:
        found = {each["metadata"]["name"]: each for each in inside.get("services")}.get("kubernetes")
        is_new = found is not None and found["metadata"]["uid"] != before
        return bool(is_new and spec(found or {})["clusterIP"] == address)

    eventually(is_back)
    label = "kubernetes.io/service-name=kubernetes"
    eventually(lambda: [s for s in inside.get("endpointslices", "-l", label) if s["endpoints"]])
    eventually(lambda: inside("delete", "mutatingwebhookconfiguration", "k3k-pulumi.io"))
    eventually(lambda: inside.get("mutatingwebhookconfigurations"), 20)  # the patrol would come once a minute


@pytest.mark.parametrize("distribution", [pytest.param("k3s", marks=pytest.mark.needs_k3s_image)])
def test_a_range_without_the_hosts_addresses_ends_the_start_with_a_reason(
    host: Host, kubelet_image: str, distribution: str
) -> None:
    """Servers older than 1.33 cannot take another one later."""
    del kubelet_image
    args: dict[str, Any] = {
        **variant(distribution),
        "service_cidr": "172.30.0.0/16",
        "timeout": 40.0,
    }

    def make() -> None:
        with direct.ephemeral_cluster(
            name="ranged", namespace=unique("t"), kubeconfig=host.kubeconfig, **args
        ):
            pass

    told(make, "service_cidr: ", ", an address of the host's Services, is not in 172.30.0.0/16: leave")


def test_a_range_of_another_place_grows_where_it_can(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(service_cidr="172.30.0.0/16")
    inside = cluster.inside.within("default")
    await_admission(inside)
    inside("create", "service", "clusterip", "web", "--tcp=80")
    made = spec(inside.get("service", "web"))
    assert made["clusterIP"] == spec(host_service(cluster, inside, "web"))["clusterIP"]
    assert not made["clusterIP"].startswith("172.30.")
