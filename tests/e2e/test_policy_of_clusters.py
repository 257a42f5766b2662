"""What a policy does to virtual clusters that run: a quota that is full, rules that change."""

from __future__ import annotations

import json
from typing import Any

from k3k_pulumi import direct
from tests.e2e.conftest import Host, MakeCluster, unique
from tests.e2e.support.clusters import View, identity, running, variant
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import container, deployment, pod
from tests.e2e.support.polling import eventually

COMPONENT = "k3k-pulumi.io/component"
DEFAULTS = [{"type": "Container", "default": {"memory": "32Mi"}, "defaultRequest": {"cpu": "10m"}}]


def events(view: View, name: str) -> list[str]:
    """Messages of the warnings about a pod inside."""
    found = view.inside.get("events", f"--field-selector=involvedObject.name={name},type=Warning")
    return [each["message"] for each in found]


def infrastructure(view: View) -> dict[str, Any]:
    """What a change that recreates nothing leaves as it is: uids of workloads, and their containers."""
    pods = view.control_plane.get("pods")
    sets = view.control_plane.get("statefulsets,deployments")
    return {
        **{each["metadata"]["name"]: each["metadata"]["uid"] for each in sets},
        **{each["metadata"]["name"]: identity(each) for each in pods},
    }


def test_a_full_quota_never_stops_a_control_plane(
    host: Host, namespace: Kubectl, make_cluster: MakeCluster
) -> None:
    name, where = unique("p"), namespace.namespace
    hard = {"pods": "2", "requests.cpu": "20m", "limits.memory": "64Mi", "count/secrets": "20"}
    constraints = direct.apply_policy(
        name,
        kubeconfig=host.kubeconfig,
        namespaces=[where],
        quotas={"all": {"hard": hard}},
        limits=DEFAULTS,
    )
    view = make_cluster(
        namespace=where, create_namespace=False, policy=constraints, persistence={"type": "dynamic"}
    )
    view.inside.apply(deployment("full", 2))
    running(view.inside, "app=full", 2)
    view.inside.apply(pod("waits"))
    eventually(lambda: any(f"exceeded quota: {name}.all" in said for said in events(view, "waits")))
    used = namespace.get("resourcequota", f"{name}.all")["status"]["used"]
    assert {key: used[key] for key in ("pods", "requests.cpu")} == {"pods": "2", "requests.cpu": "20m"}

    parts = ("server", "kubelet")
    before = {part: running(view.control_plane, f"{COMPONENT}={part}", 1)[0] for part in parts}
    for each in before.values():
        view.control_plane("delete", "pod", each["metadata"]["name"], "--now", "--wait=false")
    gone = {each["metadata"]["uid"] for each in before.values()}
    eventually(lambda: not gone & {each["metadata"]["uid"] for each in view.control_plane.get("pods")})
    for part in before:
        running(view.control_plane, f"{COMPONENT}={part}", 1)
    eventually(lambda: view.inside("get", "--raw=/readyz") == "ok")

    # The quota is as full as before, and the cluster goes on from where it was.
    running(view.inside, "app=full", 2)
    view.inside("scale", "deployment/full", "--replicas=1")
    running(view.inside, "app=waits", 1)


def test_a_changed_policy_reaches_a_cluster_that_runs(
    host: Host, namespace: Kubectl, make_cluster: MakeCluster
) -> None:
    """New constraints change one ConfigMap, which the kubelet reads live; no pod is made anew."""
    name, where = unique("p"), namespace.namespace

    def apply(**args: Any) -> dict[str, Any]:
        return direct.apply_policy(
            name, kubeconfig=host.kubeconfig, namespaces=[where], limits=DEFAULTS, **args
        )

    first = apply(quotas={"all": {"hard": {"pods": "50"}}})
    view = make_cluster(namespace=where, create_namespace=False, policy=first)
    scratch = [{"name": "scratch", "emptyDir": {}}]
    mounted = container(volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}])
    view.inside.apply(pod("before", mounted, volumes=scratch))
    (workload,) = running(view.inside, "app=before", 1)
    before = infrastructure(view)
    quota = namespace.get("resourcequota", f"{name}.all")["metadata"]["uid"]

    volumes = ["configMap", "secret", "projected", "downwardAPI"]
    second = apply(quotas={"all": {"hard": {"pods": "60"}}}, pods={"volumeTypes": volumes})
    found = namespace.get("resourcequota", f"{name}.all")
    assert (found["metadata"]["uid"], found["spec"]["hard"]) == (quota, {"pods": "60"})
    direct.apply(
        view.name,
        kubeconfig=host.kubeconfig,
        namespace=where,
        create_namespace=False,
        policy=second,
        persistence={"type": "ephemeral"},
        **variant("kubernetes"),
    )
    document = view.control_plane.get("configmap", f"{view.name}-policy")["data"]["policy.json"]
    assert json.loads(document)["pods"]["volumeTypes"] == volumes

    def refused() -> bool:
        # A node looks after mounted ConfigMaps once a minute, and whenever the pod changes.
        (kubelet,) = view.control_plane.get("pods", "-l", f"{COMPONENT}=kubelet")
        name = unique("after")
        view.control_plane(
            "annotate", "pod", kubelet["metadata"]["name"], "--overwrite", f"looked-for={name}"
        )
        view.inside.apply(pod(name, mounted, volumes=scratch))
        eventually(lambda: events(view, name) or name in view.host_pods(namespace="default"))
        said = events(view, name)
        view.inside("delete", "pod", name, "--wait=false")
        return any("emptyDir" in message for message in said)

    eventually(refused, timeout=240, interval=3)
    assert infrastructure(view) == before
    assert identity(running(view.inside, "app=before", 1)[0]) == identity(workload)
