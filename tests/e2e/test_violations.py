"""What a tenant sees of what he may not: one clear event, nothing half-made, an end to it when it is allowed.

What the host's own admission refuses (quota, limit range, Pod Security) and what the cluster's policy does
not give (registries, kinds of volumes, priorities, exposure).
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from k3k_kubelet.policy import BASELINE_CAPABILITIES

from k3k_pulumi import direct
from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.support.admission import await_admission
from tests.e2e.support.clusters import PREFIX, View, running, variant
from tests.e2e.support.kubectl import Kubectl, KubectlError
from tests.e2e.support.objects import AGNHOST, container, pod, secret
from tests.e2e.support.polling import eventually

Object = dict[str, Any]
KINDS = ("pods", "secrets", "configmaps", "services", "ingresses")
NOTHING: dict[str, set[str]] = {kind: set() for kind in KINDS}
HOLDS = [{"secretRef": {"name": "keys"}}]
"""What a pod needs on the host beside itself."""
WITHIN = 240.0
"""Seconds: a node looks at a changed ConfigMap within 90, a refused pod is tried again within a minute."""


def told(inside: Kubectl, name: str, reason: str) -> str:
    """The one message of that reason about an object, as soon as it is there."""

    def found() -> list[str]:
        events = inside.get("events", f"--field-selector=involvedObject.name={name},reason={reason}")
        return [str(each["message"]) for each in events]

    (message,) = eventually(found)
    return message


def names_nobody(view: View) -> None:
    """Sees that no text inside has a name of the host's."""
    text = json.dumps([*view.inside.get("events"), *view.inside.get("pods")])
    assert view.workloads.namespace not in text
    assert re.findall(r"\b[a-z-]+-default-[a-z2-7]{16}\b", text) == []


def on_host(view: View) -> dict[str, set[str]]:
    """Names inside of what has a copy on the host, by resource."""
    return {kind: set(view.copies(kind, "default")) for kind in KINDS}


def quota(amount: str) -> Object:
    """A quota of the host's for local disk, which no pod uses that does not ask for it."""
    spec = {"hard": {"requests.ephemeral-storage": amount}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "disk"}, "spec": spec}


def limit_range(most: str) -> Object:
    """A LimitRange of the host's for memory."""
    limit = {
        "type": "Container",
        "max": {"memory": most},
        "default": {"memory": "64Mi"},
        "defaultRequest": {"memory": "16Mi"},
    }
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "sizes"},
        "spec": {"limits": [limit]},
    }


REFUSED_BY_THE_HOST: dict[str, tuple[Object, str]] = {
    "greedy": (
        {"resources": {"requests": {"ephemeral-storage": "20Mi"}}},
        'pods "greedy" is forbidden: exceeded quota: disk, requested: requests.ephemeral-storage=20Mi, used: '
        "requests.ephemeral-storage=0, limited: requests.ephemeral-storage=10Mi",
    ),
    "big": (
        {"resources": {"limits": {"memory": "512Mi"}}},
        'pods "big" is forbidden: maximum memory usage per Container is 256Mi, but limit is 512Mi',
    ),
    "admin": (
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
        'pods "admin" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities '
        '(container "main" must not include "NET_ADMIN" in securityContext.capabilities.add)',
    ),
}


def test_what_the_hosts_admission_refuses_is_told_and_runs_once_the_host_takes_it(
    make_cluster: MakeCluster,
) -> None:
    view = make_cluster(pods={"capabilities": [*BASELINE_CAPABILITIES, "NET_ADMIN"]})
    inside, workloads = view.inside, view.workloads
    workloads.apply(quota("10Mi"), limit_range("256Mi"))
    pods = [
        pod(name, container(envFrom=HOLDS, **asked), automountServiceAccountToken=True)
        for name, (asked, _) in REFUSED_BY_THE_HOST.items()
    ]

    def refused() -> bool:
        # Quotas and limit ranges hold from a moment after they are made; a quota refuses all with other words
        # until its usage is known.
        for each in pods:
            answer = workloads.dry_run(each)
            _, message = REFUSED_BY_THE_HOST[each["metadata"]["name"]]
            assert message in answer.stderr.decode(), answer
        return True

    eventually(refused)
    inside.apply(secret("keys", {"a": "1"}), *pods)
    for name, (_, message) in REFUSED_BY_THE_HOST.items():
        assert told(inside, name, "HostPodFailedCreate") == message

    def said(name: str) -> bool:
        status = inside.get("pod", name)["status"]
        assert (status["phase"], status.get("reason")) == ("Pending", "HostPodFailedCreate")
        scheduled = next(each for each in status["conditions"] if each["type"] == "PodScheduled")
        assert scheduled["status"] == "False"
        assert {status["message"], scheduled["message"]} == {REFUSED_BY_THE_HOST[name][1]}
        return True

    for name in REFUSED_BY_THE_HOST:
        eventually(lambda name=name: said(name))
    eventually(lambda: on_host(view) == NOTHING)
    names_nobody(view)

    workloads.apply(quota("100Mi"), limit_range("1Gi"))
    level = "pod-security.kubernetes.io/enforce=privileged"
    workloads("label", "namespace", workloads.namespace, level, "--overwrite")
    running(inside, "app in (greedy,big,admin)", 3, timeout=WITHIN)
    for name, (_, message) in REFUSED_BY_THE_HOST.items():
        assert (
            told(inside, name, "HostPodFailedCreate") == message
        )  # the only one, however often it was tried
        condition = next(
            each for each in inside.get("pod", name)["status"]["conditions"] if each["type"] == "PodScheduled"
        )
        assert condition["status"] == "True"
    names_nobody(view)


def front(name: str, host: str) -> Object:
    """An Ingress for a host, before the Service `web`."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"rules": [rule]},
    }


def service(name: str, kind: str) -> Object:
    """A Service of some type."""
    spec = {"type": kind, "selector": {"app": name}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def allowing(hosts: list[str], types: list[str]) -> Object:
    """The part `sync` of a policy that exposes this."""
    return {"to_host": {"services": {"types": types}, "ingresses": {"enabled": True, "hosts": hosts}}}


def test_what_the_policy_does_not_give_is_told_and_runs_once_it_does(
    host: Host, make_cluster: MakeCluster, distribution: str, priority: str
) -> None:
    view = make_cluster(
        pods={
            "image_registries": ["docker.io/library/"],
            "volume_types": ["configMap", "secret", "projected"],
            "required": {"priority_class": priority},
        },
        sync=allowing(["*.team.example.com"], ["ClusterIP"]),
    )
    inside = view.inside
    scratch = [{"name": "scratch", "emptyDir": {}}]
    foreign = container(["/agnhost", "pause"], image=AGNHOST, envFrom=HOLDS)
    urgent = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "urgent"},
        "value": 1000,
    }
    inside.apply(urgent, secret("keys", {"a": "1"}))

    def made() -> bool:  # admission knows a PriorityClass from a moment after it is made
        inside.apply(
            pod("foreign", foreign),
            pod("scratch", container(envFrom=HOLDS), volumes=scratch),
            pod("urgent", container(envFrom=HOLDS), priorityClassName="urgent"),
            front("front", "shop.example.com"),
        )
        return True

    eventually(made)
    refused = {
        ("foreign", "HostPodRefused"): (
            f"spec.containers[0].image: '{AGNHOST}' is of registry.k8s.io/e2e-test-images/agnhost, which is "
            "not allowed in this cluster; allowed by pods.imageRegistries of the cluster's policy: "
            "docker.io/library/"
        ),
        ("scratch", "HostPodRefused"): (
            "spec.volumes[0].emptyDir: volumes of the type emptyDir are not allowed in this cluster; allowed "
            "by pods.volumeTypes of the cluster's policy: configMap, secret, projected"
        ),
        ("urgent", "HostPodRefused"): (
            'spec.priorityClassName: "urgent" contradicts the cluster\'s policy; '
            f'pods.required.priorityClass of the cluster\'s policy is "{priority}": leave it out or say the '
            "same"
        ),
        ("front", "HostCopyRefused"): (
            "spec.rules[0].host: host 'shop.example.com' is not one that this cluster may answer for; "
            "the policy's sync.toHost.ingresses.hosts allows *.team.example.com"
        ),
    }
    for (name, reason), message in refused.items():
        assert told(inside, name, reason) == message
    await_admission(inside)
    with pytest.raises(KubectlError) as denied:
        inside.create(service("web", "NodePort"))
    assert "spec.type: Services of type NodePort are not given to this cluster; " in str(denied.value)
    assert "sync.toHost.services.types allows: ClusterIP, ExternalName" in str(denied.value)
    assert view.workloads.namespace not in str(denied.value)
    eventually(lambda: on_host(view) == NOTHING)
    inside.apply(pod("fine"))
    running(inside, "app=fine", 1)
    copies = view.host_pods(namespace="default")
    assert copies["fine"]["spec"]["priorityClassName"] == priority
    assert set(copies) == {"fine"}
    names_nobody(view)

    direct.apply(
        view.name,
        namespace=view.workloads.namespace,
        kubeconfig=host.kubeconfig,
        **variant(distribution),
        persistence={"type": "ephemeral"},
        pods={"image_registries": ["docker.io/library/", "registry.k8s.io/e2e-test-images"]},
        sync=allowing(["*.team.example.com", "shop.example.com"], ["ClusterIP", "NodePort"]),
    )
    # A node looks at mounted ConfigMaps each minute, and when a pod that has them changes.
    view.control_plane("annotate", "pod", "-l", f"{PREFIX}component=kubelet", "example.com/looked=now")
    running(inside, "app in (foreign,scratch,urgent)", 3, timeout=WITHIN)
    for (name, reason), message in refused.items():
        assert told(inside, name, reason) == message
    assert "has no effect on the host" in told(inside, "urgent", "FieldDropped")
    assert view.host_pods(namespace="default")["urgent"]["spec"]["priority"] == 0
    inside.create(service("web", "NodePort"))
    eventually(lambda: on_host(view)["ingresses"] == {"front"})
    names_nobody(view)
