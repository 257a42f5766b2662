"""The field table of a Service's spec."""

from k3k_kubelet.translate.rules import service
from k3k_kubelet.translate.schema import (
    BOOLEAN,
    INT_OR_STRING,
    INTEGER,
    STRING,
    STRING_MAP,
    STRINGS,
    ListOf,
    Struct,
    by_policy,
    copied,
    dropped,
    translated,
)

_POLICY = "sync.toHost.services"
_ADDRESS = "inside and on the host it is one address, which the host has given"

SERVICE_PORT = Struct(
    "ServicePort",
    {
        "appProtocol": copied(STRING),
        "name": copied(STRING),
        "nodePort": copied(INTEGER, "inside and on the host it is one port, which the host has given"),
        "port": copied(INTEGER),
        "protocol": copied(STRING),
        "targetPort": copied(INT_OR_STRING, "ports of containers have their names on the host"),
    },
)
_AFFINITY = Struct(
    "SessionAffinityConfig",
    {"clientIP": copied(Struct("ClientIPConfig", {"timeoutSeconds": copied(INTEGER)}))},
)

SERVICE_SPEC = Struct(
    "ServiceSpec",
    {
        "allocateLoadBalancerNodePorts": copied(BOOLEAN),
        "clusterIP": copied(STRING, _ADDRESS),
        "clusterIPs": copied(STRINGS, _ADDRESS),
        "externalIPs": by_policy(
            STRINGS, f"addresses of the ranges in {_POLICY}.externalIPs", service.external_ips
        ),
        "externalName": dropped(
            "a Service of type ExternalName has no copy, another has no use for it", usual=None
        ),
        "externalTrafficPolicy": copied(STRING),
        "healthCheckNodePort": copied(INTEGER, "inside and on the host it is one port"),
        "internalTrafficPolicy": copied(STRING),
        "ipFamilies": copied(STRINGS),
        "ipFamilyPolicy": copied(STRING),
        "loadBalancerClass": by_policy(
            STRING, f"if {_POLICY}.loadBalancerClasses has it", service.load_balancer_class
        ),
        "loadBalancerIP": by_policy(
            STRING, f"an address of the ranges in {_POLICY}.externalIPs", service.load_balancer_ip
        ),
        "loadBalancerSourceRanges": by_policy(
            STRINGS,
            f"as far as {_POLICY}.sourceRanges has them; where that is not everything and there are none, it",
        ),
        "ports": copied(ListOf(SERVICE_PORT)),
        "publishNotReadyAddresses": copied(BOOLEAN),
        "selector": translated(
            STRING_MAP,
            "the labels' keys on the host, this cluster and namespace; without one, a selector that no pod "
            "has, beside the copies of the Service's EndpointSlices",
            service.later,
        ),
        "sessionAffinity": copied(STRING),
        "sessionAffinityConfig": copied(_AFFINITY),
        "trafficDistribution": copied(STRING),
        "type": by_policy(STRING, f"if {_POLICY}.types has it", service.kind),
    },
    service.finish,
)
