"""Volumes that are the node's own or that the node mounts for the tenant."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

LOGS = {"hostPaths": [{"path": "/var/log"}, {"path": "/data/shared", "readOnly": False}]}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/var",
        "/var/logs",
        "/var/log/../lib",
        "/var/log/..",
        "/var/./log",
        "var/log",
        "",
        "/etc",
        "//etc",
        "/data/shared/../../etc",
    ],
)
def test_a_host_path_outside_the_policys_is_refused(path: str) -> None:
    with pytest.raises(Refused, match=r"^spec\.volumes\[0\]\.hostPath: "):
        to_host(pod({"volumes": [{"name": "v", "hostPath": {"path": path}}]}), allowing(**LOGS))


@pytest.mark.parametrize(
    ("path", "read_only", "allowed"),
    [
        ("/var/log", True, True),
        ("/var//log/", True, True),
        ("/var/log/pods", False, False),
        ("/var/log/pods", None, False),
        ("/data/shared", False, True),
        ("/data/shared/a", None, True),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_host_path_is_written_only_where_the_policy_says_so(
    kind: str, path: str, read_only: bool | None, allowed: bool
) -> None:
    mount = {"name": "v", "mountPath": "/v"} | ({} if read_only is None else {"readOnly": read_only})
    spec = {
        "volumes": [{"name": "v", "hostPath": {"path": path}}],
        kind: [{"name": "c", "image": "x", "volumeMounts": [mount]}],
    }
    if allowed:
        deep = {"recursiveReadOnly": "IfPossible"} if path.startswith("/var") else {}
        assert host_spec(pod(spec), allowing(**LOGS))[kind][0]["volumeMounts"] == [mount | deep]
        return
    with pytest.raises(Refused) as caught:
        to_host(pod(spec), allowing(**LOGS))
    assert caught.value.path == f"spec.{kind}[0].volumeMounts[0].readOnly"


@pytest.mark.parametrize(
    ("own", "on_host"),
    [("Enabled", "Enabled"), ("IfPossible", "IfPossible"), ("Disabled", "IfPossible"), (None, "IfPossible")],
)
def test_what_is_mounted_below_a_host_path_is_not_written_either(own: str | None, on_host: str) -> None:
    mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": own}
    spec = {"volumes": [{"name": "v", "hostPath": {"path": "/var/log"}}]}
    found = host_spec(pod(spec, {"volumeMounts": [mount]}), allowing(**LOGS))
    assert found["containers"][0]["volumeMounts"][0]["recursiveReadOnly"] == on_host


def test_mounts_that_appear_later_below_a_host_path_are_refused() -> None:
    mount = {"name": "v", "mountPath": "/v", "readOnly": True, "mountPropagation": "HostToContainer"}
    spec = {"volumes": [{"name": "v", "hostPath": {"path": "/var/log"}}]}
    with pytest.raises(Refused) as caught:
        to_host(pod(spec, {"volumeMounts": [mount]}), allowing(**LOGS))
    assert caught.value.path == "spec.containers[0].volumeMounts[0].mountPropagation"


FOREIGN = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
]


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_volume_that_the_node_mounts_for_the_tenant_is_refused(kind: str) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod({"volumes": [{"name": "v", kind: {"secretRef": {"name": "x"}}}]}))
    assert (caught.value.path, caught.value.allowed) == (
        f"spec.volumes[0].{kind}",
        "use a PersistentVolumeClaim",
    )


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (
            {"clusterTrustBundle": {"name": "x", "path": "a"}},
            "spec.volumes[0].projected.sources[0].clusterTrustBundle",
        ),
        ({"podCertificate": {"signerName": "x"}}, "spec.volumes[0].projected.sources[0].podCertificate"),
    ],
)
def test_a_projection_from_the_hosts_own_is_refused(source: dict[str, Any], path: str) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod({"volumes": [{"name": "v", "projected": {"sources": [source]}}]}))
    assert caught.value.path == path
