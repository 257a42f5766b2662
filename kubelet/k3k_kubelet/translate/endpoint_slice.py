"""EndpointSlices that a tenant's Service has beside those of its selector: the tenant's to the host's.

What they name, every node of the host connects to, for anybody who reaches the Service: a slice must lead
nowhere where the cluster's own pods could not go.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from k3k_kubelet.translate import metadata, names
from k3k_kubelet.translate.objects import Cluster, HostObject
from k3k_kubelet.translate.rules.endpoint_slice import EndpointNotes, canonical
from k3k_kubelet.translate.table.endpoint_slice import FIELDS

SERVICE = "kubernetes.io/service-name"
"""Label of a slice: the Service that it is of."""
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
"""Who makes the slices of a selector, inside and on the host."""
OURS = "k3k-pulumi.io"

_FAMILIES = ("IPv4", "IPv6")


def service_of(endpoint_slice: Mapping[str, Any]) -> str:
    """Name of the Service that a slice is of; `""` for none."""
    return str((endpoint_slice["metadata"].get("labels") or {}).get(SERVICE) or "")


def addresses_of(endpoint_slice: Mapping[str, Any]) -> set[str]:
    """The IP addresses that a slice names."""
    found = endpoint_slice.get("endpoints") or ()
    return {made for each in found for text in each.get("addresses") or () if (made := canonical(text))}


def to_host(
    endpoint_slice: Mapping[str, Any], cluster: Cluster, nodes: Mapping[str, str], denied: Sequence[str]
) -> HostObject | None:
    """The host's copy of an EndpointSlice.

    Args:
        endpoint_slice: the slice inside; its Service has a copy.
        cluster: the virtual cluster.
        nodes: address -> node, of the cluster's own pods that run, as far as the slice names them.
        denied: CIDRs that no other address may be of.

    Returns:
        None for a slice of names, which nothing in Kubernetes follows, and for one that the controller of
        selectors has made: the host has a slice of its own.

    Raises:
        Refused: the slice has a field that is not known.
    """
    labels = endpoint_slice["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) == CONTROLLER or endpoint_slice.get("addressType") not in _FAMILIES:
        return None
    notes = EndpointNotes(nodes, denied)
    made = metadata.of_object(endpoint_slice, cluster)
    namespace, service = endpoint_slice["metadata"]["namespace"], service_of(endpoint_slice)
    made["labels"] |= {SERVICE: names.host_name(cluster.name, namespace, service), MANAGED_BY: OURS}
    manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": made,
        **{
            key: shape.copy(endpoint_slice[key], notes, key)
            for key, shape in FIELDS.items()
            if endpoint_slice.get(key) is not None
        },
    }
    manifest.setdefault("endpoints", [])
    return HostObject(manifest, dropped=tuple(notes.dropped))
