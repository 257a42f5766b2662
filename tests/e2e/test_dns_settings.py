"""Settings of the cluster's DNS, each by lookups from pods of a cluster that has them.

The name servers outside are CoreDNS as well: pods of the host that answer from a few lines of text.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from k3k_pulumi import direct
from tests.e2e.conftest import Host, MakeCluster
from tests.e2e.support.clusters import MADE_WITHIN, View, running, variant
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.lookups import NO_ERROR, NO_SUCH_NAME, addresses, ask, client, steady
from tests.e2e.support.objects import COREDNS, Object, config_map, container, pod
from tests.e2e.support.polling import eventually
from tests.e2e.support.web import known

DOMAIN, HOST_DOMAIN = "team.example", "cluster.local"
OF_HOST = "svc.host.internal"
DNS = "k3k-pulumi.io/component=dns"

_KNOWN = """\
template IN A . {{
    match "^{name}[.]$"
    answer "{{{{ .Name }}}} 60 IN A {address}"
    fallthrough
}}
template IN ANY . {{
    match "^{name}[.]$"
    rcode NOERROR
    fallthrough
}}
"""
_UNKNOWN = """\
template ANY ANY . {
    rcode NXDOMAIN
}
"""


def name_server(name: str, port: int, known: Mapping[str, str]) -> list[Object]:
    """A name server of the host that knows these names alone."""
    names = (_KNOWN.format(name=each.replace(".", "[.]"), address=address) for each, address in known.items())
    text = f".:{port} {{\nready :8181\n{''.join(names)}{_UNKNOWN}}}\n"
    server = container(
        ["/coredns", "-conf", "/etc/coredns/Corefile"],
        image=COREDNS,
        readinessProbe={"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        volumeMounts=[{"name": "config", "mountPath": "/etc/coredns"}],
    )
    volumes = [{"name": "config", "configMap": {"name": name}}]
    return [config_map(name, {"Corefile": text}), pod(name, server, volumes=volumes, dnsPolicy="Default")]


def name_servers(host: Host, namespace: Kubectl) -> tuple[str, str]:
    """Three of them, the one that the host's pods ask among them; the addresses of the other two."""
    first = host.kubectl.get("service", "kubernetes")["spec"]["clusterIP"]
    assert first.endswith(".1"), first
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "hosts"},
        "spec": {
            "clusterIP": f"{first.removesuffix('.1')}.10",
            "selector": {"app": "hosts"},
            "ports": [{"name": each.lower(), "port": 53, "protocol": each} for each in ("UDP", "TCP")],
        },
    }
    # An earlier run may not have given the address back yet.
    eventually(lambda: (namespace.apply(service), True))
    known_to_host = {
        f"registry.infra.svc.{HOST_DOMAIN}": "192.0.2.21",
        f"pg.databases.svc.{HOST_DOMAIN}": "192.0.2.22",
        f"other.infra.svc.{HOST_DOMAIN}": "192.0.2.23",
        "outside.example.org": "192.0.2.24",
        "21.2.0.192.in-addr.arpa": "192.0.2.25",
    }
    namespace.apply(
        *name_server("hosts", 53, known_to_host),
        *name_server("upstream", 53, {"www.example.org": "192.0.2.31"}),
        *name_server("corp", 5353, {"intranet.corp.example": "192.0.2.41"}),
    )
    running(namespace, "app=hosts", 1)
    upstream, corp = (running(namespace, f"app={name}", 1)[0] for name in ("upstream", "corp"))
    return upstream["status"]["podIP"], corp["status"]["podIP"]


def answered(view: View, expected: Mapping[str, str | None], pod: str = "asks") -> None:
    """Asserts what the cluster's DNS says: an address, or that there is no such name."""
    found = ask(view.inside, pod, *((name, "A") for name in expected))
    for (name, address), answer in zip(expected.items(), found, strict=True):
        if address is None:
            assert (answer.code, answer.records) == (NO_SUCH_NAME, []), name
        else:
            assert (answer.code, [data for *_, kind, data in answer.records if kind == "A"]) == (
                NO_ERROR,
                [address],
            ), name


@contextmanager
def always_found(view: View, name: str) -> Iterator[None]:
    """Asks for a name all the time, and asserts at the end that it was found each time."""
    command = steady(view.inside, "asks", name, "/tmp/end")
    process = subprocess.Popen(command, env=view.inside.environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"
    yield
    view.inside.exec("asks", ["python3", "-c", "open('/tmp/end', 'w')"])
    told, _ = process.communicate(timeout=120)
    times, failures = json.loads(told)
    assert times > 20
    assert not failures, f"{len(failures)} of {times}: {set(failures)}"


def service(name: str, **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.mark.usefixtures("every_node")
def test_what_is_answered_beyond_the_clusters_own_names(
    host: Host, make_cluster: MakeCluster, namespace: Kubectl
) -> None:
    upstream, corp = name_servers(host, namespace)
    namespace("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/enforce=privileged")
    nodes = {
        node["metadata"]["name"]: f"{entry['address']}/32"
        for node in host.kubectl.get("nodes")
        for entry in node["status"]["addresses"]
        if entry["type"] == "InternalIP"
    }
    args: dict[str, Any] = {
        "namespace": namespace.namespace,
        "create_namespace": False,
        "cluster_domain": DOMAIN,
        "pods": {"hostNetwork": True},
        "persistence": {"type": "ephemeral"},
        "timeout": MADE_WITHIN,
        **variant("kubernetes"),
    }
    dns = {
        "upstreams": [upstream],
        "stub_zones": {"corp.example": [f"{corp}:5353"]},
        "host_names": ["registry.infra", "*.databases"],
    }
    view = make_cluster("named", **args, dns=dns)
    alias = f"registry.infra.{OF_HOST}"
    view.inside.apply(
        service("own", ports=[{"port": 80}]),
        service("registry", type="ExternalName", externalName=alias),
        client("asks"),
    )
    running(view.inside, "app=asks", 1)
    own = {f"own.default.svc.{DOMAIN}": known(view, view.inside, "own")}
    eventually(lambda: (answered(view, own), True))
    beyond = {
        "www.example.org": "192.0.2.31",
        "intranet.corp.example": "192.0.2.41",
        alias: "192.0.2.21",
        f"pg.databases.{OF_HOST}": "192.0.2.22",
        f"registry.default.svc.{DOMAIN}": "192.0.2.21",  # the ExternalName Service
        # Not listed, or not below svc.host.
        f"other.infra.{OF_HOST}": None,
        f"registry.infra.svc.{HOST_DOMAIN}": None,
        "outside.example.org": None,
        # Other zones have other name servers.
        "www.corp.example": None,
    }
    eventually(lambda: (answered(view, beyond), True))
    found = [["192.0.2.21"], ["192.0.2.21"]]
    # The C library gives up soon.
    eventually(lambda: addresses(view.inside, "asks", alias, "registry") == found)

    # Another configuration, and one more: new pods come before old ones go. Without upstreams the host's DNS
    # is asked for other names, but not for the host's own.
    dns = {"host_names": ["registry.infra"], "source_cidrs": list(nodes.values()), "replicas": 2}
    with always_found(view, "own"):
        direct.apply("named", kubeconfig=host.kubeconfig, **args, dns=dns)
    pods = eventually(lambda: running(view.control_plane, DNS, 2))
    assert len({each["spec"]["nodeName"] for each in pods}) == 2
    elsewhere = {"www.example.org": None, "intranet.corp.example": None, f"pg.databases.{OF_HOST}": None}
    of_host = {f"registry.infra.svc.{HOST_DOMAIN}": None, alias: "192.0.2.21"}
    expected = {**own, **elsewhere, **of_host, "outside.example.org": "192.0.2.24"}
    eventually(lambda: (answered(view, expected), True))
    (reverse,) = ask(view.inside, "asks", ("21.2.0.192.in-addr.arpa", "PTR"))
    assert reverse.code == NO_SUCH_NAME

    # A pod that is there before the name servers are waits for nothing.
    view.control_plane("scale", "deployment", "named-dns", "--replicas=0")
    eventually(lambda: not view.control_plane.get("pods", "-l", DNS))
    view.inside.apply(client("early"))
    running(view.inside, "app=early", 1)
    (nothing,) = addresses(view.inside, "early", "own")
    assert nothing == "Temporary failure in name resolution"
    view.control_plane("scale", "deployment", "named-dns", "--replicas=1")
    (server,) = running(view.control_plane, DNS, 1)
    eventually(lambda: (answered(view, own, "early"), True))

    # One on the network of a node without a name server.
    away = next(each for each in nodes if each != server["spec"]["nodeName"])
    on_node = {"hostNetwork": True, "nodeSelector": {"kubernetes.io/hostname": away}}
    view.inside.apply(client("net", dnsPolicy="ClusterFirstWithHostNet", **on_node))
    running(view.inside, "app=net", 1)
    eventually(lambda: (answered(view, own, "net"), True))

    direct.apply("named", kubeconfig=host.kubeconfig, **args, egress="none")
    gone = dict.fromkeys(("www.example.org", "outside.example.org", alias))
    eventually(lambda: (answered(view, {**own, **gone}), True))
