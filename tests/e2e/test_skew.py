"""A virtual cluster of another minor than the host's."""

from __future__ import annotations

import json

import pytest

from devcluster import golang
from tests import run
from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.support.clusters import View, running
from tests.e2e.support.objects import deployment, shell
from tests.e2e.support.polling import eventually

GATE = "example.com/registered"
SERVES = "trap 'until [ -e /tmp/go ]; do sleep 0.1; done; exit 0' TERM; echo up; while :; do sleep 0.2; done"
GO = ["touch", "/tmp/go"]
GRACE = 45
"""Seconds: until a pod that is deleted goes, so that it is seen on its way out however late one looks."""


@pytest.fixture(params=sorted(golang.SKEWED))
def version(request: pytest.FixtureRequest) -> str:
    """A version of another minor than the host's."""
    found: str = request.param
    return found


@pytest.fixture
def skewed(host: Host, make_cluster: MakeCluster, version: str, request: pytest.FixtureRequest) -> View:
    """A virtual cluster of that version; its control plane is built from the module of its minor."""
    del host  # just has to be there
    config = request.config
    if not config.option.host_kubeconfig:
        run.load_control_plane(config.stash[run.FOLDER], config.option.devcluster, version)
    return make_cluster(version=version)


def test_control_plane_of_another_minor(skewed: View, version: str) -> None:
    """Deployments with readiness gates, rollouts, exec, logs, new images, resizes and graceful deletion."""
    inside = skewed.inside
    assert json.loads(inside("version", "-o", "json"))["serverVersion"]["gitVersion"] == version
    inside.apply(
        deployment(
            "web",
            1,
            shell(SERVES),
            readinessGates=[{"conditionType": GATE}],
            terminationGracePeriodSeconds=GRACE,
        )
    )

    def contained() -> str | None:
        for pod in inside.get("pods", "-l", "app=web"):
            states = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
            if states.get("ContainersReady") == "True" and states.get("Ready") == "False":
                return str(pod["metadata"]["name"])
        return None

    name = eventually(contained)
    assert name
    ready = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
    inside("patch", "pod", name, "--subresource=status", "-p", json.dumps(ready))
    inside("rollout", "status", "deployment/web", "--timeout=120s")
    (before,) = running(inside, "app=web", 1)
    generation = before["metadata"]["generation"]
    if version < "v1.34":
        assert "observedGeneration" not in before["status"], "1.33 counts generations and keeps none"
    else:
        eventually(lambda: inside.get("pod", name)["status"].get("observedGeneration") == generation)
    assert inside("logs", name) == "up\n"
    assert inside.exec(name, ["echo", "hello"]).stdout == b"hello\n"
    assert inside.exec(name, GO).returncode == 0

    resources = {"name": "main", "resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "80m"}}}
    change = json.dumps({"spec": {"template": {"spec": {"containers": [resources]}}}})
    inside("patch", "deployment", "web", "-p", change)
    replaced = eventually(lambda: _other(skewed, name))
    inside("patch", "pod", replaced, "--subresource=status", "-p", json.dumps(ready))
    inside("rollout", "status", "deployment/web", "--timeout=120s")

    resources["resources"] = {"limits": {"cpu": "90m"}}
    inside(
        *("patch", "pod", replaced, "--subresource=resize", "-p"),
        json.dumps({"spec": {"containers": [resources]}}),
    )

    def resized() -> bool:
        (status,) = inside.get("pod", replaced)["status"]["containerStatuses"]
        return bool(status["resources"]["limits"]["cpu"] == "90m" and status["restartCount"] == 0)

    eventually(resized)

    inside("scale", "deployment/web", "--replicas=0")
    copy = eventually(lambda: _being_deleted(skewed, replaced))
    assert copy == GRACE
    inside.exec(replaced, GO)
    eventually(lambda: not inside.get("pods") and not skewed.host_pods(namespace=inside.namespace))


def _other(view: View, name: str) -> str | None:
    """Another pod of the Deployment, once its container runs."""
    for pod in view.inside.get("pods", "-l", "app=web"):
        if pod["metadata"]["name"] != name and pod["status"].get("phase") == "Running":
            return str(pod["metadata"]["name"])
    return None


def _being_deleted(view: View, name: str) -> int | None:
    """Grace period with which the copy of a pod is being deleted."""
    copies = view.host_pods(namespace=view.inside.namespace)
    grace: int | None = copies[name]["metadata"].get("deletionGracePeriodSeconds")
    return grace
