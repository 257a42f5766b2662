"""The cluster's DNS: CoreDNS beside the servers, where no tenant can delete it, reading the virtual API.

Its client certificate is issued in the pod and renewed there, as the servers' own are. It may read Services,
EndpointSlices and Namespaces inside; the virtual kubelet sees to that right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from k3k_pulumi.manifests import objects, pods
from k3k_pulumi.manifests.control_plane import certificates
from k3k_pulumi.manifests.objects import Manifest, make
from k3k_pulumi.manifests.services import API_PORT, DNS_PORT
from k3k_pulumi.model.names import HOST_ZONE

if TYPE_CHECKING:
    from k3k_pulumi.model import VirtualClusterSpec

USER_INSIDE = "k3k-pulumi-dns"
"""Who CoreDNS is inside; the virtual kubelet binds its rights to this name."""

_COREFILE, _NOWHERE = "Corefile", "nowhere.zone"
_CONFIG, _TLS = "/etc/coredns", f"{certificates.TLS}/dns"
_KUBECONFIG = f"{_TLS}/kubeconfig"
_HEALTH_PORT, _READY_PORT, _METRICS_PORT = 8080, 8181, 9153
_SIZES = pods.sizes("20m", "48Mi", "512Mi")
_PATIENCE = 60.0
"""Seconds for which a new pod waits to be let in by the API server; then it starts all the same, as names of
elsewhere can be found without one. Waiting costs less than CoreDNS' own pauses, which grow to 30 s."""

# An empty zone of whatever name, so that all in it is answered with "no such name", which may be cached.
_EMPTY_ZONE = """\
@ 30 IN SOA nowhere.invalid. nobody.invalid. 1 7200 900 1209600 30
@ 30 IN NS nowhere.invalid.
"""


def config_maps(spec: VirtualClusterSpec) -> list[Manifest]:
    """What the pods read at their start."""
    return [
        make(
            spec,
            "ConfigMap",
            spec.names.dns,
            objects.DNS,
            spec.control_plane_namespace,
            data=_config(spec),
        )
    ]


def deployments(spec: VirtualClusterSpec) -> list[Manifest]:
    """CoreDNS' Deployment, and where it has two pods, the promise that an eviction leaves one of them.

    An update of one pod starts the new one before it ends the old: without a name server nothing works.
    Of two it ends one first: else both new ones could come to stand on one node, away from an old one each.
    One pod alone has no PodDisruptionBudget, which would keep its node from being drained for ever.
    """
    made = [_deployment(spec)]
    if spec.dns.replicas > 1:
        budget = {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": objects.selector(spec, objects.DNS)},
        }
        name, namespace = spec.names.dns, spec.control_plane_namespace
        made.insert(0, make(spec, "PodDisruptionBudget", name, objects.DNS, namespace, spec=budget))
    return made


def _deployment(spec: VirtualClusterSpec) -> Manifest:
    issue, renew = certificates.issuing_containers(spec)
    two = spec.dns.replicas > 1
    pod = {
        "terminationGracePeriodSeconds": 30,
        # Its own name server: the nodes' one, or that of the host's cluster, which knows the host's Services.
        "dnsPolicy": "ClusterFirst" if spec.dns.host_names else "Default",
        **pods.apart(spec, objects.DNS, spec.dns.replicas),
        "initContainers": [issue],
        "containers": [_container(spec), renew],
        "volumes": _volumes(spec),
    }
    return make(
        spec,
        "Deployment",
        spec.names.dns,
        objects.DNS,
        spec.control_plane_namespace,
        spec={
            "replicas": spec.dns.replicas,
            "revisionHistoryLimit": 3,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": int(not two), "maxUnavailable": int(two)},
            },
            "selector": {"matchLabels": objects.selector(spec, objects.DNS)},
            "template": pods.template(
                spec,
                objects.DNS,
                service_account=spec.names.dns,
                mounts_token=False,
                config=_config(spec).values(),
                pod=pod,
            ),
        },
    )


def _config(spec: VirtualClusterSpec) -> dict[str, str]:
    corefile = "".join(f"{line}\n" for line in _corefile(spec))
    files = {_COREFILE: corefile, "certificates.json": json.dumps(_certificates(), indent=2) + "\n"}
    return {**files, _NOWHERE: _EMPTY_ZONE} if _NOWHERE in corefile else files


def _certificates() -> dict[str, Any]:
    return {
        "copy": [certificates.copied("server-ca.crt", f"{_TLS}/server-ca.crt")],
        "certificates": [
            certificates.certificate("dns", f"{_TLS}/client", "client-ca", USER_INSIDE, ["client"])
        ],
        "kubeconfigs": [
            {
                "out": _KUBECONFIG,
                "server": f"https://${certificates.API_ADDRESS}:{API_PORT}",
                "ca_certificate": f"{_TLS}/server-ca.crt",
                "certificate": f"{_TLS}/client.crt",
                "key": f"{_TLS}/client.key",
            }
        ],
        "admitted": {
            "kubeconfig": _KUBECONFIG,
            "path": "/api/v1/namespaces?limit=1",
            "seconds": _PATIENCE,
        },
    }


def _corefile(spec: VirtualClusterSpec) -> Iterator[str]:
    dns, domain = spec.dns, spec.cluster_domain
    outward = spec.egress != "none"
    # The host's own name server, if it is the one that is asked, must not be asked for the host's addresses.
    hides_host = bool(dns.host_names) and not dns.upstreams
    yield f".:{DNS_PORT} {{"
    yield "    errors"
    yield f"    health :{_HEALTH_PORT} {{"
    yield "        lameduck 5s"
    yield "    }"
    yield f"    ready :{_READY_PORT}"
    yield f"    prometheus :{_METRICS_PORT}"
    yield f"    kubernetes {domain} in-addr.arpa ip6.arpa {{"
    yield f"        kubeconfig {_KUBECONFIG}"
    yield "        pods insecure"
    if outward and not hides_host:
        yield "        fallthrough in-addr.arpa ip6.arpa"
    yield "    }"
    if outward:
        if hides_host and dns.host_domain != domain:
            yield from _nowhere(dns.host_domain)
        for zone, resolvers in sorted(dns.stub_zones.items()):
            yield from _forward(zone, resolvers)
        yield from _forward(".", dns.upstreams or (_NODES_RESOLVERS,))
        yield "    loop"
    else:
        yield from _nowhere(".")
    yield "    cache 30 {"
    for kind in ("success", "denial"):  # of what it knows itself, CoreDNS has the newest state
        yield f"        disable {kind} {domain}"
    yield "    }"
    yield "    loadbalance"
    yield "}"
    for name in dns.host_names:
        yield from _host_zone(spec, name)


_NODES_RESOLVERS = "/etc/resolv.conf"


def _forward(zone: str, resolvers: tuple[str, ...]) -> Iterator[str]:
    yield f"    forward {zone} {' '.join(resolvers)} {{"
    yield "        max_concurrent 1000"
    yield "    }"


def _nowhere(zone: str) -> Iterator[str]:
    yield f"    file {_CONFIG}/{_NOWHERE} {zone} {{"
    yield "        reload 0"
    yield "    }"


def _host_zone(spec: VirtualClusterSpec, name: str) -> Iterator[str]:
    """The zone that answers for a Service of the host, or for all of a namespace or of the host.

    `<service>.<namespace>.svc.host.internal` is `<service>.<namespace>.svc.<host domain>` there.
    """
    zone = ".".join((*(part for part in name.split(".") if part != "*"), HOST_ZONE))
    yield f"{zone}:{DNS_PORT} {{"
    yield "    errors"
    yield f"    rewrite name suffix .{HOST_ZONE}. .svc.{spec.dns.host_domain}. answer auto"
    yield from _forward(".", (_NODES_RESOLVERS,))
    yield "    cache 30"
    yield "    loadbalance"
    yield "}"


def _container(spec: VirtualClusterSpec) -> dict[str, Any]:
    resources = spec.resources.dns or _SIZES
    protocols = {"dns": "UDP", "dns-tcp": "TCP"}
    return {
        "name": "coredns",
        "image": spec.dns_image,
        "args": ["-conf", f"{_CONFIG}/{_COREFILE}"],
        "env": pods.go_memory_limit(resources),
        "ports": [
            *(
                {"name": name, "containerPort": DNS_PORT, "protocol": protocol}
                for name, protocol in protocols.items()
            ),
            {"name": "metrics", "containerPort": _METRICS_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": pods.readiness(pods.http_probe(_READY_PORT, "/ready")),
        "livenessProbe": pods.liveness(pods.http_probe(_HEALTH_PORT, "/health")),
        "resources": resources,
        # The official binary carries this as a file capability and cannot be executed without it.
        "securityContext": pods.container_security(add=["NET_BIND_SERVICE"]),
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
            {"name": "tls", "mountPath": certificates.TLS, "readOnly": True},
        ],
    }


def _volumes(spec: VirtualClusterSpec) -> list[dict[str, Any]]:
    names = spec.names
    authorities = pods.secret_files(
        (names.server_ca, "tls.crt", "server-ca.crt"),
        (names.client_ca, "tls.crt", "client-ca.crt"),
        (names.client_ca, "tls.key", "client-ca.key"),
    )
    return [
        {"name": "config", "configMap": {"name": names.dns}},
        {"name": certificates.AUTHORITIES, **authorities},
        pods.memory_volume("tls", "4Mi"),
    ]
