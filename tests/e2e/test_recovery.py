"""What stops a cluster is told with its cause; once that is gone, the same call heals the cluster in place.

A bad image is in `test_direct.py`. The deployments of the engine have the same reasons, and more tests of
them: `engine/test_recovery.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import Host, unique
from tests.e2e.support.clusters import MADE_WITHIN
from tests.e2e.support.failures import REFUSED, SECURITY_CONTEXT, guard, told
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import pod, storage_class
from tests.e2e.support.polling import eventually

Apply = Callable[..., direct.Cluster]

SECONDS = 20
"""Until a deployment fails."""


@pytest.fixture
def apply(host: Host, kubelet_image: str, namespace: Kubectl) -> Iterator[Apply]:
    """Makes the cluster `it` with these arguments, its servers in the test's namespace."""
    del kubelet_image
    where = unique("r")
    servers = {"control_plane_namespace": namespace.namespace, "kubeconfig": host.kubeconfig}

    def apply(**args: Any) -> direct.Cluster:
        own = {"create_control_plane_namespace": False, "distribution": "kubernetes"}
        return direct.apply("it", namespace=where, **servers, **own, **args)

    yield apply
    direct.delete("it", where, grace_period=1, **servers)


def objects(namespace: Kubectl) -> dict[str, str]:
    """uid of each object of the cluster that an update changes in place."""
    kinds = ("persistentvolumeclaims", "statefulsets", "deployments", "secrets", "services")
    found = [each for kind in kinds for each in namespace.get(kind)]
    return {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["uid"] for each in found}


def refusal(namespace: Kubectl) -> str:
    """What the host says to a pod like those of the cluster; `""` where it takes it."""
    return namespace.dry_run(pod("asked", securityContext=SECURITY_CONTEXT)).stderr.decode()


def test_what_stops_a_cluster_is_told_and_mended(
    host: Host, namespace: Kubectl, apply: Apply, missing: str
) -> None:
    """A level of Pod Security, then a full quota and no StorageClass."""
    args: dict[str, Any] = {
        "persistence": {"storage_class": missing},
        "security_context": SECURITY_CONTEXT,
    }
    late = f"not ready after {SECONDS} s: waited for "
    # From the start: admission is to know it when the level lets pods through, whose own refusals come first.
    namespace("create", "quota", "full", "--hard=pods=0")
    eventually(lambda: "exceeded quota: full" in refusal(namespace))
    guard(namespace, "v1.24")
    eventually(lambda: 'violates PodSecurity "restricted:v1.24"' in refusal(namespace))
    told(
        lambda: apply(timeout=SECONDS, **args),
        late,
        "StatefulSet it-server: FailedCreate: ",
        "Deployment it-kubelet: FailedCreate: ",
        REFUSED,
    )

    before = objects(namespace)
    guard(namespace, "latest")
    told(
        lambda: apply(timeout=SECONDS, **args),
        late,
        "exceeded quota: full, requested: pods=1, used: pods=0, limited: pods=0",
        "PersistentVolumeClaim data-it-server-0: Pending: ProvisioningFailed: "
        f'storageclass.storage.k8s.io "{missing}" not found',
    )

    namespace("delete", "quota", "full")
    host.kubectl.apply(storage_class(missing, like=host.kubectl.get("storageclasses")[0]))
    # Controllers that were refused wait longer each time: the last pause is as long as all that was before.
    made = apply(timeout=MADE_WITHIN, **args)
    assert Kubectl(made.kubeconfig_path)("get", "--raw=/readyz") == "ok"
    assert before.items() <= objects(namespace).items()
