"""The default StorageClass: Rancher's local-path-provisioner, volumes below a folder of the pod's node."""

from __future__ import annotations

import json

from devcluster.api import Manifest

NAMESPACE = "local-path-storage"
NAME = "local-path-provisioner"
IMAGE = "docker.io/rancher/local-path-provisioner:v0.0.30"
HELPER_IMAGE = "docker.io/library/busybox:1.36"
FOLDER = "/var/local-path-provisioner"  # inside a node; goes with it at `down`


def manifests() -> list[Manifest]:
    """The provisioner's objects in the order in which they can be applied."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}},
        *_rights(),
        _config(),
        _deployment(),
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local-path",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]


def _rights() -> list[Manifest]:
    read = ["get", "list", "watch"]
    write = [*read, "create", "patch", "update", "delete"]
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    group = "rbac.authorization.k8s.io"
    cluster = {"name": NAME}
    inside = {"name": NAME, "namespace": NAMESPACE}
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": inside,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": write}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": inside,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
            "subjects": [subject],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": cluster,
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"],
                    "verbs": read,
                },
                {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": write},
                {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
                {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": read},
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": cluster,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
            "subjects": [subject],
        },
    ]


def _config() -> Manifest:
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "helper-pod", "image": HELPER_IMAGE, "imagePullPolicy": "IfNotPresent"}],
        },
    }
    paths = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [FOLDER]}]}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-path-config", "namespace": NAMESPACE},
        "data": {
            "config.json": json.dumps(paths),
            "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
            "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
            "helperPod.yaml": json.dumps(helper),
        },
    }


def _deployment() -> Manifest:
    labels = {"app": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": NAME,
                    "containers": [
                        {
                            "name": NAME,
                            "image": IMAGE,
                            "imagePullPolicy": "IfNotPresent",
                            "command": [
                                "local-path-provisioner",
                                "start",
                                "--config",
                                "/etc/config/config.json",
                            ],
                            "env": [
                                {
                                    "name": "POD_NAMESPACE",
                                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
                                },
                                {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
                                {"name": "SERVICE_ACCOUNT_NAME", "value": NAME},  # of its helper pods
                            ],
                            "volumeMounts": [{"name": "config", "mountPath": "/etc/config/"}],
                        }
                    ],
                    "volumes": [{"name": "config", "configMap": {"name": "local-path-config"}}],
                },
            },
        },
    }
