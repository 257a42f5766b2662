"""Two virtual clusters in one host namespace: strangers with the same names for everything."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import MakeCluster
from tests.e2e.devcluster.network_probes import PYTHON
from tests.e2e.support.clusters import View, identity, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import KUBELET, claim, config_map, container, deployment, pod, secret, shell
from tests.e2e.support.polling import eventually
from tests.e2e.support.web import PORT, answers, service

# Answers with what the ConfigMap and the Secret of its cluster say.
SERVE = f"""
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
class Says(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = (os.environ["CLUSTER"] + ":" + os.environ["PASSWORD"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
http.server.HTTPServer(("", {PORT}), Says).serve_forever()
"""


def fill(view: View, word: str) -> None:
    """The same objects in each cluster; only a value differs."""
    environment = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}]
    writes = shell(
        f"echo {word} >> /data/words; exec sleep 1d", volumeMounts=[{"name": "v", "mountPath": "/data"}]
    )
    ports = [{"name": "http", "containerPort": PORT}]
    source = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    view.inside.apply(
        config_map("settings", {"CLUSTER": word}),
        secret("login", {"PASSWORD": f"of-{word}"}),
        claim("data"),
        service("web"),
        deployment(
            "web", 2, container((PYTHON, "-c", SERVE), image=KUBELET, ports=ports, envFrom=environment)
        ),
        pod("db", writes, volumes=source),
    )


def words(view: View) -> set[str]:
    """What the pods of a cluster get from the Service `web`, by its name."""
    pods = [each["metadata"]["name"] for each in running(view.inside, "app=web", 2)]
    return {said for pod in pods for said in eventually(lambda pod=pod: answers(view.inside, pod, "web"))}  # type: ignore[misc]


def twin(view: View) -> Any:
    """The host's Service that stands for `web`; both have the same address."""
    found = view.copies("services", "default")["web"]
    assert found["spec"]["clusterIP"] == view.inside.get("service", "web")["spec"]["clusterIP"]
    return found


def host_names(view: View) -> set[str]:
    """What the host calls a cluster's pods."""
    return {each["metadata"]["name"] for each in view.host_pods(namespace="default").values()}


def written(view: View) -> str:
    """What stands on the volume of a cluster's claim."""
    running(view.inside, "app=db", 1)
    return eventually(lambda: view.inside.exec("db", ["cat", "/data/words"]).stdout.decode())


def test_two_clusters_in_one_namespace(make_cluster: MakeCluster, namespace: Kubectl) -> None:
    where = {"namespace": namespace.namespace, "create_namespace": False}
    one, two = make_cluster("one", **where), make_cluster("two", **where)
    fill(one, "one")
    fill(two, "two")
    assert words(one) == {"one:of-one"}
    assert words(two) == {"two:of-two"}
    assert (written(one), written(two)) == ("one\n", "two\n")
    assert not host_names(one) & host_names(two)
    before_twin = twin(two)
    assert twin(one)["spec"]["clusterIP"] != before_twin["spec"]["clusterIP"]

    before = {name: identity(pod) for name, pod in two.host_pods(namespace="default").items()}
    one.inside("delete", "service/web", "deployment/web", "configmap/settings", "secret/login")
    eventually(lambda: set(one.host_pods(namespace="default")) == {"db"})
    one.destroy()
    # The volume's protection takes a moment after the last pod's end.
    kinds = "all,configmaps,secrets,persistentvolumeclaims"
    eventually(lambda: not namespace.get(kinds, "-l", "k3k-pulumi.io/cluster=one"))
    assert words(two) == {"two:of-two"}
    assert written(two) == "two\n"
    assert twin(two)["metadata"]["uid"] == before_twin["metadata"]["uid"]
    assert {name: identity(pod) for name, pod in two.host_pods(namespace="default").items()} == before
