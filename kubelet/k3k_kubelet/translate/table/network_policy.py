"""The field table of a NetworkPolicy."""

from k3k_kubelet.translate.schema import (
    INT_OR_STRING,
    INTEGER,
    STRING,
    STRINGS,
    ListOf,
    Struct,
    copied,
    translated,
)
from k3k_kubelet.translate.table.scheduling import LABEL_SELECTOR

_BLOCK = Struct("IPBlock", {"cidr": copied(STRING), "except": copied(STRINGS)})
_PEERS = translated(
    ListOf(
        Struct(
            "NetworkPolicyPeer",
            {
                "ipBlock": translated(
                    _BLOCK, "egress: without what the cluster's egress denies; ingress: of what is exposed"
                ),
                "namespaceSelector": translated(
                    LABEL_SELECTOR, "the names of the namespaces inside that it chooses, as they change"
                ),
                "podSelector": translated(
                    LABEL_SELECTOR, "the labels' keys on the host, this cluster and namespaces"
                ),
            },
        )
    ),
    "peer by peer; without any, whom the cluster's own rules have",
)
_PORTS = translated(
    ListOf(
        Struct(
            "NetworkPolicyPort",
            {
                "endPort": copied(INTEGER),
                "port": copied(INT_OR_STRING, "ports of containers have their names on the host"),
                "protocol": copied(STRING),
            },
        )
    ),
    "the same, but of the API server and of DNS those that their pods on the host have",
)
EGRESS_RULE = Struct("NetworkPolicyEgressRule", {"ports": _PORTS, "to": _PEERS})
INGRESS_RULE = Struct("NetworkPolicyIngressRule", {"from": _PEERS, "ports": _PORTS})
POLICY_SPEC = Struct(
    "NetworkPolicySpec",
    {
        "egress": translated(ListOf(EGRESS_RULE), "rule by rule"),
        "ingress": translated(ListOf(INGRESS_RULE), "rule by rule"),
        "podSelector": translated(LABEL_SELECTOR, "the labels' keys on the host, this cluster and namespace"),
        "policyTypes": copied(STRINGS),
    },
)
