"""What a user may set of the policy document: the arguments `pods` and `sync`.

The document's schema and defaults are the virtual kubelet's own (`kubelet/k3k_kubelet/policy`,
policy.schema.json): what a user leaves out is left out of the document too. The table here lets a preview
refuse a misspelt key or a malformed value, for either of which the kubelet would refuse the whole document at
run time; unit tests hold it, and the defaults that the kubelet's rights depend on, against the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k3k_pulumi.model.document_values import (
    ALLOWED_KEY,
    API_GROUP,
    CAPABILITY,
    CIDR,
    CLASS_NAME,
    HOST_NAME,
    HOST_PATH,
    ID,
    KIND,
    LABELS,
    LOAD_BALANCER_CLASS,
    NAME,
    NODE_AFFINITY,
    PROFILE,
    REGISTRY,
    TOLERATIONS,
    once,
)
from k3k_pulumi.model.fragments import Fields, ListOf, boolean, choice, text

API_VERSION = "k3k-pulumi.io/v1"

_SELECTOR = {"matchLabels": LABELS}
_TO_HOST = {"enabled": boolean, "selector": _SELECTOR}
_FROM_HOST = {**_TO_HOST, "names": ListOf(NAME)}
_POD_SETTINGS = {
    "nodeSelector": LABELS,
    "tolerations": TOLERATIONS,
    "affinity": {"nodeAffinity": NODE_AFFINITY},
    "priorityClass": NAME,
    "runtimeClass": NAME,
    "hostUsers": boolean,
    "securityContext": {
        "runAsNonRoot": boolean,
        "runAsUser": ID,
        "runAsGroup": ID,
        "readOnlyRootFilesystem": boolean,
        "allowPrivilegeEscalation": boolean,
        "capabilities": {"drop": ListOf(CAPABILITY)},
    },
}

DOCUMENT = {
    "pods": {
        "hostNetwork": boolean,
        "hostPID": boolean,
        "hostIPC": boolean,
        "hostPorts": boolean,
        "hostProbes": boolean,
        "hostPaths": ListOf(Fields({"path": HOST_PATH, "readOnly": boolean}, required=("path",))),
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
        "seccompProfiles": ListOf(PROFILE),
        "defaultSeccompProfile": choice("", "RuntimeDefault"),
        "appArmorProfiles": ListOf(PROFILE),
        "seLinuxOptions": boolean,
        "sysctls": ListOf(text),
        "priorityClasses": ListOf(NAME),
        "runtimeClasses": ListOf(NAME),
        "resourceClaims": ListOf(NAME),
        "resourceClaimTemplates": ListOf(NAME),
        "allowedTolerations": TOLERATIONS,
        "labels": ListOf(ALLOWED_KEY),
        "annotations": ListOf(ALLOWED_KEY),
        "serviceAccounts": ListOf(
            Fields(
                {"namespace": NAME, "name": NAME, "hostServiceAccount": NAME},
                required=("namespace", "name", "hostServiceAccount"),
            ),
            check=once("namespace", "name"),
        ),
        "alwaysPullImages": boolean,
        "imageRegistries": ListOf(REGISTRY),
        "defaults": _POD_SETTINGS,
        "required": _POD_SETTINGS,
    },
    "sync": {
        "toHost": {
            "services": {
                **_TO_HOST,
                "types": ListOf(choice("ClusterIP", "NodePort", "LoadBalancer")),
                "externalIPs": ListOf(CIDR),
                "loadBalancerClasses": ListOf(LOAD_BALANCER_CLASS),
                "annotations": ListOf(ALLOWED_KEY),
                "labels": ListOf(ALLOWED_KEY),
                "sourceRanges": ListOf(CIDR),
            },
            "endpointSlices": _TO_HOST,
            "persistentVolumeClaims": {
                **_TO_HOST,
                "storageClasses": ListOf(CLASS_NAME),
                "dataSources": ListOf(
                    Fields({"apiGroup": API_GROUP, "kind": KIND, "name": NAME}, required=("kind", "name"))
                ),
                "volumeAttributesClasses": ListOf(CLASS_NAME),
            },
            "ingresses": {
                **_TO_HOST,
                "classes": ListOf(CLASS_NAME),
                "hosts": ListOf(HOST_NAME),
                "annotations": ListOf(ALLOWED_KEY),
                "controllerNamespaces": ListOf(NAME),
            },
            "httpRoutes": {
                **_TO_HOST,
                "gateways": ListOf(
                    Fields(
                        {"namespace": NAME, "name": NAME, "hostNamespace": NAME, "hostName": NAME},
                        required=("namespace", "name", "hostNamespace", "hostName"),
                    ),
                    check=once("namespace", "name"),
                ),
                "hosts": ListOf(HOST_NAME),
                "controllerNamespaces": ListOf(NAME),
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
