"""The containers' environment: Services, the API server's address, the downward API."""

import re
from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate import identity, names
from k3k_kubelet.translate.context import Context
from k3k_kubelet.translate.objects import Cluster, Object, Refused
from k3k_kubelet.translate.schema import Finish

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


def kubernetes_variables(cluster: Cluster) -> dict[str, str]:
    """Variables that lead a pod to its own API server, as those of the Service `default/kubernetes`."""
    host, port = cluster.api_host, str(cluster.api_port)
    url = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": url,
        f"KUBERNETES_PORT_{port}_TCP": url,
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        f"KUBERNETES_PORT_{port}_TCP_PORT": port,
        f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
    }


def container(finish_security: Finish) -> Finish:
    """The last step of every kind of container: service variables first, then the container's own.

    First, so that `$(NAME)` in the container's own variables finds them.
    """

    def finish(copy: Object, context: Context, path: str, value: Mapping[str, Any]) -> Object:
        own = copy.get("env", [])
        own_names = {entry.get("name") for entry in own}
        services = [
            {"name": name, "value": text.replace("$", "$$")}
            for name, text in context.service_env.items()
            if name not in own_names
        ]
        copy["env"] = services + own
        return finish_security(copy, context, path, value)

    return finish
