"""After destroy the host is what it was before: every kind of object, every namespace, counted."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.support.clusters import View, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import claim, config_map, container, deployment, job, pod, secret, shell
from tests.e2e.support.polling import eventually


def kinds(kubectl: Kubectl, *, namespaced: bool | None = None) -> str:
    """All kinds of the host that can be listed, as one argument for kubectl get."""
    only = [] if namespaced is None else [f"--namespaced={str(namespaced).lower()}"]
    # While one of the host's API extensions does not answer, the list is not whole.
    names = eventually(lambda: kubectl("api-resources", "--verbs=list", "-o", "name", *only)).split()
    return ",".join(sorted(set(names) - {"componentstatuses"}))


def use(view: View) -> None:
    """A bit of everything that leaves something on the host."""
    environment = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}]
    view.inside.apply(
        config_map("settings", {"a": "1"}),
        secret("login", {"b": "2"}),
        deployment("web", 2, container(envFrom=environment), automountServiceAccountToken=True),
        claim("data"),
        pod(
            "db",
            container(volumeMounts=[{"name": "v", "mountPath": "/data"}]),
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
        ),
        job("done", shell("true")),
        pod("refused", hostNetwork=True),
    )
    running(view.inside, "app=web", 2)
    running(view.inside, "app=db", 1)
    view.inside("wait", "job/done", "--for=condition=Complete", "--timeout=240s")


def test_nothing_is_left_of_namespaces_made_for_it(host: Host, make_cluster: MakeCluster) -> None:
    view = make_cluster(persistence={"type": "dynamic"})
    use(view)
    # The workload namespace's name, unlike any other, is in each object's name, namespace, owner or subject.
    name = view.workloads.namespace
    listed = kinds(host.kubectl)

    def traces() -> set[str]:
        return {_title(item) for item in host.kubectl.get(listed, "-A") if name in json.dumps(item)}

    kinds_seen = {trace.split()[0] for trace in eventually(traces)}
    assert {"Namespace", "Pod", "Secret", "StatefulSet", "PersistentVolume", "NetworkPolicy"} <= kinds_seen
    view.destroy()
    # The volume's own controllers take a moment for the last of them.
    eventually(lambda: not (left := traces()) or _fail(left))


def test_a_namespace_that_was_there_is_as_before(make_cluster: MakeCluster, namespace: Kubectl) -> None:
    namespace.apply(config_map("theirs", {"a": "1"}), secret("theirs", {"b": "2"}), pod("theirs"))
    running(namespace, "app=theirs", 1)
    namespace("label", "namespace", namespace.namespace, "team=them")
    eventually(lambda: namespace("get", "configmap", "kube-root-ca.crt"))  # the host's own
    listed = kinds(namespace, namespaced=True)

    def contents() -> dict[str, Any]:
        items = [*namespace.get(listed), namespace.get("namespace", namespace.namespace)]
        return {_title(item): _lasting(item) for item in items if item["kind"] not in ("Event", "PodMetrics")}

    before = eventually(contents)
    view = make_cluster(namespace=namespace.namespace, create_namespace=False)
    use(view)
    assert len(eventually(contents)) > len(before)
    view.destroy()

    def is_as_before() -> bool:
        assert contents() == before
        return True

    eventually(is_as_before)  # the host's own controllers take away what they made of our Services


def _title(item: Any) -> str:
    metadata = item["metadata"]
    return f"{item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def _lasting(item: Any) -> Any:
    """The object without what its status and every write change."""
    metadata = {key: item["metadata"].get(key) for key in ("uid", "labels", "annotations", "ownerReferences")}
    rest = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    return {**rest, "metadata": metadata}


def _fail(left: set[str]) -> None:
    raise AssertionError(f"left behind: {sorted(left)}")
