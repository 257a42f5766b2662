"""What baseline allows, and what the policy adds to pods that say nothing."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

HARMLESS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "security context of a container",
        {},
        {
            "securityContext": {
                "allowPrivilegeEscalation": True,
                "capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["ALL"]},
                "privileged": False,
                "procMount": "Default",
                "readOnlyRootFilesystem": True,
                "runAsGroup": 0,
                "runAsNonRoot": False,
                "runAsUser": 0,
                "seLinuxOptions": {"type": "container_init_t"},
                "seccompProfile": {"type": "RuntimeDefault"},
                "appArmorProfile": {"type": "RuntimeDefault"},
            }
        },
    ),
    (
        "security context of a pod",
        {
            "securityContext": {
                "fsGroup": 7,
                "fsGroupChangePolicy": "OnRootMismatch",
                "runAsGroup": 1,
                "runAsNonRoot": True,
                "runAsUser": 1,
                "seLinuxChangePolicy": "Recursive",
                "supplementalGroups": [1, 2],
                "supplementalGroupsPolicy": "Strict",
                "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        },
        {},
    ),
    (
        "probes of the pod itself",
        {},
        {
            "livenessProbe": {
                "httpGet": {
                    "path": "/",
                    "port": "http",
                    "scheme": "HTTPS",
                    "host": "",
                    "httpHeaders": [{"name": "Host", "value": "169.254.169.254"}],
                },
                "initialDelaySeconds": 1,
                "periodSeconds": 1,
                "timeoutSeconds": 1,
                "successThreshold": 1,
                "failureThreshold": 1,
                "terminationGracePeriodSeconds": 1,
            },
            "readinessProbe": {"grpc": {"port": 1, "service": "a"}},
            "startupProbe": {"exec": {"command": ["true"]}},
            "lifecycle": {
                "postStart": {"tcpSocket": {"port": 1}},
                "preStop": {"sleep": {"seconds": 1}},
                "stopSignal": "SIGUSR1",
            },
        },
    ),
    (
        "mounts",
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {
            "volumeMounts": [
                {
                    "name": "v",
                    "mountPath": "/v",
                    "mountPropagation": "HostToContainer",
                    "readOnly": True,
                    "recursiveReadOnly": "IfPossible",
                    "subPathExpr": "$(A)",
                },
                {"name": "v", "mountPath": "/w", "subPath": "a/b"},
            ],
            "volumeDevices": [{"name": "w", "devicePath": "/dev/x"}],
        },
    ),
    (
        "everything else of a container",
        {},
        {
            "args": ["a"],
            "command": ["b"],
            "imagePullPolicy": "Never",
            "ports": [{"name": "http", "containerPort": 80, "protocol": "UDP"}],
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
            "resources": {"limits": {"example.com/gpu": "1", "cpu": "1.5"}, "requests": {"memory": 1024}},
            "restartPolicy": "Always",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
            "stdin": True,
            "stdinOnce": True,
            "terminationMessagePath": "/dev/x",
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "tty": True,
            "workingDir": "/",
        },
    ),
]


@pytest.mark.parametrize(
    ("spec", "container"), [case[1:] for case in HARMLESS], ids=[case[0] for case in HARMLESS]
)
def test_what_baseline_allows_is_copied(spec: dict[str, Any], container: dict[str, Any]) -> None:
    plain = host_spec(pod())
    found = host_spec(pod(spec, container))
    assert found["containers"] == [plain["containers"][0] | container]
    assert found == plain | spec | {"containers": found["containers"]}


def test_a_host_port_of_zero_is_none() -> None:
    found = host_spec(pod(container={"ports": [{"containerPort": 80, "hostPort": 0}]}))
    assert found["containers"][0]["ports"] == [{"containerPort": 80}]


@pytest.mark.parametrize(
    ("policy", "own", "on_host"),
    [
        ("RuntimeDefault", {}, {"runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}}),
        ("", {}, {"runAsUser": 7}),
        (
            "RuntimeDefault",
            {"seccompProfile": {"type": "Unconfined"}},
            {"runAsUser": 7, "seccompProfile": {"type": "Unconfined"}},
        ),
    ],
)
def test_the_seccomp_profile_of_pods_that_set_none(
    policy: str, own: dict[str, Any], on_host: dict[str, Any]
) -> None:
    chosen = allowing(defaultSeccompProfile=policy, seccompProfiles=["Unconfined"])
    assert host_spec(pod({"securityContext": {"runAsUser": 7, **own}}), chosen)["securityContext"] == on_host


@pytest.mark.parametrize("name", ["windows", "", "Linux"])
def test_another_operating_system_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=r"^spec\.os\.name: "):
        to_host(pod({"os": {"name": name}}))


def test_images_are_always_pulled_if_the_policy_says_so() -> None:
    spec = {
        "initContainers": [{"name": "i", "imagePullPolicy": "Never"}],
        "volumes": [{"name": "v", "image": {"reference": "x", "pullPolicy": "IfNotPresent"}}],
    }
    found = host_spec(
        pod(spec, {"imagePullPolicy": "IfNotPresent"}), allowing(alwaysPullImages=True, volumeTypes=["image"])
    )
    assert [found[kind][0]["imagePullPolicy"] for kind in ("initContainers", "containers")] == ["Always"] * 2
    assert found["volumes"][0]["image"]["pullPolicy"] == "Always"
