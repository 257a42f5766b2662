"""What a user may set of the policy document: the arguments `pods` and `sync`.

The document's schema and defaults are the virtual kubelet's own (`kubelet/k3k_kubelet/policy`,
policy.schema.json): what a user leaves out is left out of the document too. The table here lets a preview
refuse a misspelt key, which the kubelet would refuse only at run time; a unit test holds it, and the defaults
that the kubelet's rights depend on, against the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k3k_pulumi.model.fragments import (
    AFFINITY,
    TOLERATIONS,
    ListOf,
    MapOf,
    boolean,
    choice,
    integer,
    text,
)

API_VERSION = "k3k-pulumi.io/v1"

_SELECTOR = {"matchLabels": MapOf(text)}
_TO_HOST = {"enabled": boolean, "selector": _SELECTOR}
_FROM_HOST = {**_TO_HOST, "names": ListOf(text)}
_POD_SETTINGS = {
    "nodeSelector": MapOf(text),
    "tolerations": TOLERATIONS,
    "affinity": {"nodeAffinity": AFFINITY["nodeAffinity"]},
    "priorityClass": text,
    "runtimeClass": text,
    "hostUsers": boolean,
    "securityContext": {
        "runAsNonRoot": boolean,
        "runAsUser": integer,
        "runAsGroup": integer,
        "readOnlyRootFilesystem": boolean,
        "allowPrivilegeEscalation": boolean,
        "capabilities": {"drop": ListOf(text)},
    },
}

DOCUMENT = {
    "pods": {
        "hostNetwork": boolean,
        "hostPID": boolean,
        "hostIPC": boolean,
        "hostPorts": boolean,
        "hostProbes": boolean,
        "hostPaths": ListOf({"path": text, "readOnly": boolean}),
        "privileged": boolean,
        "volumeTypes": ListOf(
            choice(
                "configMap",
                "downwardAPI",
                "emptyDir",
                "ephemeral",
                "image",
                "persistentVolumeClaim",
                "projected",
                "secret",
            )
        ),
        "capabilities": ListOf(text),
        "procMounts": ListOf(choice("Default", "Unmasked")),
        "seccompProfiles": ListOf(text),
        "defaultSeccompProfile": choice("", "RuntimeDefault"),
        "appArmorProfiles": ListOf(text),
        "seLinuxOptions": boolean,
        "sysctls": ListOf(text),
        "priorityClasses": ListOf(text),
        "runtimeClasses": ListOf(text),
        "resourceClaims": ListOf(text),
        "resourceClaimTemplates": ListOf(text),
        "allowedTolerations": TOLERATIONS,
        "labels": ListOf(text),
        "annotations": ListOf(text),
        "serviceAccounts": ListOf({"namespace": text, "name": text, "hostServiceAccount": text}),
        "alwaysPullImages": boolean,
        "imageRegistries": ListOf(text),
        "defaults": _POD_SETTINGS,
        "required": _POD_SETTINGS,
    },
    "sync": {
        "toHost": {
            "services": {
                **_TO_HOST,
                "types": ListOf(choice("ClusterIP", "NodePort", "LoadBalancer")),
                "externalIPs": ListOf(text),
                "loadBalancerClasses": ListOf(text),
                "annotations": ListOf(text),
                "labels": ListOf(text),
                "sourceRanges": ListOf(text),
            },
            "endpointSlices": _TO_HOST,
            "persistentVolumeClaims": {
                **_TO_HOST,
                "storageClasses": ListOf(text),
                "dataSources": ListOf({"apiGroup": text, "kind": text, "name": text}),
                "volumeAttributesClasses": ListOf(text),
            },
            "ingresses": {
                **_TO_HOST,
                "classes": ListOf(text),
                "hosts": ListOf(text),
                "annotations": ListOf(text),
                "controllerNamespaces": ListOf(text),
            },
            "httpRoutes": {
                **_TO_HOST,
                "gateways": ListOf(
                    {"namespace": text, "name": text, "hostNamespace": text, "hostName": text}
                ),
                "hosts": ListOf(text),
                "controllerNamespaces": ListOf(text),
            },
            "podDisruptionBudgets": _TO_HOST,
            "networkPolicies": _TO_HOST,
        },
        "fromHost": {
            "storageClasses": _FROM_HOST,
            "ingressClasses": _FROM_HOST,
            "priorityClasses": _FROM_HOST,
        },
    },
}

ENABLED = {
    "toHost": {
        "services": True,
        "endpointSlices": True,
        "persistentVolumeClaims": True,
        "ingresses": False,
        "httpRoutes": False,
        "podDisruptionBudgets": True,
        "networkPolicies": True,
    },
    "fromHost": {"storageClasses": False, "ingressClasses": False, "priorityClasses": False},
}
"""Which kinds are copied by default, by their direction."""


def enabled(sync: Mapping[str, Any], direction: str, kind: str) -> bool:
    """Whether a kind is copied.

    Args:
        sync: What the user gave, checked.
        direction: `toHost` or `fromHost`.
        kind: The kind's key there.
    """
    given = sync.get(direction, {}).get(kind, {})
    return bool(given.get("enabled", ENABLED[direction][kind]))
