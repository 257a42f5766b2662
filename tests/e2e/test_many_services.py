"""Many Services at once: each gets the address of its twin on the host, and keeps it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config

from tests.e2e.support.clusters import View, both
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually

COUNT = 200
AT_ONCE = 50
"""Requests under way: what an API server lets one user have."""
CONFLICT = 409


def service(name: str) -> dict[str, Any]:
    """A Service with a selector and two ports."""
    ports = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090, "protocol": "TCP"}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}}


def create(api: client.CoreV1Api, namespace: str, body: dict[str, Any]) -> client.V1Service:
    """Creates a Service as kubectl does: what a busy host has no answer for in time is asked for again."""
    refusals = 0

    def made() -> client.V1Service | None:
        nonlocal refusals
        try:
            return api.create_namespaced_service(namespace, body)
        except client.ApiException as error:
            if error.status == CONFLICT and refusals:  # an answer that was late, not the Service
                return api.read_namespaced_service(body["metadata"]["name"], namespace)
            refusals += 1
            told = error.headers is not None and "Retry-After" in error.headers
            # A webhook too busy to say so itself is cut off after ten seconds, and nobody told to ask again.
            if not told and "context deadline exceeded" not in str(error.body):
                raise
            return None

    return eventually(made)


@contextmanager
def watched(kubectl: Kubectl, file: Path) -> Iterator[Callable[[set[str]], Counter[str]]]:
    """Watches a namespace's Services; gives how often which event came for those of some names.

    An API server ends the watch of who does not keep up with a burst: it goes on where it ended.
    """
    path = f"/api/v1/namespaces/{kubectl.namespace}/services"
    since = json.loads(kubectl("get", "--raw", f"{path}?limit=1"))["metadata"]["resourceVersion"]

    def follow(version: str) -> subprocess.Popen[bytes]:
        command = kubectl.command("get", "--raw", f"{path}?watch=true&resourceVersion={version}")
        with file.open("ab") as out:
            return subprocess.Popen(command, stdout=out, env=kubectl.environment())

    def events(names: set[str]) -> Counter[str]:
        nonlocal process
        has_ended = process.poll() is not None  # asked before what it has told is read
        lines = file.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines]
        if has_ended:
            file.write_text("".join(f"{line}\n" for line in lines))  # without the half of one
            process = follow(found[-1]["object"]["metadata"]["resourceVersion"] if found else since)
        return Counter(each["type"] for each in found if each["object"]["metadata"].get("name") in names)

    process = follow(since)
    try:
        yield events
    finally:
        process.kill()
        process.wait()


@both
def test_200_services_at_once(cluster: View, inside: Kubectl, tmp_path: Path) -> None:
    names = [f"service-{number}" for number in range(COUNT)]

    def twins() -> dict[str, Any]:
        return cluster.copies("services", inside.namespace)

    with (
        watched(inside, tmp_path / "inside") as events_inside,
        watched(cluster.workloads, tmp_path / "host") as events_on_the_host,
        config.new_client_from_config(str(inside.kubeconfig)) as connection,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        api = client.CoreV1Api(connection)
        made = list(pool.map(lambda name: create(api, inside.namespace, service(name)), names))
        addresses = {each.metadata.name: each.spec.cluster_ip for each in made}
        uids = {each.metadata.name: each.metadata.uid for each in made}
        assert len(set(addresses.values())) == COUNT
        assert {name: twin["spec"]["clusterIP"] for name, twin in twins().items()} == addresses

        now = {each["metadata"]["name"]: each for each in inside.get("services")}
        assert {name: each["metadata"]["uid"] for name, each in now.items()} == uids
        assert {name: each["spec"]["clusterIP"] for name, each in now.items()} == addresses
        on_the_host = {twin["metadata"]["name"] for twin in twins().values()}
        for events, mine in ((events_inside, set(names)), (events_on_the_host, on_the_host)):
            eventually(lambda events=events, mine=mine: events(mine)["ADDED"] >= COUNT)  # type: ignore[misc]
            assert (events(mine)["ADDED"], events(mine)["DELETED"]) == (COUNT, 0)

    inside("delete", "services", "--all", "--wait=false")
    eventually(lambda: not twins())
