"""Leader election among three pods through the in-cluster API: client-go's own, in a tenant's own scheduler.

A scheduler is an application whose leader alone works, and whose work shows: pods that ask for it by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import config
from tests.e2e.support.clusters import running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import config_map, container, deployment, pod
from tests.e2e.support.polling import eventually

IMAGE = f"registry.k8s.io/kube-scheduler:{config.KUBERNETES}"
LEASE = "elected"
SECONDS = 10
"""Of the Lease: so long after the leader's last word another takes over."""


def settings(namespace: str) -> dict[str, str]:
    """A scheduler for pods that ask for it; where the API server is it knows from its container alone."""
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": LEASE}],
        "leaderElection": {
            "leaderElect": True,
            "resourceLock": "leases",
            "resourceNamespace": namespace,
            "resourceName": LEASE,
            "leaseDuration": f"{SECONDS}s",
            "renewDeadline": f"{SECONDS - 2}s",
            "retryPeriod": "2s",
        },
    }
    return {"scheduler.json": json.dumps(document)}


def schedulers() -> dict[str, Any]:
    """Three of them, with the token of their service account."""
    program = container(
        ("kube-scheduler", "--config=/config/scheduler.json"),
        image=IMAGE,
        volumeMounts=[{"name": "config", "mountPath": "/config"}],
    )
    return deployment(
        "scheduler",
        3,
        program,
        serviceAccountName="scheduler",
        automountServiceAccountToken=True,
        volumes=[{"name": "config", "configMap": {"name": "scheduler"}}],
    )


@pytest.fixture
def rights(inside: Kubectl) -> Iterator[None]:
    """What Kubernetes gives its own scheduler, and the Lease of this one."""
    inside("create", "serviceaccount", "scheduler")
    account = f"--serviceaccount={inside.namespace}:scheduler"
    roles = ("system:kube-scheduler", "system:volume-scheduler")
    for role in roles:
        inside("create", "clusterrolebinding", f"{inside.namespace}-{role}", f"--clusterrole={role}", account)
    inside(
        "create",
        "role",
        "scheduler",
        "--verb=get,create,update",
        "--resource=leases.coordination.k8s.io",
    )
    inside("create", "rolebinding", "scheduler", "--role=scheduler", account)
    authentication = ("-n", "kube-system", "rolebinding", f"{inside.namespace}-scheduler")
    inside("create", *authentication, "--role=extension-apiserver-authentication-reader", account)
    yield
    inside("delete", *authentication)
    for role in roles:
        inside("delete", "clusterrolebinding", f"{inside.namespace}-{role}")


def holder(inside: Kubectl) -> str:
    """Name of the pod that leads; `""` for none."""
    found = inside.run("get", "lease", LEASE, "-o", "json")
    spec = json.loads(found.stdout)["spec"] if found.returncode == 0 else {}
    return str(spec.get("holderIdentity") or "").partition("_")[0]


@pytest.mark.usefixtures("rights")
def test_three_pods_elect_a_leader_and_another_when_it_dies(inside: Kubectl) -> None:
    inside.apply(config_map("scheduler", settings(inside.namespace)), schedulers())
    names = {each["metadata"]["name"] for each in running(inside, "app=scheduler", 3)}
    leader = eventually(lambda: holder(inside))
    assert leader in names
    inside.apply(pod("first", schedulerName=LEASE))
    running(inside, "app=first", 1)  # the leader has found it a node
    inside("delete", "pod", leader, "--grace-period=0", "--force")

    def successor() -> bool:
        now = holder(inside)
        names = {each["metadata"]["name"] for each in inside.get("pods", "-l", "app=scheduler")}
        return now != leader and now in names

    eventually(successor)
    inside.apply(pod("second", schedulerName=LEASE))
    running(inside, "app=second", 1)
    assert inside.get("lease", LEASE)["spec"]["leaseTransitions"] >= 1
