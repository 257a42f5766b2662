"""A replicated database inside a shared cluster: Redis, three replicas with volumes, and a client elsewhere.

What it proves together: a StatefulSet's claims and names, headless and other Services, DNS across namespaces,
replication between pods by name, and a rolling restart that loses nothing the client was told is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests import run
from tests.e2e.conftest import Host, watch
from tests.e2e.support.clusters import both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, deployment
from tests.e2e.support.polling import eventually
from tests.e2e.support.redis import REDIS

REPLICAS = 3
PORT = 6379

# db-0 is the primary. Replicas say by which name they are reached: an address changes with each restart.
SERVER = f"""
set -- --dir /data --appendonly yes --appendfsync always --save '' --protected-mode no
test "$HOSTNAME" = db-0 || set -- "$@" --replicaof db-0.db {PORT}
exec redis-server "$@" --replica-announce-ip "$HOSTNAME.db"
"""
# Writes numbers for ever, one after the other, and says of each when the primary has it on disk. A set takes
# the same number twice: an answer that got lost is asked for again.
CLIENT = """
n=0
while :; do
  n=$((n+1))
  until timeout 3 redis-cli -e -h db-0.db.$DATABASE sadd written $n >/dev/null 2>&1; do sleep 0.2; done
  echo $n
  sleep 0.05
done
"""
# What the server behind each name says of itself.
ASK = """
for name in "$@"; do echo "$name" $(timeout 3 redis-cli -e -h $name config get replica-announce-ip); done
"""


@pytest.fixture
def redis_image(host: Host, request: pytest.FixtureRequest) -> str:
    """The image's reference, once the host has it; an existing host pulls it."""
    del host  # just has to be there
    config = request.config
    if not config.option.host_kubeconfig:
        run.load_image(config.stash[run.FOLDER], config.option.devcluster, "tests.e2e.support.redis")
    return REDIS


@pytest.fixture
def elsewhere(inside: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Another namespace of the same virtual cluster."""
    other = inside.within(f"{inside.namespace}-client")
    other("create", "namespace", other.namespace)
    watch(request.node, other)
    eventually(lambda: other("get", "serviceaccount", "default"))
    yield other
    other("delete", "namespace", other.namespace, "--wait=false")


def service(name: str, **spec: Any) -> dict[str, Any]:
    """A Service of the database's pods."""
    ports = [{"name": "redis", "port": PORT}]
    whole = {"selector": {"app": "db"}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": whole}


def database(image: str) -> list[dict[str, Any]]:
    """The headless Service that names the pods, one with an address, and the StatefulSet."""
    server = container(
        ("sh", "-euc", SERVER),
        image=image,
        ports=[{"name": "redis", "containerPort": PORT}],
        readinessProbe={"exec": {"command": ["redis-cli", "-e", "ping"]}, "periodSeconds": 1},
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )
    workload = deployment("db", REPLICAS, server)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    workload["kind"] = "StatefulSet"
    workload["spec"] |= {
        "serviceName": "db",
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    return [service("db", clusterIP="None"), service("db-read"), workload]


def numbers(text: str) -> set[int]:
    """The numbers of a text, one in each line."""
    return {int(line) for line in text.split()}


def written(database: Kubectl, pod: str) -> set[int]:
    """What a replica has."""
    answer = database.exec(pod, ["redis-cli", "-e", "smembers", "written"])
    assert answer.returncode == 0, answer  # as long as it loads what the primary has
    return numbers(answer.stdout.decode())


def acknowledged(elsewhere: Kubectl) -> set[int]:
    """What the client was told is written; the last line may not be complete yet."""
    lines = elsewhere("logs", "deployment/client").splitlines()
    return numbers("\n".join(lines[:-1]))


def bound(database: Kubectl) -> dict[str, str]:
    """Claim -> its volume. A claim is shown as bound by another watch than the one that shows its pod."""
    claims = {claim["metadata"]["name"]: claim for claim in database.get("persistentvolumeclaims")}
    assert {name: claim["status"]["phase"] for name, claim in claims.items()} == {
        f"data-db-{index}": "Bound" for index in range(REPLICAS)
    }
    return {name: claim["spec"]["volumeName"] for name, claim in claims.items()}


@both
def test_a_replicated_database_and_its_client(inside: Kubectl, elsewhere: Kubectl, redis_image: str) -> None:
    inside.apply(*database(redis_image))
    environment = [{"name": "DATABASE", "value": inside.namespace}]
    writer = container(("sh", "-uc", CLIENT), image=redis_image, env=environment)
    elsewhere.apply(deployment("client", 1, writer))

    inside("rollout", "status", "statefulset/db", "--timeout=600s")
    pods = {pod["metadata"]["name"]: pod for pod in running(inside, "app=db", REPLICAS)}
    assert set(pods) == {f"db-{index}" for index in range(REPLICAS)}
    (client,) = running(elsewhere, "app=client", 1)
    eventually(lambda: acknowledged(elsewhere))
    names_lead_where_they_say(inside.namespace, elsewhere, client["metadata"]["name"])

    claims = eventually(lambda: bound(inside))

    inside("rollout", "restart", "statefulset/db")
    inside("rollout", "status", "statefulset/db", "--timeout=600s")
    before = max(acknowledged(elsewhere))
    eventually(lambda: max(acknowledged(elsewhere)) > before)  # it goes on, by the same name

    restarted = {pod["metadata"]["name"]: pod for pod in running(inside, "app=db", REPLICAS)}
    assert not {pod["metadata"]["uid"] for pod in pods.values()} & {
        pod["metadata"]["uid"] for pod in restarted.values()
    }
    assert bound(inside) == claims
    told = acknowledged(elsewhere)
    assert told == set(range(1, max(told) + 1))
    for pod in restarted:
        eventually(lambda pod=pod: told <= written(inside, pod))
    (same,) = running(elsewhere, "app=client", 1)
    assert same["metadata"]["uid"] == client["metadata"]["uid"]
    assert same["status"]["containerStatuses"][0]["restartCount"] == 0


def names_lead_where_they_say(namespace: str, elsewhere: Kubectl, client: str) -> None:
    """Each name of a pod leads to it, each name of a Service to one of them, from another namespace."""
    servers = [f"db-{index}" for index in range(REPLICAS)]
    suffixes = ("", ".svc", ".svc.cluster.local", ".svc.cluster.local.")
    expected = {
        f"{server}.db.{namespace}{suffix}": {f"{server}.db"} for server, suffix in product(servers, suffixes)
    } | {
        f"{name}.{namespace}{suffix}": {f"{server}.db" for server in servers}
        for name, suffix in product(("db", "db-read"), suffixes)
    }

    def right() -> bool:
        result = elsewhere.exec(client, ["sh", "-uc", ASK, "ask", *expected])
        answers = {line.split()[0]: line.split()[-1] for line in result.stdout.decode().splitlines()}
        wrong = {name: answer for name in expected if (answer := answers.get(name)) not in expected[name]}
        assert not wrong, f"names that lead elsewhere: {wrong}; {result.stderr.decode()}"
        return True

    eventually(right)
