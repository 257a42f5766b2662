"""The field table: security contexts."""

from k3k_kubelet.translate.rules import security
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INTEGER,
    INTEGERS,
    STRING,
    STRINGS,
    ListOf,
    Struct,
    by_policy,
    copied,
    refused,
)

_SE_LINUX = by_policy(
    Struct(
        "SELinuxOptions",
        {"level": copied(STRING), "role": copied(STRING), "type": copied(STRING), "user": copied(STRING)},
    ),
    "baseline's types, anything if pods.seLinuxOptions",
    security.se_linux,
)
_SECCOMP = by_policy(
    Struct("SeccompProfile", {"localhostProfile": copied(STRING), "type": copied(STRING)}),
    "if pods.seccompProfiles has it",
    security.profile("seccompProfiles", "seccomp_profiles"),
)
_APP_ARMOR = by_policy(
    Struct("AppArmorProfile", {"localhostProfile": copied(STRING), "type": copied(STRING)}),
    "if pods.appArmorProfiles has it",
    security.profile("appArmorProfiles", "app_armor_profiles"),
)
_WINDOWS = refused("the nodes are Linux")

CONTAINER_SECURITY = Struct(
    "SecurityContext",
    {
        "allowPrivilegeEscalation": copied(BOOLEAN),
        "appArmorProfile": _APP_ARMOR,
        "capabilities": by_policy(
            Struct(
                "Capabilities",
                {
                    "add": by_policy(
                        STRINGS,
                        "those in pods.capabilities",
                        security.each_of("capabilities", "capabilities"),
                    ),
                    "drop": copied(STRINGS),
                },
            ),
            "see there",
        ),
        "privileged": by_policy(BOOLEAN, "if pods.privileged", security.flag("privileged", "privileged")),
        "procMount": by_policy(
            STRING, "if pods.procMounts has it", security.one_of("procMounts", "proc_mounts")
        ),
        "readOnlyRootFilesystem": copied(BOOLEAN),
        "runAsGroup": copied(INTEGER),
        "runAsNonRoot": copied(BOOLEAN),
        "runAsUser": copied(INTEGER),
        "seLinuxOptions": _SE_LINUX,
        "seccompProfile": _SECCOMP,
        "windowsOptions": _WINDOWS,
    },
)
POD_SECURITY = Struct(
    "PodSecurityContext",
    {
        "appArmorProfile": _APP_ARMOR,
        "fsGroup": copied(INTEGER),
        "fsGroupChangePolicy": copied(STRING),
        "runAsGroup": copied(INTEGER),
        "runAsNonRoot": copied(BOOLEAN),
        "runAsUser": copied(INTEGER),
        "seLinuxChangePolicy": copied(STRING),
        "seLinuxOptions": _SE_LINUX,
        "seccompProfile": _SECCOMP,
        "supplementalGroups": copied(INTEGERS),
        "supplementalGroupsPolicy": copied(STRING),
        "sysctls": copied(
            ListOf(
                Struct(
                    "Sysctl",
                    {
                        "name": by_policy(
                            STRING, "if pods.sysctls has it", security.one_of("sysctls", "sysctls")
                        ),
                        "value": copied(STRING),
                    },
                )
            )
        ),
        "windowsOptions": _WINDOWS,
    },
)
