"""Host accounts that the policy gives to accounts inside, and what a cloud's webhook makes of their pods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from k3k_kubelet.api import PODS, SERVICE_ACCOUNTS, ApiError, PatchType

from kubelet.tests.clusters import CLUSTER, NAMESPACE, Clusters
from kubelet.tests.waiting import eventually
from kubelet.tests.webhook import CONFIGURATIONS, serving
from kubelet.tests.world import World, in_world, running_status

pytestmark = pytest.mark.xdist_group("kubelet-clusters")  # two clusters per worker that runs any of them

ACCOUNT = "s3-writer"
ROLE = "arn:aws:iam::111122223333:role/writer"
MOUNT = {"name": "aws-iam-token", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"}


def inject(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """What EKS does by its webhook: a token of the host account, and a variable that names the role.

    Plus a container of its own, as meshes do.
    """
    token = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "path": "token"}}
    volume = {"name": MOUNT["name"], "projected": {"sources": [token]}}
    env = {"name": "AWS_ROLE_ARN", "value": ROLE}
    sidecar = {"name": "injected-proxy", "image": "proxy", "env": [env]}
    first = "/spec/containers/0"
    main = pod["spec"]["containers"][0]
    return [
        {"op": "add", "path": "/spec/volumes", "value": [*pod["spec"].get("volumes", ()), volume]},
        {"op": "add", "path": f"{first}/env", "value": [*main.get("env", ()), env]},
        {"op": "add", "path": f"{first}/volumeMounts", "value": [*main.get("volumeMounts", ()), MOUNT]},
        {"op": "add", "path": "/spec/containers/-", "value": sidecar},
        {"op": "add", "path": "/metadata/annotations/example.com~1role", "value": ROLE},
    ]


@asynccontextmanager
async def cloud(world: World) -> AsyncIterator[None]:
    """A host account with a role, mapped from `uploader` of the test's namespace, and the cloud's webhook."""
    mapping = {"namespace": world.namespace, "name": "uploader", "hostServiceAccount": ACCOUNT}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "annotations": {"eks.amazonaws.com/role-arn": ROLE}},
    }
    await world.host.create(SERVICE_ACCOUNTS, NAMESPACE, account)
    condition = f"object.spec.serviceAccountName == '{ACCOUNT}'"
    with serving(world.clusters.host, world.namespace, condition, inject) as configuration:
        await world.host.create(CONFIGURATIONS, None, configuration)
        world.clusters.set_policy(serviceAccounts=[mapping])
        try:
            await eventually(lambda: _injects(world))
            yield
        finally:
            world.clusters.set_policy()
            await world.host.delete(CONFIGURATIONS, None, world.namespace)
            await world.host.delete(SERVICE_ACCOUNTS, NAMESPACE, ACCOUNT)


async def _injects(world: World) -> bool:
    """Whether the host's API server calls the webhook by now."""
    spec = {"serviceAccountName": ACCOUNT, "containers": [{"name": "c", "image": "x"}]}
    metadata = {"name": "probe", "annotations": {"a": "b"}}
    probe = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    try:
        made = await world.host.create(PODS, NAMESPACE, probe, dry_run=True)
    except ApiError:
        return False
    return len(made["spec"]["containers"]) > 1


def test_a_mapped_account_brings_the_clouds_identity_and_nothing_of_it_is_shown_inside(
    clusters: Clusters,
) -> None:
    async def test(world: World) -> None:
        for name in ("uploader", "other"):
            await world.create(SERVICE_ACCOUNTS, name)
        async with cloud(world):
            await eventually(lambda: _runs_as(world, "probe", "uploader", ACCOUNT))
            await world.virtual.delete(PODS, world.namespace, "probe")
            await world.gone(PODS, "probe")

            await world.pod("job", serviceAccountName="uploader", metadata={"labels": {"a": "1"}})
            await world.schedule("job", "node-a")
            status = running_status()
            proxy = {**status["containerStatuses"][0], "name": "injected-proxy"}
            status["containerStatuses"][0]["volumeMounts"] = [MOUNT]
            await world.report("job", {**status, "containerStatuses": [*status["containerStatuses"], proxy]})
            inside = await world.until("job", lambda pod: pod["status"]["phase"] == "Running")
            assert [each["name"] for each in inside["status"]["containerStatuses"]] == ["c"]
            text = json.dumps(inside)
            assert not [word for word in ("aws", ROLE, ACCOUNT, "injected", "example.com") if word in text]

            change = {
                "metadata": {"labels": {"a": "2"}},
                "spec": {"containers": [{"name": "c", "image": "new"}]},
            }
            await world.virtual.patch(PODS, world.namespace, "job", change, kind=PatchType.STRATEGIC)
            host = await world.until_host(
                PODS, "job", lambda pod: pod["spec"]["containers"][0]["image"] == "new"
            )
            main = host["spec"]["containers"][0]
            assert host["metadata"]["labels"]["labels.k3k-pulumi.io/a"] == "2"
            assert {"name": "AWS_ROLE_ARN", "value": ROLE} in main["env"]
            assert MOUNT in [{key: each[key] for key in MOUNT} for each in main["volumeMounts"]]
            assert [each["name"] for each in host["spec"]["volumes"]] == [MOUNT["name"]]
            assert host["metadata"]["annotations"]["example.com/role"] == ROLE

            await world.pod("stranger", serviceAccountName="other")
            host = await world.host_pod("stranger")
            assert host["spec"]["serviceAccountName"] == f"{CLUSTER}-workload"
            assert len(host["spec"]["containers"]) == 1

    in_world(clusters, test)


async def _runs_as(world: World, name: str, account: str, expected: str) -> bool:
    """Makes a pod anew until the kubelet has the policy that gives it this host account."""
    await world.gone(PODS, name)
    await world.pod(name, serviceAccountName=account)
    host = await world.host_pod(name)
    if host["spec"]["serviceAccountName"] == expected:
        return True
    await world.virtual.delete(PODS, world.namespace, name)
    return False
