"""What containers find in their environment and in downward volumes: what a node would give them."""

from __future__ import annotations

from typing import Any

from tests.e2e.support.clusters import PREFIX, View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import config_map, container, pod
from tests.e2e.support.polling import eventually
from tests.e2e.support.web import known

LIVE_TIMEOUT = 300.0  # the host's kubelet changes a volume when it next syncs the pod


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "pg", "port": 5432}]
    whole = {"selector": {"app": name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": whole}


def environment(inside: Kubectl, name: str, of: str = "main") -> dict[str, str]:
    """A container's environment."""
    result = inside.exec(name, ["env"], container=of)
    assert result.returncode == 0, result.stderr
    return dict(line.split("=", 1) for line in result.stdout.decode().splitlines())


@both
def test_service_variables_are_there_and_give_way_to_the_containers_own(
    cluster: View, inside: Kubectl
) -> None:
    inside.apply(
        service("my-db"),
        service("headless", clusterIP="None"),
        config_map("own", {"MY_DB_SERVICE_PORT": "from-config", "KUBERNETES_PORT": "from-config"}),
    )
    env = [
        {"name": "MY_DB_SERVICE_HOST", "value": "from-env"},
        {"name": "FOUND", "value": "$(MY_DB_PORT_5432_TCP_PORT) $(MY_DB_SERVICE_PORT) $(NOT_THERE)"},
    ]
    known(cluster, inside, "my-db")  # a pod gets the variables of those that the virtual kubelet knows
    main = container(envFrom=[{"configMapRef": {"name": "own"}}], env=env)
    plain = container(name="plain")
    inside.apply(pod("app", main, plain), pod("unlinked", enableServiceLinks=False))
    running(inside, "app in (app,unlinked)", 2)
    address = inside.get("service", "my-db")["spec"]["clusterIP"]
    of_main, of_plain = environment(inside, "app"), environment(inside, "app", "plain")
    unlinked = environment(inside, "unlinked")

    assert of_plain["MY_DB_SERVICE_HOST"] == address
    assert of_plain["MY_DB_SERVICE_PORT"] == of_plain["MY_DB_SERVICE_PORT_PG"] == "5432"
    assert of_plain["MY_DB_PORT"] == f"tcp://{address}:5432"
    assert of_main["MY_DB_SERVICE_HOST"] == "from-env"
    assert of_main["MY_DB_SERVICE_PORT"] == of_main["KUBERNETES_PORT"] == "from-config"
    assert of_main["FOUND"] == "5432 from-config $(NOT_THERE)"
    assert not [name for name in (*of_main, *of_plain) if name.startswith("HEADLESS")]
    assert not [name for name in unlinked if name.startswith("MY_DB")]
    api = cluster.control_plane.get("service", f"{cluster.name}-api")["spec"]["clusterIP"]
    assert {each["KUBERNETES_SERVICE_HOST"] for each in (of_main, of_plain, unlinked)} == {api}

    inside.apply(service("later"))
    selector = f"{PREFIX}cluster={cluster.name},{PREFIX}namespace={inside.namespace}"

    def told() -> bool:
        copies = cluster.workloads.get("configmaps", "-l", selector)
        return any("LATER_SERVICE_HOST" in copy.get("data", {}) for copy in copies)

    eventually(told)

    def restarted() -> bool:
        found = environment(inside, "app", "plain")
        if "LATER_SERVICE_HOST" in found:
            return found["MY_DB_SERVICE_HOST"] == address
        # Once is not always enough: the host's kubelet reads the copy a moment after it was changed.
        inside.exec("app", ["kill", "1"], container="plain")
        return False

    eventually(restarted)
    inside("delete", "pod", "app", "unlinked", "--wait=false")
    eventually(lambda: not cluster.workloads.get("configmaps", "-l", selector))


FIELDS = {
    "NAME": "metadata.name",
    "NAMESPACE": "metadata.namespace",
    "UID_INSIDE": "metadata.uid",
    "LABEL": "metadata.labels['app']",
    "ANNOTATION": "metadata.annotations['example.com/note']",
    "NODE": "spec.nodeName",
    "ACCOUNT": "spec.serviceAccountName",
    "HOST_IP": "status.hostIP",
    "HOST_IPS": "status.hostIPs",
    "POD_IP": "status.podIP",
    "POD_IPS": "status.podIPs",
}
RESOURCES = {
    "CPU_LIMIT": ("limits.cpu", "1m", "250"),
    "CPU_REQUEST": ("requests.cpu", "1m", "50"),
    "MEMORY_LIMIT": ("limits.memory", "1Mi", "64"),
    "MEMORY_REQUEST": ("requests.memory", "1", str(32 << 20)),
    "STORAGE_LIMIT": ("limits.ephemeral-storage", "1Mi", "100"),
    "STORAGE_REQUEST": ("requests.ephemeral-storage", "1Mi", "10"),
}


def reader() -> dict[str, Any]:
    """A pod that reads all that the downward API has."""
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in FIELDS.items()]
    env += [
        {
            "name": name,
            "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}},
        }
        for name, (resource, divisor, _) in RESOURCES.items()
    ]
    items = [
        {"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}}
        for name in ("name", "namespace", "uid", "labels", "annotations")
    ]
    items.append({"path": "one", "fieldRef": {"fieldPath": "metadata.labels['stage']"}})
    limit = {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}
    items.append({"path": "cpu", "resourceFieldRef": limit})
    main = container(
        env=env,
        resources={
            "limits": {"cpu": "250m", "memory": "64Mi", "ephemeral-storage": "100Mi"},
            "requests": {"cpu": "50m", "memory": "32Mi", "ephemeral-storage": "10Mi"},
        },
        volumeMounts=[{"name": "down", "mountPath": "/down"}],
    )
    made = pod("reader", main, volumes=[{"name": "down", "downwardAPI": {"items": items}}])
    made["metadata"]["annotations"] = {"example.com/note": 'say "hi"'}
    made["metadata"]["labels"]["stage"] = "one"
    return made


def test_the_downward_api_tells_what_holds_inside(inside: Kubectl) -> None:
    inside.apply(reader())
    (found,) = running(inside, "app=reader", 1)
    env = environment(inside, "reader")
    metadata, status = found["metadata"], found["status"]
    assert {name: env[name] for name in FIELDS} == {
        "NAME": "reader",
        "NAMESPACE": inside.namespace,
        "UID_INSIDE": metadata["uid"],
        "LABEL": "reader",
        "ANNOTATION": 'say "hi"',
        "NODE": found["spec"]["nodeName"],
        "ACCOUNT": "default",
        "HOST_IP": status["hostIP"],
        "HOST_IPS": ",".join(each["ip"] for each in status["hostIPs"]),
        "POD_IP": status["podIP"],
        "POD_IPS": ",".join(each["ip"] for each in status["podIPs"]),
    }
    assert {name: env[name] for name in RESOURCES} == {name: each[2] for name, each in RESOURCES.items()}

    def file(name: str) -> str:
        return inside.exec("reader", ["cat", f"/down/{name}"]).stdout.decode()

    assert [file(name) for name in ("name", "namespace", "uid", "cpu", "one")] == [
        "reader", inside.namespace, metadata["uid"], "250", "one",
    ]  # fmt: skip
    assert file("labels") == 'app="reader"\nstage="one"'
    assert 'example.com/note="say \\"hi\\""' in file("annotations").splitlines()
    assert PREFIX not in file("annotations")

    inside("label", "pod", "reader", "stage=two", "new=yes", "--overwrite")
    inside("annotate", "pod", "reader", "example.com/note=other", "--overwrite")
    eventually(lambda: file("labels") == 'app="reader"\nnew="yes"\nstage="two"', LIVE_TIMEOUT)
    eventually(lambda: 'example.com/note="other"' in file("annotations").splitlines(), LIVE_TIMEOUT)
    eventually(lambda: file("one") == "two", LIVE_TIMEOUT)
