"""ConfigMaps and Secrets in pods: values, live updates, and no more of them on the host than needed."""

from __future__ import annotations

import base64
from typing import Any

from tests.e2e.support.clusters import PREFIX, View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.objects import config_map, container, pod, secret
from tests.e2e.support.polling import eventually

# The host's kubelet changes a volume when it next syncs the pod, which it does about every minute.
LIVE_TIMEOUT = 300.0
BINARY = bytes(range(256))


def reader(name: str) -> dict[str, Any]:
    """A pod with a ConfigMap and a Secret in every way a container can have them."""
    key = {"name": "settings", "key": "color"}
    return pod(
        name,
        container(
            env=[
                {"name": "COLOR", "valueFrom": {"configMapKeyRef": key}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
                {"name": "NONE", "valueFrom": {"configMapKeyRef": {**key, "key": "none", "optional": True}}},
            ],
            envFrom=[
                {"prefix": "ALL_", "configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "login"}},
                {"secretRef": {"name": "nowhere", "optional": True}},
            ],
            volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in ("settings", "login", "both")],
        ),
        volumes=[
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}},
            {
                "name": "both",
                "projected": {
                    "sources": [
                        {
                            "configMap": {
                                "name": "settings",
                                "items": [{"key": "color", "path": "deep/color"}],
                            }
                        },
                        {"secret": {"name": "login"}},
                        {
                            "downwardAPI": {
                                "items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]
                            }
                        },
                    ]
                },
            },
        ],
    )


@both
def test_values_and_live_update(inside: Kubectl) -> None:
    binary = {"binaryData": {"blob": base64.b64encode(BINARY).decode()}}
    inside.apply(
        config_map("settings", {"color": "blue\nand green"}, **binary),
        secret("login", {"user": "ann", "password": "s3cret"}),
        reader("reader"),
    )
    running(inside, "app=reader", 1)

    def read(*command: str) -> bytes:
        result = inside.exec("reader", list(command))
        assert result.returncode == 0, result.stderr
        return result.stdout

    shown = "\n".join(f'echo "${name}"' for name in NAMES)
    assert read("sh", "-c", shown).decode().splitlines() == [
        "blue", "and green", "s3cret", "", "blue", "and green", "ann", "s3cret",
    ]  # fmt: skip
    assert read("cat", "/settings/blob") == BINARY
    assert read("cat", "/login/user") == b"ann"
    assert read("stat", "-L", "-c", "%a", "/login/user") == b"400\n"
    assert read("cat", "/both/deep/color", "/both/password", "/both/name") == b"blue\nand greens3cretreader"

    inside.apply(config_map("settings", {"color": "red"}, **binary), secret("login", {"password": "other"}))
    eventually(lambda: read("cat", "/settings/color") == b"red", LIVE_TIMEOUT)
    eventually(lambda: read("cat", "/login/password", "/both/password") == b"otherother", LIVE_TIMEOUT)
    # The environment stays as the container started with it; a key that is gone is gone from the volume.
    assert read("sh", "-c", 'echo "$PASSWORD"') == b"s3cret\n"
    eventually(lambda: inside.exec("reader", ["test", "-e", "/login/user"]).returncode == 1, LIVE_TIMEOUT)


NAMES = ("COLOR", "PASSWORD", "NONE", "ALL_color", "user", "password")


def test_only_what_pods_use_is_on_the_host(cluster: View, inside: Kubectl) -> None:
    selector = f"{PREFIX}cluster={cluster.name},{PREFIX}namespace={inside.namespace}"

    def copies(kind: str) -> set[str]:
        found = cluster.workloads.get(kind, "-l", selector)
        return {item["metadata"]["annotations"].get(f"{PREFIX}name", "") for item in found}

    inside.apply(
        config_map("used", {"a": "1"}),
        config_map("unused", {"a": "1"}),
        secret("unused", {"a": "1"}),
        pod("user", container(envFrom=[{"configMapRef": {"name": "used"}}])),
    )
    running(inside, "app=user", 1)
    assert copies("configmaps") == {"used", ":service-links"}  # the latter: see docs/shared-mode.md
    assert copies("secrets") == set()
    assert set(cluster.host_pods(namespace=inside.namespace)) == {"user"}

    inside("delete", "pod", "user")
    eventually(lambda: not copies("configmaps"))


def test_pod_waits_for_its_config(inside: Kubectl) -> None:
    inside.apply(pod("early", container(envFrom=[{"configMapRef": {"name": "late"}}])))

    def waiting() -> list[str]:
        statuses = inside.get("pod", "early")["status"].get("containerStatuses", [])
        return [status["state"].get("waiting", {}).get("reason", "") for status in statuses]

    eventually(lambda: waiting() == ["CreateContainerConfigError"])
    inside.apply(config_map("late", {"WORD": "here"}))
    running(inside, "app=early", 1)
    assert inside.exec("early", ["sh", "-c", "echo $WORD"]).stdout == b"here\n"
