"""Classes of the host as they are shown inside: StorageClasses, IngressClasses, PriorityClasses.

Of a class nothing is shown but what the tenant's objects depend on: parameters name Secrets, namespaces and
servers of the host. What is made by its name alone has placeholders: what holds is the host's class.
"""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.names import DOMAIN
from k3k_kubelet.translate.objects import Object

BY_NAME = f"{DOMAIN}/host"
"""Provisioner and controller of classes that are made by their names."""

_DEFAULT_STORAGE = "storageclass.kubernetes.io/is-default-class"
_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
_STORAGE = ("provisioner", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion")
_PRIORITY = ("value", "preemptionPolicy", "description")
_RESERVED = "system-"
"""Names of PriorityClasses that are Kubernetes' own; each cluster has those that there are."""


def storage_class(host: Mapping[str, Any] | None) -> Object:
    """What a StorageClass is inside, beside its name.

    Args:
        host: the host's class; None to make it by its name. Claims may be resized then: the host decides.
    """
    if host is None:
        return {
            "provisioner": BY_NAME,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
            "allowVolumeExpansion": True,
        }
    return {key: host.get(key) for key in _STORAGE} | _default(host, _DEFAULT_STORAGE)


def ingress_class(host: Mapping[str, Any] | None) -> Object:
    """What an IngressClass is inside, beside its name; without `host` it is made by its name."""
    if host is None:
        return {"spec": {"controller": BY_NAME}}
    controller = (host.get("spec") or {}).get("controller") or BY_NAME
    return {"spec": {"controller": controller, "parameters": None}} | _default(host, _DEFAULT_INGRESS)


def priority_class(host: Mapping[str, Any] | None) -> Object:
    """What a PriorityClass is inside, beside its name; without `host` it is made by its name.

    It is never the default one: pods that name no class have the host's default there anyway.
    """
    if host is None:
        return {"value": 0, "globalDefault": False, "description": "the host's value holds"}
    return {key: host.get(key) for key in _PRIORITY} | {"globalDefault": False}


def may_be_priority_class(name: str) -> bool:
    """Whether a PriorityClass of this name can be made inside."""
    return not name.startswith(_RESERVED)


def _default(host: Mapping[str, Any], key: str) -> Object:
    """The annotation by which a class is the one of objects that name none."""
    annotations = host["metadata"].get("annotations") or {}
    return {"metadata": {"annotations": {key: annotations.get(key)}}}
