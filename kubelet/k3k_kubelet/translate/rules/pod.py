"""Fields of the pod as a whole."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.names import MAX_NAME
from k3k_kubelet.translate.objects import Object
from k3k_kubelet.translate.rules import dns, scheduling, security, settings
from k3k_kubelet.translate.schema import OMIT


def never(value: bool, context: Context, path: str, parent: Mapping[str, Any]) -> bool:  # noqa: ARG001
    """False whatever the tenant says; `finish` says it for those who say nothing."""
    return False


def omit(value: Any, context: Context, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """Left to `finish`."""
    return OMIT


def service_account(context: Context) -> str:
    """The host account of the pod: the one that the policy maps its own to, else the one without rights."""
    own = context.namespace, context.pod["spec"].get("serviceAccountName") or "default"
    for each in context.policy.service_accounts:
        if (each.namespace, each.name) == own:
            return each.host_service_account
    return context.cluster.service_account


def hostname(name: str) -> str:
    """What Kubernetes makes of a pod's name, as far as the field `hostname` takes it: dots become hyphens."""
    return name.replace(".", "-")[:MAX_NAME].rstrip("-")


def finish(spec: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:  # noqa: ARG001
    """What every host pod has, whatever the tenant's says."""
    spec["serviceAccountName"] = service_account(context)
    spec["automountServiceAccountToken"] = False
    spec["enableServiceLinks"] = False
    if not spec.get("hostname"):
        spec["hostname"] = hostname(context.name)
    if value.get("nodeName"):
        scheduling.node_name(spec, value["nodeName"])
    settings.pod(spec, context)
    dns.resolver(spec, context, value)
    security.default_seccomp_profile(spec, context)
    security.check_read_only(spec, context)
    return spec
