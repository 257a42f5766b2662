"""Two virtual clusters in one host namespace: strangers with the same names for everything."""

from __future__ import annotations

from tests.e2e.conftest import MakeCluster
from tests.e2e.support.clusters import View, identity, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import config_map, container, deployment, secret
from tests.e2e.support.polling import eventually


def fill(view: View, word: str) -> None:
    """The same objects in each cluster; only a value differs."""
    environment = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}]
    view.inside.apply(
        config_map("settings", {"CLUSTER": word}),
        secret("login", {"PASSWORD": f"of {word}"}),
        deployment("web", 2, container(envFrom=environment)),
    )


def words(view: View) -> set[str]:
    """What the pods of a cluster got to see."""
    seen = set()
    for pod in running(view.inside, "app=web", 2):
        result = view.inside.exec(pod["metadata"]["name"], ["sh", "-c", 'echo "$CLUSTER, $PASSWORD"'])
        seen.add(result.stdout.decode().strip())
    return seen


def test_two_clusters_in_one_namespace(make_cluster: MakeCluster, namespace: Kubectl) -> None:
    where = {"namespace": namespace.namespace, "create_namespace": False}
    one, two = make_cluster("one", **where), make_cluster("two", **where)
    fill(one, "one")
    fill(two, "two")
    assert words(one) == {"one, of one"}
    assert words(two) == {"two, of two"}
    assert not set(one.host_pods(namespace="default")) & set(two.host_pods(namespace="default"))

    before = {name: identity(pod) for name, pod in two.host_pods(namespace="default").items()}
    one.inside("delete", "deployment/web", "configmap/settings", "secret/login")
    eventually(lambda: not one.host_pods(namespace="default"))
    one.destroy()
    assert not namespace.get("all,configmaps,secrets", "-l", "k3k-pulumi.io/cluster=one")
    assert words(two) == {"two, of two"}
    assert {name: identity(pod) for name, pod in two.host_pods(namespace="default").items()} == before
