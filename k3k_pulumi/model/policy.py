"""The part of the policy document that a user overrides.

The document's schema and defaults are the virtual kubelet's own (`kubelet/k3k_kubelet/policy.py`,
policy.schema.json): what a user leaves out is left out of the document too. The table here lets a preview
refuse a misspelt key, which the kubelet would refuse only at run time; a unit test holds it against the
schema.
"""

from __future__ import annotations

from k3k_pulumi.model.fragments import TOLERATIONS, ListOf, MapOf, boolean, choice, text

API_VERSION = "k3k-pulumi.io/v1"

POLICY = {
    "pods": {
        "hostNetwork": boolean,
        "hostPID": boolean,
        "hostIPC": boolean,
        "hostUsers": boolean,
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
        "nodeSelector": MapOf(text),
        "tolerations": TOLERATIONS,
        "allowedTolerations": TOLERATIONS,
        "labels": ListOf(text),
        "annotations": ListOf(text),
        "serviceAccounts": ListOf({"namespace": text, "name": text, "hostServiceAccount": text}),
        "alwaysPullImages": boolean,
    }
}
