"""The cluster's DNS, by real lookups: each record that Kubernetes' DNS specification names, and resolv.conf.

The specification: https://github.com/kubernetes/dns/blob/master/docs/specification.md
"""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.e2e.support.clusters import View, both, running
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.lookups import NO_ERROR, NO_SUCH_NAME, addresses, ask, client, resolver
from tests.e2e.support.objects import Object, container, pod, template
from tests.e2e.support.polling import eventually

DOMAIN = "cluster.local"
NEVER_READY = {"exec": {"command": ["false"]}, "periodSeconds": 1}
PORTS = [
    {"name": "http", "port": 80, "protocol": "TCP"},
    {"name": "query", "port": 53, "protocol": "UDP"},
]


def service(name: str, **spec: Any) -> Object:
    whole = {"selector": {"app": name}, "ports": PORTS, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": whole}


def stateful_set(name: str, replicas: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": template(name),
        },
    }


def reverse(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer


@both
def test_every_record_of_the_specification(inside: Kubectl) -> None:
    zone = f"{inside.namespace}.svc.{DOMAIN}"
    inside.apply(
        client("asks"),
        service("web"),
        service("db", clusterIP="None"),
        stateful_set("db", 2),
        pod("lone", labels={"app": "db"}, hostname="h", subdomain="db"),
        pod("nameless", labels={"app": "db"}),
        service("early", clusterIP="None", publishNotReadyAddresses=True),
        service("late", clusterIP="None", selector={"app": "early"}),
        pod("early", container(readinessProbe=NEVER_READY), hostname="e", subdomain="early"),
        {**service("elsewhere"), "spec": {"type": "ExternalName", "externalName": f"web.{zone}"}},
    )
    running(inside, "app=asks", 1)
    db = {each["metadata"]["name"]: each["status"]["podIP"] for each in running(inside, "app=db", 4)}
    early = eventually(lambda: inside.get("pod", "early")["status"].get("podIP"))
    web = inside.get("service", "web")["spec"]["clusterIP"]
    named = {"db-0": db["db-0"], "db-1": db["db-1"], "h": db["lone"]}
    by_address = db["nameless"].replace(".", "-")

    def answers(name: str, kind: str, *expected: str) -> None:
        """Waits for that: Services, endpoints and pods become known one by one."""

        def is_answered() -> bool:
            (found,) = ask(inside, "asks", (name, kind))
            assert (found.code, found.data) == (NO_ERROR, sorted(expected)), (name, kind)
            return True

        eventually(is_answered)

    answers(f"db.{zone}", "A", *db.values())
    answers(f"early.{zone}", "A", early)
    answers(f"dns-version.{DOMAIN}", "TXT", "1.1.0")
    # A Service with an address.
    answers(f"web.{zone}", "A", web)
    answers(f"web.{zone}", "AAAA")
    answers(f"_http._tcp.web.{zone}", "SRV", f"80 web.{zone}")
    answers(f"_query._udp.web.{zone}", "SRV", f"53 web.{zone}")
    answers(reverse(web), "PTR", f"web.{zone}")
    # A headless one: by the pods' host names, else by their addresses.
    for name, address in named.items():
        answers(f"{name}.db.{zone}", "A", address)
        answers(reverse(address), "PTR", f"{name}.db.{zone}")
    answers(f"{by_address}.db.{zone}", "A", db["nameless"])
    targets = [f"80 {name}.db.{zone}" for name in (*named, by_address)]
    answers(f"_http._tcp.db.{zone}", "SRV", *targets)
    # Pods that are not ready, where the Service says so.
    answers(f"e.early.{zone}", "A", early)
    # An alias, followed within the cluster.
    alias = [(f"elsewhere.{zone}", "CNAME", f"web.{zone}"), (f"web.{zone}", "A", web)]
    eventually(lambda: ask(inside, "asks", (f"elsewhere.{zone}", "A"))[0].records == alias)
    # Deprecated, and served by everyone: a name of any address.
    answers(f"192-0-2-7.{inside.namespace}.pod.{DOMAIN}", "A", "192.0.2.7")
    (long,) = ask(inside, "asks", (f"db.{zone}", "A"), protocol="tcp")
    assert long.data == sorted(db.values())

    missing = [f"nobody.{zone}", f"late.{zone}", f"_other._tcp.web.{zone}", f"web.nowhere.svc.{DOMAIN}"]
    codes = [each.code for each in ask(inside, "asks", *((name, "A") for name in missing))]
    # A headless Service without endpoints has a name, and no address.
    assert codes[0] == codes[2] == codes[3] == NO_SUCH_NAME
    assert ask(inside, "asks", (f"late.{zone}", "A"))[0].data == []

    inside("delete", "service", "web")
    eventually(lambda: ask(inside, "asks", (f"web.{zone}", "A"))[0].code == NO_SUCH_NAME)
    inside("delete", "pod", "lone", "--wait=false")
    eventually(lambda: ask(inside, "asks", (f"h.db.{zone}", "A"))[0].code == NO_SUCH_NAME)


@both
def test_programs_find_services_by_their_short_names(cluster: View, inside: Kubectl) -> None:
    other = inside.within(f"{inside.namespace}-other")
    inside("create", "namespace", other.namespace)
    inside.apply(service("near"), client("asks"))
    other.apply(service("far"))
    running(inside, "app=asks", 1)
    near, far = (
        each.get("service", name)["spec"]["clusterIP"] for each, name in ((inside, "near"), (other, "far"))
    )
    asked = {
        "near": near,
        f"near.{inside.namespace}": near,
        f"near.{inside.namespace}.svc": near,
        f"near.{inside.namespace}.svc.{DOMAIN}": near,
        f"far.{other.namespace}": far,
        f"far.{other.namespace}.svc.{DOMAIN}.": far,
        "kube-dns.kube-system": cluster.control_plane.get("service", f"{cluster.name}-dns")["spec"][
            "clusterIP"
        ],
    }

    def found() -> None:
        assert addresses(inside, "asks", *asked) == [[address] for address in asked.values()]

    eventually(lambda: (found(), True))
    inside("delete", "namespace", other.namespace, "--wait=false")


OWN = {"nameservers": ["192.0.2.1"], "searches": ["corp.example"], "options": [{"name": "edns0"}]}


def test_a_pods_resolver_is_what_a_node_would_give_it(
    cluster: View, inside: Kubectl, namespace: Kubectl
) -> None:
    service_address = cluster.control_plane.get("service", f"{cluster.name}-dns")["spec"]["clusterIP"]
    searches = [f"{inside.namespace}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN]
    clusters = {"nameserver": [service_address], "search": searches, "options": ["ndots:5"]}
    inside.apply(
        pod("first", dnsPolicy="ClusterFirst"),
        pod("first-own", dnsPolicy="ClusterFirst", dnsConfig=OWN),
        pod("with-host-net", dnsPolicy="ClusterFirstWithHostNet"),
        pod("none", dnsPolicy="None", dnsConfig=OWN),
        pod("default", dnsPolicy="Default"),
        pod("default-own", dnsPolicy="Default", dnsConfig=OWN),
    )
    # The host's own word on the same settings.
    namespace.apply(
        pod("default", dnsPolicy="Default"), pod("default-own", dnsPolicy="Default", dnsConfig=OWN)
    )
    names = ("first", "first-own", "with-host-net", "none", "default", "default-own")
    running(inside, f"app in ({','.join(names)})", len(names))
    running(namespace, "app in (default,default-own)", 2)
    found = {name: resolver(inside, name) for name in names}
    assert found["first"] == found["with-host-net"] == clusters
    assert found["first-own"] == {
        "nameserver": [service_address, "192.0.2.1"],
        "search": [*searches, "corp.example"],
        "options": found["first-own"]["options"],
    }
    assert sorted(found["first-own"]["options"]) == ["edns0", "ndots:5"]
    assert found["none"] == {"nameserver": ["192.0.2.1"], "search": ["corp.example"], "options": ["edns0"]}
    for name in ("default", "default-own"):
        assert found[name] == resolver(namespace, name)
