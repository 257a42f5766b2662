"""A cluster with an admission policy: what its pods may not be, the host's API server refuses itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from k3k_pulumi import direct
from tests.e2e.conftest import Host, MakeCluster, unique
from tests.e2e.support.clusters import PREFIX, View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.polling import eventually
from tests.e2e.support.raw import Raw, RawError

KINDS = "validatingadmissionpolicies,validatingadmissionpolicybindings"
APP = {"app": "web"}


def deployment() -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "docker.io/library/busybox:1.36",
        "command": ["sleep", "1d"],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": APP},
            "template": {
                "metadata": {"labels": APP},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }


def test_a_kubelets_life_passes_and_what_it_would_never_write_is_refused(
    host: Host, make_cluster: MakeCluster
) -> None:
    view = make_cluster("held", admission_policy=True)
    name = f"{view.name}.{view.control_plane.namespace}.k3k-pulumi.io"
    inside = view.inside
    inside.apply(deployment())
    (pod,) = running(inside, "app=web", 1)
    web = pod["metadata"]["name"]
    in_its_life(view, web)
    copy = view.host_pods(namespace="default")[web]

    as_kubelet = Raw(host.kubeconfig)
    user = f"system:serviceaccount:{view.control_plane.namespace}:{view.name}-kubelet"

    def refused(change: Callable[[dict[str, Any]], None], said: str) -> None:
        """Waits until the host refuses a copy of the pod with that change, in these words."""
        kept = ("labels", "annotations", "ownerReferences", "namespace")
        metadata = {key: deepcopy(copy["metadata"][key]) for key in kept}
        spec = deepcopy(copy["spec"])
        tried = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": "forged"}, "spec": spec}
        for key in ("nodeName", "ephemeralContainers", "priority", "preemptionPolicy"):
            spec.pop(key, None)
        change(tried)
        path = f"/api/v1/namespaces/{view.workloads.namespace}/pods?dryRun=All"

        def answer() -> str:
            try:
                as_kubelet("POST", path, tried, impersonate_user=user)
            except RawError as error:
                return f"{error.code}: {error.status.get('message')}"
            return "taken"

        def is_refused() -> bool:  # the API server learns of policies by a watch
            answered = answer()
            assert answered.startswith("403: "), answered
            assert said in answered, answered
            return True

        eventually(is_refused)

    denied = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: "
    # Beyond Pod Security's baseline, which would be the first to say no.
    refused(
        lambda tried: tried["spec"].update(priorityClassName="system-node-critical"),
        f"{denied}spec.priorityClassName: pods.priorityClasses allows none",
    )
    refused(
        lambda tried: tried["spec"].update(serviceAccountName="default"),
        f"{denied}spec.serviceAccountName: ",
    )
    refused(
        lambda tried: tried["metadata"]["labels"].update({f"{PREFIX}cluster": "other"}),
        f'{denied}metadata.labels["{PREFIX}cluster"]: ',
    )

    assert name in view.workloads("get", KINDS, "-o", "name")
    view.destroy()
    left = view.workloads("get", KINDS, "-o", "name")
    assert name not in left


def in_its_life(view: View, web: str) -> None:
    """What happens to a pod inside reaches the host: labels, a debug container, a resize."""
    inside = view.inside

    def copy() -> Any:
        return view.host_pods(namespace="default")[web]

    inside("label", "pod", web, "tier=front")
    eventually(lambda: copy()["metadata"]["labels"].get("labels.k3k-pulumi.io/tier") == "front")
    inside("debug", web, "--image=docker.io/library/busybox:1.36", "--container=look", "--", "sleep", "1d")
    eventually(lambda: [each["name"] for each in copy()["spec"].get("ephemeralContainers", ())] == ["look"])
    change = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "2m"}}}]}}
    inside("patch", "pod", web, "--subresource=resize", "-p", json.dumps(change))
    requests = {"cpu": "2m", "memory": "8Mi"}
    eventually(lambda: copy()["spec"]["containers"][0]["resources"]["requests"] == requests)
    inside("exec", web, "-c", "main", "--", "true")
    # Nobody was refused on the way.
    warnings = inside.get("events", "--field-selector=type=Warning")
    assert [each["message"] for each in warnings if "ValidatingAdmission" in each["message"]] == []


def test_a_policys_holds_for_every_kubelet_in_its_namespaces_as_long_as_it_is_there(
    host: Host, namespace: Kubectl
) -> None:
    name = unique("p")
    kubelet = "system:serviceaccount:elsewhere:some-kubelet"
    namespace("create", "rolebinding", "kubelet", "--clusterrole=admin", f"--user={kubelet}")

    def answer(user: str) -> str:
        """What the host says to a pod of that user."""
        pod = ("run", "tried", "--image=docker.io/library/busybox:1.36", "--dry-run=server")
        tried = namespace.run(*pod, *((f"--as={user}",) if user else ()))
        return (tried.stdout + tried.stderr).decode()

    eventually(lambda: "created" in answer(kubelet))  # RBAC is read a moment later
    bound = {"namespaces": [namespace.namespace], "admission_policy": True}
    direct.apply_policy(name, kubeconfig=host.kubeconfig, **bound)
    try:
        denied = (
            f"ValidatingAdmissionPolicy '{name}.k3k-pulumi.io' with binding '{name}.k3k-pulumi.io' denied"
        )
        eventually(lambda: denied in answer(kubelet))
        assert "created" in answer("")
    finally:
        direct.delete_policy(name, [namespace.namespace], kubeconfig=host.kubeconfig)
    assert f"{name}.k3k-pulumi.io" not in namespace("get", KINDS, "-o", "name")
    eventually(lambda: "created" in answer(kubelet))
