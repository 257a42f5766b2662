"""What stops a cluster is told within the limit; once it is gone, a deployment heals it in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Host, unique, watch
from tests.e2e.support.engine import Failure, Project
from tests.e2e.support.failures import REFUSED, SECURITY_CONTEXT, guard
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import storage_class

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("recovery")]

LIMIT = 30
SLACK = 30
"""Seconds for the look at the host, on a machine that is busy."""
PLENTY = "5m"
KEEP = {"create", "update", "same"}
"""Operations of the engine that replace and delete nothing."""
NOTHING = "registry.invalid/nothing:1"
PROGRAM = """
import pulumi
from k3k_pulumi import VirtualCluster
VirtualCluster("c", {args!r})
"""


@pytest.fixture
def project(
    kubelet_image: str, namespace: Kubectl, variables: dict[str, str], tmp_path: Path
) -> Iterator[Project]:
    """A project in which a test fails and mends; what it has deployed goes when the test is over."""
    del kubelet_image, namespace  # the one has to be there, the other outlives the clusters in it
    project = Project(tmp_path, "recovery", variables)
    yield project
    project.stack.destroy()


def claim(control_plane: Kubectl) -> str:
    """uid of the servers' claim."""
    (found,) = control_plane.get("persistentvolumeclaims")
    return str(found["metadata"]["uid"])


def check(failure: Failure, limit: int, *told: str) -> None:
    """That the deployment has failed as it should, in time, and has replaced nothing."""
    for words in told:
        assert words in failure.text
    assert "Traceback" not in failure.text
    assert failure.seconds
    for name, seconds in failure.seconds.items():
        assert seconds <= limit + SLACK, f"{name}: {seconds} s"
    assert failure.operations <= KEEP


def test_what_stops_the_pods_is_told_and_mended(
    host: Host, namespace: Kubectl, project: Project, missing: str
) -> None:
    """A level of Pod Security, a full quota and no StorageClass, bad images of kubelet and servers."""
    args: dict[str, Any] = {
        "namespace": unique("r"),
        "control_plane_namespace": namespace.namespace,
        "create_control_plane_namespace": False,
        "persistence": {"storage_class": missing},
        "distribution": "kubernetes",
        "ready_timeout": f"{LIMIT}s",
        "security_context": SECURITY_CONTEXT,
    }
    # From the start: admission is to know it when the level lets pods through, whose own refusals come first.
    namespace("create", "quota", "full", "--hard=pods=0")
    guard(namespace, "v1.24")
    late = f"VirtualCluster 'c': not ready within {LIMIT}s\n"
    check(
        project.failure(PROGRAM.format(args=args)),
        LIMIT,
        late,
        "StatefulSet c-server: FailedCreate: ",
        "Deployment c-kubelet: FailedCreate: ",
        REFUSED,
    )

    guard(namespace, "latest")
    check(
        project.failure(PROGRAM.format(args=args)),
        LIMIT,
        late,
        "StatefulSet c-server: FailedCreate: ",
        "Deployment c-kubelet: FailedCreate: ",
        "exceeded quota: full, requested: pods=1, used: pods=0, limited: pods=0",
        "PersistentVolumeClaim data-c-server-0: Pending: ProvisioningFailed: "
        f'storageclass.storage.k8s.io "{missing}" not found',
    )

    before = claim(namespace)
    namespace("delete", "quota", "full")
    host.kubectl.apply(storage_class(missing, like=host.kubectl.get("storageclasses")[0]))
    args["images"] = {"kubelet": NOTHING}
    failure = project.failure(PROGRAM.format(args=args))
    check(failure, LIMIT, late, "container kubelet: waiting: ", f'image "{NOTHING}"')

    args["images"] = {"server": NOTHING}
    failure = project.failure(PROGRAM.format(args=args))
    check(failure, LIMIT, late, "container kube-apiserver: waiting: ", f'image "{NOTHING}"')

    args.update(images=None, ready_timeout=PLENTY)
    assert project.changes(PROGRAM.format(args=args)).keys() <= KEEP
    assert claim(namespace) == before
    assert set(project.stack.preview(expect_no_changes=True).change_summary) == {"same"}


def test_what_stops_the_way_into_a_cluster_is_told_and_mended(
    namespace: Kubectl, project: Project, request: pytest.FixtureRequest
) -> None:
    """A Service range that the servers refuse, a bad image of the DNS and no way to the API from here."""
    here = namespace.namespace
    watch(request.node, namespace.within(f"{here}-c-control-plane"))
    args: dict[str, Any] = {
        "namespace": here,
        "create_namespace": False,
        "distribution": "kubernetes",
        "persistence": {"type": "ephemeral"},
        "ready_timeout": f"{LIMIT}s",
        "service_cidr": "fd00:77::/108",
        "expose": {"source_cidrs": ["192.0.2.0/24"]},
    }
    check(
        project.failure(PROGRAM.format(args=args)),
        LIMIT,
        f"VirtualCluster 'c': not ready within {LIMIT}s\n",
        "container certificates: ",
        "is of another IP family than fd00:77::/108: leave service_cidr out, or set it to the host's range",
    )

    args.pop("service_cidr")
    args.update(ready_timeout="1m", images={"dns": NOTHING})
    failure = project.failure(PROGRAM.format(args=args))
    check(
        failure,
        60,
        "did not answer 200 within 60 s, asked from this machine; last: the connection timed out",
        "VirtualCluster 'c': waiting for its API: the connection timed out",
        "is this machine's address within expose.source_cidrs?",
        "VirtualCluster 'c': not ready within 1m",
        "container coredns: waiting: ",
        f'image "{NOTHING}"',
    )
    assert failure.seconds.keys() == {"c-ready", "c-dns"}

    # The engine takes the servers for made and has nothing to change; the proof is asked for again.
    args.update(ready_timeout=PLENTY, images=None, expose={"source_cidrs": ["0.0.0.0/0"]})
    assert project.changes(PROGRAM.format(args=args)).keys() <= KEEP
    assert set(project.stack.preview(expect_no_changes=True).change_summary) == {"same"}
