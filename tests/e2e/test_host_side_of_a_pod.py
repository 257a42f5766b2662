"""Who a pod is on the host, and what the host says about it."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import MakeCluster
from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, pod
from tests.e2e.support.polling import eventually

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@both
def test_a_pod_is_nobody_on_the_host(cluster: View, inside: Kubectl) -> None:
    inside.apply(pod("with", automountServiceAccountToken=True), pod("without"))
    running(inside, "app in (with,without)", 2)
    copies = cluster.host_pods(namespace=inside.namespace)
    account = f"{cluster.name}-workload"
    for copy in copies.values():
        assert copy["spec"]["serviceAccountName"] == account
        assert copy["spec"]["automountServiceAccountToken"] is False
        sources = [
            kind
            for volume in copy["spec"].get("volumes", ())
            for source in volume.get("projected", {}).get("sources", ())
            for kind in source
        ]
        assert "serviceAccountToken" not in sources

    assert inside.exec("without", ["ls", MOUNT]).returncode != 0
    files = inside.exec("with", ["ls", MOUNT]).stdout.decode().split()
    assert files == ["ca.crt", "namespace", "token"]
    mounts = inside.exec("with", ["grep", "-c", "serviceaccount", "/proc/mounts"]).stdout.decode()
    assert mounts.strip() == "1"
    host_ca = cluster.workloads.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"]
    assert inside.exec("with", ["cat", f"{MOUNT}/ca.crt"]).stdout.decode() != host_ca

    # What the account may is what every account may, and no more.
    def may(name: str) -> str:
        user = f"--as=system:serviceaccount:{cluster.workloads.namespace}:{name}"
        return cluster.workloads("auth", "can-i", "--list", user)

    assert may(account) == may("nobody-at-all")


def test_events_of_the_host_are_told_with_virtual_names_and_counts(cluster: View, inside: Kubectl) -> None:
    volume = {"name": "v", "configMap": {"name": "settings"}}
    main = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    inside.apply(pod("waiting", main, volumes=[volume]))

    def events() -> list[dict[str, Any]]:
        return list(inside.get("events", "--field-selector=involvedObject.name=waiting"))

    message = 'MountVolume.SetUp failed for volume "v" : configmap "settings" not found'

    def repeated() -> list[dict[str, Any]]:
        found = [each for each in events() if each["reason"] == "FailedMount"]
        told = [each for each in found if each["message"] == message and each.get("count", 1) >= 3]
        assert told, found
        return told

    (failed,) = eventually(repeated)
    assert failed["type"] == "Warning"
    assert failed["involvedObject"]["uid"] == inside.get("pod", "waiting")["metadata"]["uid"]
    (scheduled,) = eventually(lambda: [each for each in events() if each["reason"] == "Scheduled"])
    found = events()
    assert scheduled["message"].startswith(f"Successfully assigned {inside.namespace}/waiting to ")
    copy = cluster.host_pods(namespace=inside.namespace)["waiting"]["metadata"]
    foreign = (copy["name"], copy["uid"], cluster.workloads.namespace)
    assert not [each["message"] for each in found if any(name in str(each) for name in foreign)]


def test_what_is_left_out_of_a_pod_is_told(inside: Kubectl) -> None:
    taint = {"key": "example.com/owner", "operator": "Exists", "effect": "NoSchedule"}
    inside.apply(pod("tolerant", tolerations=[taint]))
    running(inside, "app=tolerant", 1)

    def paths() -> set[str]:
        found = inside.get("events", "--field-selector=involvedObject.name=tolerant,reason=FieldDropped")
        assert {event["type"] for event in found} <= {"Warning"}
        return {event["message"].partition(":")[0] for event in found}

    eventually(lambda: paths() == {"spec.tolerations[0]"})


def test_an_account_that_the_policy_maps_is_another_on_the_host(make_cluster: MakeCluster) -> None:
    mapping = {"namespace": "app", "name": "uploader", "host_service_account": "s3-writer"}
    view = make_cluster(pods={"service_accounts": [mapping]})
    view.workloads("create", "serviceaccount", "s3-writer")
    view.workloads("annotate", "serviceaccount", "s3-writer", "example.com/role=writer-of-everything")
    accounts = {}
    for namespace in ("app", "other"):
        inside = view.inside.within(namespace)
        inside("create", "namespace", namespace)
        inside("create", "serviceaccount", "uploader")
        eventually(lambda kubectl=inside: kubectl("get", "serviceaccount", "default"))
        inside.apply(
            pod("mapped", serviceAccountName="uploader", automountServiceAccountToken=True), pod("plain")
        )
        running(inside, "app in (mapped,plain)", 2)
        for name, copy in view.host_pods(namespace=namespace).items():
            accounts[namespace, name] = copy["spec"]["serviceAccountName"]
            assert copy["spec"]["automountServiceAccountToken"] is False
        token = inside.exec("mapped", ["cat", f"{MOUNT}/token"]).stdout
        assert token.count(b".") == 2
        shown = json.dumps([inside.get("pods"), inside.get("serviceaccounts"), inside.get("events")])
        assert not [word for word in ("s3-writer", "writer-of-everything") if word in shown]
    assert accounts == {
        ("app", "mapped"): "s3-writer",
        ("app", "plain"): f"{view.name}-workload",
        ("other", "mapped"): f"{view.name}-workload",
        ("other", "plain"): f"{view.name}-workload",
    }
