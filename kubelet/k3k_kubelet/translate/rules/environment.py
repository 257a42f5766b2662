"""The containers' environment: Services, the API server's address, the downward API."""

import re
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Object, Refused

SERVICE_ACCOUNT = f"{names.DOMAIN}/service-account"
LABELS_FILE = f"{names.DOMAIN}/labels"
ANNOTATIONS_FILE = f"{names.DOMAIN}/annotations"

_FIELDS = {
    "metadata.name": f"metadata.annotations['{identity.NAME}']",
    "metadata.namespace": f"metadata.annotations['{identity.NAMESPACE}']",
    "metadata.uid": f"metadata.annotations['{identity.UID}']",
    "metadata.labels": f"metadata.annotations['{LABELS_FILE}']",
    "metadata.annotations": f"metadata.annotations['{ANNOTATIONS_FILE}']",
    "spec.serviceAccountName": f"metadata.annotations['{SERVICE_ACCOUNT}']",
    "spec.host": "spec.nodeName",  # the first clients' name of it, which Kubernetes still takes
    "spec.nodeName": "spec.nodeName",
    "status.hostIP": "status.hostIP",
    "status.hostIPs": "status.hostIPs",
    "status.podIP": "status.podIP",
    "status.podIPs": "status.podIPs",
}
"""fieldPath inside -> on the host. Our annotations carry the virtual values; volumes follow their changes."""

SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_path(path: str, context: Context, where: str, parent: Mapping[str, Any]) -> str:  # noqa: ARG001
    """The field of the host pod that has the virtual value of `path`."""
    found = _FIELDS.get(path)
    if found is not None:
        return found
    subscript = SUBSCRIPT.fullmatch(path)
    if subscript is None:
        raise Refused(
            where, f"the downward API has no field {path!r}", f"it has {', '.join(sorted(_FIELDS))}"
        )
    kind, key = subscript.groups()
    key = names.label_key(key) if kind == "labels" else names.annotation_key(key)
    return f"metadata.{kind}['{key}']"


def service_variables(copy: Object, context: Context) -> None:
    """Give a container the variables of Services, below all of its own."""
    variables = {"configMapRef": {"name": context.use_variables()}}
    copy["envFrom"] = [variables, *copy.get("envFrom", [])]
