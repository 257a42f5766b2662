"""Kubernetes objects that tests create, and the images they run: those every dev cluster has."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

BUSYBOX = "docker.io/library/busybox:1.36"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"
COREDNS = "docker.io/coredns/coredns:1.15.0"
KUBELET = "ghcr.io/k3k-pulumi/kubelet:0.1.0"  # the image with a Python in it

Object = dict[str, Any]

# A shell that ends at once when asked to, so that no test waits for a grace period it is not about.
IDLE = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done")


def container(
    command: Sequence[str] = IDLE, *, image: str = BUSYBOX, name: str = "main", **rest: Any
) -> Object:
    """A container; `rest` as in the API."""
    return {"name": name, "image": image, "command": list(command), "imagePullPolicy": "IfNotPresent", **rest}


def shell(script: str, **rest: Any) -> Object:
    """A container that runs a shell script."""
    return container(("sh", "-c", script), **rest)


def pod(name: str, *containers: Object, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A pod that mounts no token unless told to; an idle container when none is given."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {"app": name})},
        "spec": {
            "containers": list(containers) or [container()],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            **spec,
        },
    }


def template(name: str, *containers: Object, **spec: Any) -> Object:
    """A pod template, labelled app=name."""
    made = pod(name, *containers, **spec)
    return {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"]}


def deployment(name: str, replicas: int, *containers: Object, **spec: Any) -> Object:
    """A Deployment of such pods; `spec` is the pods'."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, *containers, **spec),
        },
    }


def job(name: str, *containers: Object, spec: Mapping[str, Any] | None = None, **pod_spec: Any) -> Object:
    """A Job whose pods are not restarted in place; `spec` is the Job's."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {**(spec or {}), "template": template(name, *containers, restartPolicy="Never", **pod_spec)},
    }


def claim_spec(**rest: Any) -> Object:
    """What a claim for a small volume asks for."""
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}, **rest}


def claim(name: str, **rest: Any) -> Object:
    """A PersistentVolumeClaim; `rest` is its spec's."""
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": claim_spec(**rest),
    }


def config_map(name: str, data: Mapping[str, str], **rest: Any) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data), **rest}


def secret(name: str, data: Mapping[str, str]) -> Object:
    """A Secret from plain text; `data`, since server-side apply does not follow keys of `stringData`."""
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def storage_class(name: str, like: Object) -> Object:
    """A StorageClass that makes volumes as another one does, and is nobody's default."""
    kept = {key: like[key] for key in ("apiVersion", "kind", "provisioner", "volumeBindingMode")}
    return {**kept, "metadata": {"name": name}}
