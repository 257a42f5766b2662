"""Pod Security: levels of namespaces, and what `restricted` leaves a control plane's pods to choose.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Any

from k3k_pulumi.model.fragments import Check, ListOf, boolean, choice, integer, text

LEVELS = ("privileged", "baseline", "restricted")

SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)

_WHY = "the control plane's namespace has the Pod Security level restricted"
_LARGEST_ID = 2**31 - 1


def _restricted(*checks: Check) -> Check:
    """The first of some checks that fails, with the reason."""

    def check(value: Any) -> str | None:
        found = next(filter(None, (check(value) for check in checks)), None)
        return f"{found}: {_WHY}" if found else None

    return check


def _identity(smallest: int) -> Check:
    def check(value: Any) -> str | None:
        if integer(value) is None and smallest <= value <= _LARGEST_ID:
            return None
        return f"must be a whole number from {smallest} to {_LARGEST_ID}"

    return check


def _true(value: Any) -> str | None:
    return None if value is True else "must be true"


_GROUP = _identity(0)
_PROFILE = {"type": _restricted(choice("RuntimeDefault", "Localhost")), "localhostProfile": text}

SECURITY_CONTEXT = {
    "appArmorProfile": _PROFILE,
    "fsGroup": _GROUP,
    "fsGroupChangePolicy": choice("Always", "OnRootMismatch"),
    "runAsGroup": _GROUP,
    "runAsNonRoot": _restricted(boolean, _true),
    "runAsUser": _restricted(_identity(1)),
    "seccompProfile": _PROFILE,
    "seLinuxChangePolicy": choice("MountOption", "Recursive"),
    "seLinuxOptions": {
        "level": text,
        "type": _restricted(
            choice("container_t", "container_init_t", "container_kvm_t", "container_engine_t")
        ),
    },
    "supplementalGroups": ListOf(_GROUP),
    "supplementalGroupsPolicy": choice("Merge", "Strict"),
    "sysctls": ListOf({"name": _restricted(choice(*SAFE_SYSCTLS)), "value": text}),
}
"""A PodSecurityContext of Linux pods, as far as `restricted` lets it be set."""
