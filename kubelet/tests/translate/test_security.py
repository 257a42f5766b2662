"""What gives power over a node: baseline refuses it, each key of the policy allows its own thing."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
HOST_PORT = {"containerPort": 80, "hostPort": 80}


def handler(**action: Any) -> dict[str, Any]:
    return {"lifecycle": {"postStart": action}}


Case = tuple[str, dict[str, Any], dict[str, Any], str, dict[str, Any]]
"""(what, more fields of the spec, of the container, path that is refused, policy that allows it)"""

POWERS: list[Case] = [
    ("hostNetwork", {"hostNetwork": True}, {}, "spec.hostNetwork", {"hostNetwork": True}),
    ("hostPID", {"hostPID": True}, {}, "spec.hostPID", {"hostPID": True}),
    ("hostIPC", {"hostIPC": True}, {}, "spec.hostIPC", {"hostIPC": True}),
    (
        "privileged",
        {},
        {"securityContext": {"privileged": True}},
        "spec.containers[0].securityContext.privileged",
        {"privileged": True},
    ),
    (
        "capability",
        {},
        {"securityContext": {"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}}},
        "spec.containers[0].securityContext.capabilities.add[1]",
        {"capabilities": ["CHOWN", "SYS_ADMIN"]},
    ),
    (
        "capability in small letters, which the runtime takes as well",
        {},
        {"securityContext": {"capabilities": {"add": ["sys_admin"]}}},
        "spec.containers[0].securityContext.capabilities.add[0]",
        {"capabilities": ["sys_admin"]},
    ),
    (
        "all capabilities",
        {},
        {"securityContext": {"capabilities": {"add": ["ALL"]}}},
        "spec.containers[0].securityContext.capabilities.add[0]",
        {"capabilities": ["ALL"]},
    ),
    (
        "procMount",
        {},
        {"securityContext": {"procMount": "Unmasked"}},
        "spec.containers[0].securityContext.procMount",
        {"procMounts": ["Default", "Unmasked"]},
    ),
    (
        "seccomp of a container",
        {},
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "spec.containers[0].securityContext.seccompProfile",
        {"seccompProfiles": ["Unconfined"]},
    ),
    (
        "seccomp of a pod",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        {},
        "spec.securityContext.seccompProfile",
        {"seccompProfiles": ["Unconfined"]},
    ),
    (
        "seccomp profile of the node",
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}}},
        {},
        "spec.securityContext.seccompProfile",
        {"seccompProfiles": ["Localhost/a/b.json"]},
    ),
    (
        "any seccomp profile of the node",
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}}},
        {},
        "spec.securityContext.seccompProfile",
        {"seccompProfiles": ["Localhost/*"]},
    ),
    (
        "AppArmor",
        {},
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        "spec.containers[0].securityContext.appArmorProfile",
        {"appArmorProfiles": ["Unconfined"]},
    ),
    (
        "AppArmor profile of the node",
        {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "own"}}},
        {},
        "spec.securityContext.appArmorProfile",
        {"appArmorProfiles": ["Localhost/own"]},
    ),
    *(
        (
            f"SELinux {key}",
            {"securityContext": {"seLinuxOptions": {key: "spc_t"}}},
            {},
            f"spec.securityContext.seLinuxOptions.{key}",
            {"seLinuxOptions": True},
        )
        for key in ("user", "role", "level", "type")
    ),
    (
        "sysctl",
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
        {},
        "spec.securityContext.sysctls[0].name",
        {"sysctls": ["kernel.msgmax"]},
    ),
    (
        "safe sysctl written with slashes",
        {"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}]}},
        {},
        "spec.securityContext.sysctls[0].name",
        {"sysctls": ["net/ipv4/tcp_syncookies"]},
    ),
    ("hostPort", {}, {"ports": [HOST_PORT]}, "spec.containers[0].ports[0].hostPort", {"hostPorts": True}),
    (
        "hostIP",
        {},
        {"ports": [{"containerPort": 80, "hostIP": "127.0.0.1"}]},
        "spec.containers[0].ports[0].hostIP",
        {"hostPorts": True},
    ),
    *(
        (
            f"{probe} of another host",
            {},
            {probe: {action: {"port": 80, "host": "169.254.169.254"}}},
            f"spec.containers[0].{probe}.{action}.host",
            {"hostProbes": True},
        )
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
        for action in ("httpGet", "tcpSocket")
    ),
    (
        "hook at another host",
        {},
        handler(httpGet={"port": 80, "host": "127.0.0.1"}),
        "spec.containers[0].lifecycle.postStart.httpGet.host",
        {"hostProbes": True},
    ),
    (
        "mounts that the node sees",
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]},
        "spec.containers[0].volumeMounts[0].mountPropagation",
        {"privileged": True},
    ),
    (
        "init container",
        {"initContainers": [{"name": "i", "securityContext": {"privileged": True}}]},
        {},
        "spec.initContainers[0].securityContext.privileged",
        {"privileged": True},
    ),
]


@pytest.mark.parametrize(
    ("spec", "container", "path", "policy"), [case[1:] for case in POWERS], ids=[case[0] for case in POWERS]
)
def test_a_power_over_the_node(
    spec: dict[str, Any], container: dict[str, Any], path: str, policy: dict[str, Any]
) -> None:
    powerful = pod(spec, container)
    with pytest.raises(Refused) as caught:
        to_host(powerful)
    assert caught.value.path == path
    assert caught.value.allowed

    found = host_spec(powerful, allowing(**policy))
    assert found["containers"][0] | container == found["containers"][0]
    for key, value in spec.items():
        if key == "securityContext":
            assert found[key] == SECCOMP | value
        elif key != "initContainers":
            assert found[key] == value
        else:
            assert found[key][0] | value[0] == found[key][0]
