"""Jobs: the virtual cluster's own controllers see pods end as they truly end."""

from __future__ import annotations

from tests.e2e.support.clusters import View, both
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import job, shell
from tests.e2e.support.polling import eventually


@both
def test_job_completes(cluster: View, inside: Kubectl) -> None:
    inside.apply(job("work", shell("echo done by $HOSTNAME"), spec={"completions": 3, "parallelism": 2}))
    inside("wait", "job/work", "--for=condition=Complete", "--timeout=300s")
    assert inside.get("job", "work")["status"]["succeeded"] == 3
    pods = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in inside.get("pods")}
    assert list(pods.values()) == ["Succeeded"] * 3
    for name in pods:
        assert inside("logs", name) == f"done by {name}\n"

    inside("delete", "job", "work")
    eventually(lambda: not cluster.host_pods(namespace=inside.namespace))


def test_indexed_job(inside: Kubectl) -> None:
    """The index reaches the containers through an annotation of the pod and the downward API."""
    spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
    inside.apply(job("work", shell("echo $JOB_COMPLETION_INDEX"), spec=spec))
    inside("wait", "job/work", "--for=condition=Complete", "--timeout=300s")
    assert inside.get("job", "work")["status"]["completedIndexes"] == "0,1"
    assert {inside("logs", pod["metadata"]["name"]) for pod in inside.get("pods")} == {"0\n", "1\n"}


def test_job_fails_after_its_back_off(inside: Kubectl) -> None:
    inside.apply(job("doomed", shell("echo trying; exit 3"), spec={"backoffLimit": 2}))
    inside("wait", "job/doomed", "--for=condition=Failed", "--timeout=300s")
    conditions = {entry["type"]: entry for entry in inside.get("job", "doomed")["status"]["conditions"]}
    assert conditions["Failed"]["reason"] == "BackoffLimitExceeded"
    pods = sorted(inside.get("pods"), key=lambda pod: pod["metadata"]["creationTimestamp"])
    assert len(pods) == 3  # the first and two more
    for pod in pods:
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (pod["status"]["phase"], ended["exitCode"], ended["reason"]) == ("Failed", 3, "Error")
        assert inside("logs", pod["metadata"]["name"]) == "trying\n"


def test_container_restarts_show_inside(inside: Kubectl) -> None:
    """restartPolicy OnFailure: restarts happen on the host, counts and last states are seen inside."""
    state = {"name": "state", "mountPath": "/state"}
    script = "echo x >> /state/runs; test $(wc -l < /state/runs) -ge 3"
    made = job("stubborn", shell(script, volumeMounts=[state]), volumes=[{"name": "state", "emptyDir": {}}])
    made["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    inside.apply(made)
    inside("wait", "job/stubborn", "--for=condition=Complete", "--timeout=300s")
    (pod,) = inside.get("pods")
    (status,) = pod["status"]["containerStatuses"]
    assert status["restartCount"] == 2
    assert status["state"]["terminated"]["exitCode"] == 0
