"""Volumes: real data on real volumes of the host, and what the tenant sees of them."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.support.clusters import PREFIX, View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import Object, claim, claim_spec, container, pod, shell, template
from tests.e2e.support.polling import eventually

CLASS = "local-path"
"""The dev cluster's: volumes are made when their first pod has a node."""

# Who starts first on a volume leaves a word there; who comes later finds it.
KEEP = """
[ -f /data/word ] || echo "$(hostname) $(cat /proc/sys/kernel/random/uuid)" > /data/word
trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done
"""


def stateful_set(name: str, replicas: int, **rest: Any) -> Object:
    """A StatefulSet whose pods keep a word on a volume each."""
    mount = [{"name": "data", "mountPath": "/data"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, shell(KEEP, volumeMounts=mount)),
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim_spec()}],
            **rest,
        },
    }


def words(inside: Kubectl, *pods: str) -> list[str]:
    """What stands on the volumes of these pods."""

    def read(name: str) -> str:
        result = inside.exec(name, ["cat", "/data/word"])
        assert result.returncode == 0, result.stderr
        return result.stdout.decode().strip()

    return [eventually(lambda name=name: read(name)) for name in pods]  # type: ignore[misc]


def copies(view: View, inside: Kubectl) -> dict[str, Any]:
    """The host's claims of a namespace inside, by their name there."""
    selector = f"{PREFIX}cluster={view.name},{PREFIX}namespace={inside.namespace}"
    found = view.workloads.get("persistentvolumeclaims", "-l", selector)
    return {each["metadata"]["annotations"][f"{PREFIX}name"]: each for each in found}


def volumes(inside: Kubectl) -> list[Any]:
    """The volumes inside of a namespace's claims."""
    found = inside.get("persistentvolumes")
    return [each for each in found if each["spec"]["claimRef"]["namespace"] == inside.namespace]


@both
def test_a_stateful_set_finds_its_data_again(cluster: View, inside: Kubectl) -> None:
    inside.apply(stateful_set("db", 2))
    running(inside, "app=db", 2)
    before = words(inside, "db-0", "db-1")
    assert [each.split()[0] for each in before] == ["db-0", "db-1"]
    assert len(set(before)) == 2

    inside("scale", "statefulset/db", "--replicas=0")
    eventually(lambda: not inside.get("pods"))
    assert set(copies(cluster, inside)) == {"data-db-0", "data-db-1"}
    inside("scale", "statefulset/db", "--replicas=2")
    running(inside, "app=db", 2)
    assert words(inside, "db-0", "db-1") == before

    def bound() -> bool:  # what the pods use is bound on the host, and inside by a controller of its own
        shown = inside.get("persistentvolumeclaims")
        assert {each["status"]["phase"] for each in shown} == {"Bound"}
        assert {each["status"]["capacity"]["storage"] for each in shown} == {"10Mi"}
        made = volumes(inside)
        assert {each["metadata"]["name"] for each in made} == {each["spec"]["volumeName"] for each in shown}
        assert {(each["spec"]["storageClassName"], each["status"]["phase"]) for each in made} == {
            (CLASS, "Bound")
        }
        return True

    eventually(bound)

    disks = {each["spec"]["volumeName"] for each in copies(cluster, inside).values()}
    inside("delete", "statefulsets,persistentvolumeclaims", "--all")
    eventually(lambda: not copies(cluster, inside) and not volumes(inside))

    def left() -> set[str]:
        return disks & {each["metadata"]["name"] for each in cluster.workloads.get("persistentvolumes")}

    eventually(lambda: not left())


def test_a_stateful_set_may_have_its_claims_removed(cluster: View, inside: Kubectl) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    inside.apply(stateful_set("db", 2, persistentVolumeClaimRetentionPolicy=policy))
    running(inside, "app=db", 2)
    (kept,) = words(inside, "db-0")
    (lost,) = words(inside, "db-1")
    inside("scale", "statefulset/db", "--replicas=1")
    eventually(lambda: set(copies(cluster, inside)) == {"data-db-0"})
    inside("scale", "statefulset/db", "--replicas=2")
    running(inside, "app=db", 2)
    assert words(inside, "db-0") == [kept]
    assert words(inside, "db-1") != [lost]
    inside("delete", "statefulset/db")
    eventually(lambda: not copies(cluster, inside) and not inside.get("persistentvolumeclaims"))


def test_a_claim_waits_for_its_first_pod_and_says_what_the_host_says(cluster: View, inside: Kubectl) -> None:
    inside.apply(claim("data", storageClassName=CLASS))

    def events() -> list[Any]:
        selector = "--field-selector=involvedObject.kind=PersistentVolumeClaim,involvedObject.name=data"
        return list(inside.get("events", selector))

    eventually(lambda: "WaitForFirstConsumer" in {each["reason"] for each in events()})
    assert inside.get("persistentvolumeclaim", "data")["status"]["phase"] == "Pending"
    mounted = container(volumeMounts=[{"name": "v", "mountPath": "/data"}])
    source = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    inside.apply(pod("first", mounted, volumes=source))
    running(inside, "app=first", 1)
    eventually(lambda: inside.get("persistentvolumeclaim", "data")["status"]["phase"] == "Bound")
    eventually(lambda: "ProvisioningSucceeded" in {each["reason"] for each in events()})
    told = json.dumps(events())
    host_pod = cluster.host_pods(namespace=inside.namespace)["first"]["metadata"]["name"]
    assert inside.get("persistentvolumeclaim", "data")["spec"]["volumeName"] in told
    assert cluster.workloads.namespace not in told
    assert copies(cluster, inside)["data"]["metadata"]["name"] not in told
    assert host_pod not in told


def test_a_generic_ephemeral_volume_lives_as_long_as_its_pod(cluster: View, inside: Kubectl) -> None:
    keeps = shell(KEEP, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    scratch = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}}
    inside.apply(pod("user", keeps, volumes=[scratch]))
    running(inside, "app=user", 1)
    assert words(inside, "user")[0].startswith("user ")
    assert set(copies(cluster, inside)) == {"user-data"}
    inside("delete", "pod", "user")
    eventually(lambda: not copies(cluster, inside) and not volumes(inside))


def test_two_pods_of_one_claim_share_its_data(inside: Kubectl) -> None:
    keeps = shell(KEEP, volumeMounts=[{"name": "v", "mountPath": "/data"}])
    source = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    inside.apply(claim("data"), pod("one", keeps, volumes=source))
    running(inside, "app=one", 1)
    inside.apply(pod("two", keeps, volumes=source))
    running(inside, "app=two", 1)
    one, two = words(inside, "one", "two")
    assert one == two
    assert one.startswith("one ")
