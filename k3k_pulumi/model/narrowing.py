"""How every key of the policy document narrows, and what a cluster's document is within its policy's.

A key that is not here could be used against a policy: a unit test holds the table against `DOCUMENT`, and the
defaults against the virtual kubelet's schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from k3k_pulumi.model import coverage, images
from k3k_pulumi.model.pod_security import SAFE_SYSCTLS
from k3k_pulumi.model.rules import (
    Ascending,
    Dropped,
    Fixed,
    Grant,
    Items,
    Labels,
    Named,
    Preset,
    Ranges,
    RequiredAffinity,
    Restriction,
    Rule,
    Scope,
    Shown,
    Tolerations,
)

Table = Mapping[str, "Rule | Table"]

_VOLUME_TYPES = (
    *("configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"),
    "secret",
)
_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)


def _to_host(*, enabled: bool = True) -> dict[str, Rule | Table]:
    return {"enabled": Grant(enabled), "selector": {"matchLabels": Labels()}}


def _from_host() -> Table:
    return {**_to_host(enabled=False), "names": Shown()}


NARROWING: Mapping[str, Table] = {
    "pods": {
        "hostNetwork": Grant(False),
        "hostPID": Grant(False),
        "hostIPC": Grant(False),
        "hostPorts": Grant(False),
        "hostProbes": Grant(False),
        "hostPaths": Items((), coverage.host_paths),
        "privileged": Grant(False),
        "volumeTypes": Items(_VOLUME_TYPES),
        "capabilities": Items(_CAPABILITIES),
        "procMounts": Items(("Default",)),
        "seccompProfiles": Items(("RuntimeDefault",), coverage.profiles),
        "defaultSeccompProfile": Ascending("RuntimeDefault", ""),
        "appArmorProfiles": Items(("RuntimeDefault",), coverage.profiles),
        "seLinuxOptions": Grant(False),
        "sysctls": Items(SAFE_SYSCTLS),
        "priorityClasses": Items(),
        "runtimeClasses": Items(),
        "resourceClaims": Items(),
        "resourceClaimTemplates": Items(),
        "allowedTolerations": Items((), coverage.tolerations),
        "labels": Items((), coverage.keys),
        "annotations": Items((), coverage.keys),
        "serviceAccounts": Items(),
        "alwaysPullImages": Restriction(),
        "imageRegistries": Items(None, images.covers),
        "defaults": {
            "nodeSelector": Preset({}),
            "tolerations": Tolerations(add=False),
            "affinity": Preset({}),
            "priorityClass": Named("priorityClass", "priorityClasses", Preset()),
            "runtimeClass": Named("runtimeClass", "runtimeClasses", Preset()),
            "hostUsers": Preset(),
            "securityContext": {
                "runAsNonRoot": Preset(),
                "runAsUser": Preset(),
                "runAsGroup": Preset(),
                "readOnlyRootFilesystem": Preset(),
                "allowPrivilegeEscalation": Preset(),
                "capabilities": {"drop": Preset([])},
            },
        },
        "required": {
            "nodeSelector": Labels(),
            "tolerations": Tolerations(add=True),
            "affinity": RequiredAffinity(),
            "priorityClass": Named("priorityClass", "priorityClasses", Fixed()),
            "runtimeClass": Named("runtimeClass", "runtimeClasses", Fixed()),
            "hostUsers": Fixed(),
            "securityContext": {
                "runAsNonRoot": Fixed(),
                "runAsUser": Fixed(),
                "runAsGroup": Fixed(),
                "readOnlyRootFilesystem": Fixed(),
                "allowPrivilegeEscalation": Fixed(),
                "capabilities": {"drop": Dropped()},
            },
        },
    },
    "sync": {
        "toHost": {
            "services": {
                **_to_host(),
                "types": Items(("ClusterIP", "NodePort", "LoadBalancer")),
                "externalIPs": Ranges(),
                "loadBalancerClasses": Items(),
                "annotations": Items((), coverage.keys),
                "labels": Items((), coverage.keys),
                "sourceRanges": Ranges(("0.0.0.0/0", "::/0")),
            },
            "endpointSlices": _to_host(),
            "persistentVolumeClaims": {
                **_to_host(),
                "storageClasses": Items(("*",), coverage.classes),
                "dataSources": Items((), coverage.data_sources),
                "volumeAttributesClasses": Items((), coverage.classes),
            },
            "ingresses": {
                **_to_host(enabled=False),
                "classes": Items(("*",), coverage.classes),
                "hosts": Items((), coverage.hosts),
                "annotations": Items((), coverage.keys),
                "controllerNamespaces": Items(empty_is_all=True),
            },
            "httpRoutes": {
                **_to_host(enabled=False),
                "gateways": Items(),
                "hosts": Items((), coverage.hosts),
                "controllerNamespaces": Items(empty_is_all=True),
            },
            "podDisruptionBudgets": _to_host(),
            "networkPolicies": _to_host(),
        },
        "fromHost": {
            "storageClasses": _from_host(),
            "ingressClasses": _from_host(),
            "priorityClasses": _from_host(),
        },
    },
}


def narrow(
    part: str, given: Mapping[str, Any], policy: str, allowed: Mapping[str, Any], problems: list[str]
) -> Any:
    """What `pods` or `sync` of a cluster is within its policy's.

    Args:
        part: `pods` or `sync`.
        given: The cluster's, checked and without defaults.
        policy: Name of the policy.
        allowed: The policy's, checked and without defaults.
        problems: Lines for the user, added to.
    """
    scope = Scope(policy, part, part, problems, allowed)
    return _group(NARROWING[part], scope, given, allowed)


def _group(
    table: Table, scope: Scope, given: Mapping[str, Any], allowed: Mapping[str, Any]
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    scope = replace(scope, given=given, allowed=allowed)
    for key, rule in table.items():
        below = scope.at(key)
        if isinstance(rule, Mapping):
            found = _group(rule, below, given.get(key, {}), allowed.get(key, {}))
            if found or key in given or key in allowed:
                made[key] = found
        else:
            value = rule.resolve(below, given.get(key), allowed.get(key))
            if value is not None:
                made[key] = value
    return made


def complete(part: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`pods` or `sync` with every key of the document: what is left out has the document's default."""
    return _complete(NARROWING[part], given)


def _complete(table: Table, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _complete(rule, given.get(key, {}))
        if isinstance(rule, Mapping)
        else given.get(key, rule.default)
        for key, rule in table.items()
    }
