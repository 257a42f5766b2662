"""The field table: containers of all three kinds."""

from k3k_kubelet.translate.rules import container, images, security
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INT_OR_STRING,
    INTEGER,
    INTEGERS,
    QUANTITIES,
    STRING,
    STRINGS,
    ListOf,
    Struct,
    by_policy,
    copied,
    translated,
)
from k3k_kubelet.translate.table.security import CONTAINER_SECURITY
from k3k_kubelet.translate.table.volumes import ENV, ENV_FROM

_PROBE_HOST = by_policy(
    STRING, "empty, unless pods.hostProbes: the node itself connects there", security.probe_host
)
_EXEC = copied(Struct("ExecAction", {"command": copied(STRINGS)}))
_HTTP_GET = copied(
    Struct(
        "HTTPGetAction",
        {
            "host": _PROBE_HOST,
            "httpHeaders": copied(
                ListOf(Struct("HTTPHeader", {"name": copied(STRING), "value": copied(STRING)}))
            ),
            "path": copied(STRING),
            "port": copied(INT_OR_STRING),
            "protocol": copied(STRING),
            "scheme": copied(STRING),
        },
    )
)
_TCP_SOCKET = copied(Struct("TCPSocketAction", {"host": _PROBE_HOST, "port": copied(INT_OR_STRING)}))
PROBE = Struct(
    "Probe",
    {
        "exec": _EXEC,
        "failureThreshold": copied(INTEGER),
        "grpc": copied(
            Struct("GRPCAction", {"mode": copied(STRING), "port": copied(INTEGER), "service": copied(STRING)})
        ),
        "httpGet": _HTTP_GET,
        "initialDelaySeconds": copied(INTEGER),
        "periodSeconds": copied(INTEGER),
        "successThreshold": copied(INTEGER),
        "tcpSocket": _TCP_SOCKET,
        "terminationGracePeriodSeconds": copied(INTEGER),
        "timeoutSeconds": copied(INTEGER),
    },
)
_PROBE = copied(PROBE, "see there")
HANDLER = Struct(
    "LifecycleHandler",
    {
        "exec": _EXEC,
        "httpGet": _HTTP_GET,
        "sleep": copied(Struct("SleepAction", {"seconds": copied(INTEGER)})),
        "tcpSocket": _TCP_SOCKET,
    },
)
_HANDLER = copied(HANDLER, "see there")
_CLAIMS = copied(ListOf(Struct("ResourceClaim", {"name": copied(STRING), "request": copied(STRING)})))
RESOURCES = Struct(
    "ResourceRequirements",
    {"claims": _CLAIMS, "limits": copied(QUANTITIES), "requests": copied(QUANTITIES)},
)
_CONTAINER_FIELDS = {
    "args": copied(STRINGS),
    "command": copied(STRINGS),
    "env": translated(ListOf(ENV), "see there"),
    "envFrom": translated(ListOf(ENV_FROM), "after the variables of the virtual Services; see there"),
    "image": by_policy(STRING, "if it is of pods.imageRegistries", images.image),
    "imagePullPolicy": by_policy(STRING, "Always if pods.alwaysPullImages"),
    "lifecycle": copied(
        Struct("Lifecycle", {"postStart": _HANDLER, "preStop": _HANDLER, "stopSignal": copied(STRING)})
    ),
    "livenessProbe": _PROBE,
    "name": copied(STRING),
    "ports": copied(
        ListOf(
            Struct(
                "ContainerPort",
                {
                    "containerPort": copied(INTEGER),
                    "hostIP": by_policy(STRING, "if pods.hostPorts", security.host_ip),
                    "hostPort": by_policy(INTEGER, "if pods.hostPorts", security.host_port),
                    "name": copied(STRING),
                    "protocol": copied(STRING),
                },
            )
        )
    ),
    "readinessProbe": _PROBE,
    "resizePolicy": copied(
        ListOf(
            Struct("ContainerResizePolicy", {"resourceName": copied(STRING), "restartPolicy": copied(STRING)})
        )
    ),
    "resources": copied(RESOURCES),
    "restartPolicy": copied(STRING),
    "restartPolicyRules": copied(
        ListOf(
            Struct(
                "ContainerRestartRule",
                {
                    "action": copied(STRING),
                    "exitCodes": copied(
                        Struct(
                            "ContainerRestartRuleOnExitCodes",
                            {"operator": copied(STRING), "values": copied(INTEGERS)},
                        )
                    ),
                },
            )
        )
    ),
    "securityContext": by_policy(
        CONTAINER_SECURITY,
        "with pods.required.securityContext, pods.defaults.securityContext where neither it nor the pod's "
        "says anything",
    ),
    "startupProbe": _PROBE,
    "stdin": copied(BOOLEAN),
    "stdinOnce": copied(BOOLEAN),
    "terminationMessagePath": copied(STRING),
    "terminationMessagePolicy": copied(STRING),
    "tty": copied(BOOLEAN),
    "volumeDevices": copied(
        ListOf(Struct("VolumeDevice", {"devicePath": copied(STRING), "name": copied(STRING)}))
    ),
    "volumeMounts": copied(
        ListOf(
            Struct(
                "VolumeMount",
                {
                    "bindMountOptions": copied(STRINGS),
                    "mountPath": copied(STRING),
                    "mountPropagation": by_policy(
                        STRING, "Bidirectional if pods.privileged", security.propagation
                    ),
                    "name": copied(STRING),
                    "readOnly": copied(BOOLEAN),
                    "recursiveReadOnly": copied(STRING),
                    "subPath": copied(STRING),
                    "subPathExpr": copied(STRING),
                },
            )
        )
    ),
    "workingDir": copied(STRING),
}
CONTAINER = Struct("Container", _CONTAINER_FIELDS, container.finish)
EPHEMERAL_CONTAINER = Struct(
    "EphemeralContainer",
    {**_CONTAINER_FIELDS, "targetContainerName": copied(STRING)},
    container.finish,
)
