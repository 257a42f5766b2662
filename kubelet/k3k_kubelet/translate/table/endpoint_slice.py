"""The field table of an EndpointSlice."""

from collections.abc import Mapping

from k3k_kubelet.translate.rules import endpoint_slice
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INTEGER,
    STRING,
    STRINGS,
    ListOf,
    Shape,
    Struct,
    copied,
    dropped,
    translated,
)

_CONDITIONS = Struct(
    "EndpointConditions",
    {"ready": copied(BOOLEAN), "serving": copied(BOOLEAN), "terminating": copied(BOOLEAN)},
)
ENDPOINT = Struct(
    "Endpoint",
    {
        "addresses": translated(
            STRINGS,
            "those of the cluster's own pods that run, and those that `egress` lets pods reach; others are "
            "left out, with an event",
            endpoint_slice.addresses,
        ),
        "conditions": copied(_CONDITIONS),
        "deprecatedTopology": dropped("of an older API, without effect", usual=None),
        "hints": dropped("the host's controllers give them to their own slices", usual=None),
        "hostname": dropped("a name in the cluster's DNS, which reads the slice inside", usual=None),
        "nodeName": translated(
            STRING, "the node of the pod that has the address, none for other addresses", endpoint_slice.node
        ),
        "targetRef": dropped("objects inside are not the host's", usual=None),
        "zone": dropped("see nodeName", usual=None),
    },
    endpoint_slice.endpoint,
)
ENDPOINT_PORT = Struct(
    "EndpointPort",
    {
        "appProtocol": copied(STRING),
        "name": copied(STRING),
        "port": copied(INTEGER),
        "protocol": copied(STRING),
    },
)
FIELDS: Mapping[str, Shape] = {
    "addressType": STRING,
    "endpoints": ListOf(ENDPOINT),
    "ports": ListOf(ENDPOINT_PORT),
}
"""Of the slice itself, without apiVersion, kind and metadata, which every object has."""
