"""Rules for the fields of an EndpointSlice."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k3k_kubelet.translate.notes import Notes
from k3k_kubelet.translate.objects import Object
from k3k_kubelet.translate.rules.service import is_within
from k3k_kubelet.translate.schema import OMIT


@dataclass(slots=True)
class EndpointNotes(Notes):
    """The translation of one EndpointSlice.

    Attributes:
        nodes: address -> node, of the cluster's own pods that run.
        denied: CIDRs that no other address may be of.
    """

    nodes: Mapping[str, str]
    denied: Sequence[str]


def addresses(value: list[str], context: EndpointNotes, path: str, parent: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    """The addresses that the host's nodes may send packets to for this cluster."""
    kept = []
    for n, text in enumerate(value):
        address = canonical(text)
        if address and (address in context.nodes or not is_within(address, context.denied)):
            kept.append(address)
        else:
            context.drop(
                f"{path}[{n}]",
                f"{text!r} is left out on the host: it is neither a pod of this cluster that runs nor an "
                "address that its pods may connect to",
            )
    return kept


def canonical(text: str) -> str:
    """An address as it is compared and written; `""` for what is none.

    An IPv4 address in IPv6's clothes (`::ffff:10.0.0.1`) is none: no range would find it.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return "" if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else str(address)


def node(value: str, context: EndpointNotes, path: str, parent: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """Left to `endpoint`."""
    return OMIT


def endpoint(copy: Object, context: EndpointNotes, path: str, value: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """An endpoint with its pod's node; none without an address."""
    if not copy.get("addresses"):
        return OMIT
    found = context.nodes.get(copy["addresses"][0])
    return copy | ({"nodeName": found} if found else {})
