"""Many Services at once: each gets the address of its twin on the host, and keeps it."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubernetes import client, config

from tests.e2e.support.clusters import View, both
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

COUNT = 200
AT_ONCE = 50
"""Requests under way: what an API server lets one user have."""


def service(name: str) -> dict[str, Any]:
    """A Service with a selector and two ports."""
    ports = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090, "protocol": "TCP"}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}}


def history(kubectl: Kubectl, since: str) -> list[tuple[str, dict[str, Any]]]:
    """What has happened to a namespace's Services since a version: (ADDED, MODIFIED or DELETED, which)."""
    query = f"watch=true&resourceVersion={since}&timeoutSeconds=1"
    lines = kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/services?{query}").splitlines()
    return [(event["type"], event["object"]) for event in map(json.loads, lines)]


def version(kubectl: Kubectl) -> str:
    """The resourceVersion of now."""
    found = json.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/services?limit=1"))
    return str(found["metadata"]["resourceVersion"])


@both
def test_200_services_at_once(cluster: View, inside: Kubectl) -> None:
    names = [f"service-{number}" for number in range(COUNT)]
    began_inside, began = version(inside), version(cluster.workloads)
    with config.new_client_from_config(str(inside.kubeconfig)) as connection:
        api = client.CoreV1Api(connection)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(
                pool.map(lambda name: api.create_namespaced_service(inside.namespace, service(name)), names)
            )
    addresses = {each.metadata.name: each.spec.cluster_ip for each in made}
    uids = {each.metadata.name: each.metadata.uid for each in made}
    assert len(set(addresses.values())) == COUNT

    def twins() -> dict[str, Any]:
        return cluster.copies("services", inside.namespace)

    assert {name: twin["spec"]["clusterIP"] for name, twin in twins().items()} == addresses
    # They lead to the same pods by the same ports once the kubelet has seen the Services.
    eventually(lambda: all(len(twin["spec"]["ports"]) == 2 for twin in twins().values()))

    now = {each["metadata"]["name"]: each for each in inside.get("services")}
    assert {name: each["metadata"]["uid"] for name, each in now.items()} == uids
    assert {name: each["spec"]["clusterIP"] for name, each in now.items()} == addresses
    for kubectl, since in ((inside, began_inside), (cluster.workloads, began)):
        mine = set(names) if kubectl is inside else {twin["metadata"]["name"] for twin in twins().values()}
        events = Counter(kind for kind, each in history(kubectl, since) if each["metadata"]["name"] in mine)
        assert (events["ADDED"], events["DELETED"]) == (COUNT, 0), events

    inside("delete", "services", "--all", "--wait=false")
    eventually(lambda: not twins())
